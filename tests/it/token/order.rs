//! Payloads in the order in which they are written are read by a way of their own; every answer has
//! to be the same as by the other, on which a space leads.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

type Claims = BTreeMap<String, Value>;

fn payload_as_written() -> String {
    format!(
        r#"{{"iss":"https://issuer.test","sub":"alice","aud":"app","iat":{},"exp":{},"jti":"the-token-of-22-letter","sid":"session-1-of-22-letter","auth_time":{},"scope":"a b","rv":3,"seq":4,"roles":["user"],"é":{{"a":1}}}}"#,
        NOW - 10,
        NOW + 890,
        NOW - 10,
    )
}

/// Whether both ways answer the same; and whether they accept.
#[track_caller]
fn agree<C>(sessions: &Sessions<C>, key: &Key, payload: &[u8]) -> bool
where
    C: SessionClaims + PartialEq + Debug,
{
    let header = header(key).to_string();
    let spaced = [&payload[..1], b" ", &payload[1..]].concat();
    let [written, spaced] =
        [payload, &spaced].map(|payload| sessions.validate(&mint(key, &header, payload)));
    assert_eq!(said(&written), said(&spaced), "{}", String::from_utf8_lossy(payload));
    if let (Ok(written), Ok(spaced)) = (&written, &spaced) {
        assert_eq!(written.claims(), spaced.claims());
    }
    written.is_ok()
}

fn key_and_sessions() -> (Key, Sessions<Claims>) {
    let key = fixed_key(Algorithm::HS256);
    let sessions = sessions_of(ring([key.clone()]));
    (key, sessions)
}

#[test]
fn a_byte_anywhere_reads_the_same_in_both_ways() {
    let (key, sessions) = key_and_sessions();
    let payload = payload_as_written().into_bytes();
    assert!(agree(&sessions, &key, &payload));
    let mut accepted = 0;
    for place in 1..payload.len() {
        let mut less = payload.clone();
        less.remove(place);
        accepted += u32::from(agree(&sessions, &key, &less));
        for byte in *b"\n \"\\,:}09.x\xc3" {
            let mut other = payload.clone();
            other[place] = byte;
            accepted += u32::from(agree(&sessions, &key, &other));
            let mut more = payload.clone();
            more.insert(place, byte);
            accepted += u32::from(agree(&sessions, &key, &more));
        }
    }
    // Those that change a text, a number, or the space between.
    assert!(accepted > 500, "{accepted}");
}

#[test]
fn a_payload_cut_anywhere_reads_the_same_in_both_ways() {
    let (key, sessions) = key_and_sessions();
    let payload = payload_as_written().into_bytes();
    for end in 1..payload.len() {
        assert!(!agree(&sessions, &key, &payload[..end]));
        // An object again, if it ends behind a member.
        agree(&sessions, &key, &[&payload[..end], b"}"].concat());
        agree(&sessions, &key, &[&payload[..end], b",}"].concat());
        agree(&sessions, &key, &[&payload[..end], b"}}"].concat());
    }
}

#[test]
fn member_moved_or_doubled_reads_the_same_both_ways() {
    let (key, sessions) = key_and_sessions();
    let payload = payload_as_written();
    // The first keeps its quotation mark, and its place.
    let members: Vec<&str> = payload[1..payload.len() - 1].split(r#",""#).collect();
    let object = |members: &[&str]| format!("{{{}}}", members.join(r#",""#));
    let mut accepted = 0;
    for place in 1..members.len() {
        let mut fewer = members.clone();
        let member = fewer.remove(place);
        accepted += u32::from(agree(&sessions, &key, object(&fewer).as_bytes()));
        for other in 1..members.len() {
            let mut moved = fewer.clone();
            moved.insert(other, member);
            assert!(agree(&sessions, &key, object(&moved).as_bytes()));
            let mut doubled = members.clone();
            doubled.insert(other, member);
            assert!(!agree(&sessions, &key, object(&doubled).as_bytes()));
        }
    }
    // Those that a token need not have.
    assert_eq!(accepted, 7);
}

#[test]
fn numbers_at_the_edges_read_the_same_in_both_ways() {
    let (key, sessions) = key_and_sessions();
    let payload = payload_as_written();
    let numbers = [
        "0",
        "00",
        "01",
        "-0",
        "-1",
        "1e3",
        "1.0",
        "1800000000",
        "1800000000.5",
        "1800000890000",
        "253402300799",
        "253402300800",
        "4294967295",
        "4294967296",
        "999999999999999999",
        "1000000000000000000",
        "9223372036854775807",
        "18446744073709551615",
        "18446744073709551616",
        "253402300799000",
        "1e400",
        "null",
        "true",
        r#""1""#,
        "[]",
        "{}",
        "",
    ];
    for name in ["iat", "exp", "auth_time", "rv", "seq"] {
        let start = payload.find(&format!(r#""{name}":"#)).unwrap() + name.len() + 3;
        let length = payload[start..].find(',').unwrap();
        for number in numbers {
            let mut other = payload.clone();
            other.replace_range(start..start + length, number);
            agree(&sessions, &key, other.as_bytes());
        }
    }
}

/// Where nobody wants them, claims are looked at without a parser if they are plain.
#[test]
fn claims_that_nobody_reads_are_refused_as_by_the_parser() {
    let key = fixed_key(Algorithm::HS256);
    let sessions: Sessions<()> = sessions_of(ring([key.clone()]));
    let payload = payload_as_written();
    let claims = r#"{"a":"b","c":12,"d":[],"e":["f",true,null,3],"g":false,"a2":1}"#;
    let (_, members) = claims.split_at(1);
    let head = payload.find(r#","seq""#).unwrap();
    let mut accepted = 0;
    for place in 0..members.len() - 1 {
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut members = members.as_bytes().to_vec();
            change(&mut members);
            [&payload.as_bytes()[..head], b",", &members].concat()
        };
        let mut try_it = |payload: Vec<u8>| accepted += u32::from(agree(&sessions, &key, &payload));
        try_it(with(&|members| {
            members.remove(place);
        }));
        try_it(with(&|members| members.truncate(place)));
        for byte in *b"\n \"\\,:}]{[09-.eax\xc3" {
            try_it(with(&|members| members[place] = byte));
            try_it(with(&|members| members.insert(place, byte)));
        }
    }
    assert!(accepted > 300, "{accepted}");
    for (member, is_good) in [
        (r#""a":"b","a":1"#, false),
        (r#""a":"b","sub":"mallory""#, false),
        (r#""nbf":1"#, true),
        (r#""nbf":"text""#, false),
        (r#""nbf":9000000000"#, false),
        (r#""seq":4,"seq":5"#, false),
        (r#""a":[1,]"#, false),
        (r#""a":[[1]]"#, true),
        (r#""a":01"#, false),
        (r#""a":truth"#, false),
        (r#""a":123456789012345678901234567890"#, true),
        (r#""a":1e400"#, false),
        (r#""\u0061":1,"a":2"#, false),
        (r#""a":1},"b":2"#, false),
        (r#""a":"\u0000""#, true),
        (r#""a":[0.5,-1,{"b":{}}]"#, true),
        (&format!(r#""a":{}"#, "9".repeat(400)), false),
    ] {
        let payload = format!("{},{member}}}", &payload[..head]);
        assert_eq!(agree(&sessions, &key, payload.as_bytes()), is_good, "{member}");
    }
}
