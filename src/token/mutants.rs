//! Small changes to what comes from the wire, through each of the parsers. No key takes part, so that
//! Miri can run it, which can't run the assembly that signs and hashes.

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use super::checks::Nobody;
use super::decode::{Header, Segments};
use crate::base64url::{self, Buffer};
use crate::claims;
use crate::claims::extra::Extra;
use crate::claims::read::{Dialect, Registered, Unread};
use crate::claims::write::Payload;
use crate::clock::Timestamp;
use crate::transport::transport::Transport;
use crate::transport::transports::Transports;

const HEADER: &str = r#"{"alg":"HS256","typ":"session+jwt","kid":"k\u00e9","x":[1,{}]}"#;

const PAYLOAD: &str = r#"{"iss":"a","sub":"b","aud":"c","iat":1800000010,"exp":1800000090,"jti":"the-token-of-22-letter","sid":"session-1-of-22-letter","auth_time":1800000005,"scope":"e","rv":7,"rg":9,"rc":6,"x":{"y":"\n"}}"#;

#[test]
fn a_header_that_is_read_says_what_another_reader_finds() {
    let mut read = 0;
    for mutant in mutants(HEADER.as_bytes()) {
        let segment = base64url::encode(&mutant);
        let mut buffer = Buffer::new();
        let Ok((algorithm, header)) =
            Header::parse(segment.as_bytes(), &mut buffer, false, &mut Nobody)
        else {
            continue;
        };
        let found: Value = serde_json::from_slice(&mutant).expect("JSON");
        assert_eq!(found["alg"], format!("{algorithm:?}"));
        assert_eq!(found.get("typ").and_then(Value::as_str), header.typ.as_deref());
        assert_eq!(found.get("kid").and_then(Value::as_str), header.kid.as_deref());
        read += 1;
    }
    assert!(read > 10, "{read}");
}

#[test]
fn a_segment_that_is_decoded_is_the_only_spelling_of_its_bytes() {
    let decoded = |segment: &[u8]| {
        let decoded = Buffer::new().decode(segment)?.to_vec();
        assert_eq!(base64url::encode(&decoded).as_bytes(), segment);
        Some(decoded)
    };
    let segment = base64url::encode(&HEADER[..40]);
    let count = mutants(segment.as_bytes()).filter_map(|mutant| decoded(&mutant)).count();
    assert!(count > 10, "{count}");
    assert!(decoded(b"AAAAA").is_none(), "no whole bytes");
    let longer_than_the_buffer = [b'x'; 2048];
    let segment = base64url::encode(longer_than_the_buffer);
    assert_eq!(decoded(segment.as_bytes()).expect("canonical"), longer_than_the_buffer);
}

#[test]
fn a_token_is_three_segments() {
    for mutant in mutants(b"ab.cd.ef") {
        let dots = mutant.iter().filter(|byte| **byte == b'.').count();
        let Some(segments) = Segments::split(&mutant) else {
            assert_ne!(dots, 2);
            continue;
        };
        assert_eq!(dots, 2);
        let Segments { header, payload, signature, signed } = segments;
        assert_eq!([header, payload, signature].join(&b"."[..]), mutant);
        assert_eq!([header, payload].join(&b"."[..]), signed);
    }
}

/// serde_json by itself reads the same values, where it is asked for no more than they are.
#[test]
fn payload_that_is_read_says_what_another_reader_finds() {
    let mut read = 0;
    for dialect in
        [Dialect::Own, Dialect::Other { versions: true }, Dialect::Other { versions: false }]
    {
        for mutant in mutants(PAYLOAD.as_bytes()) {
            let mut registered = Registered::default();
            let Ok(claims) = claims::read::read::<Value>(
                &mutant,
                dialect,
                &mut registered,
                &mut Extra::new(&[]),
            ) else {
                continue;
            };
            let mut found: Map<String, Value> = serde_json::from_slice(&mutant).expect("JSON");
            let mut take = |name: &str| found.remove(name).filter(|value| !value.is_null());
            let texts = [
                ("iss", &registered.iss),
                ("sub", &registered.sub),
                ("jti", &registered.jti),
                ("sid", &registered.sid),
                ("scope", &registered.scope),
            ];
            for (name, text) in texts {
                assert_eq!(take(name), text.as_deref().map(Value::from), "{name}");
            }
            assert_eq!(take("aud").is_some(), registered.aud.is_some());
            let dates = [
                ("iat", registered.iat),
                ("exp", registered.exp),
                ("auth_time", registered.auth_time),
                ("nbf", registered.nbf),
            ];
            for (name, date) in dates {
                let millis = take(name).and_then(|value| Some((value.as_f64()? * 1000.0).trunc()));
                assert_eq!(millis, date.map(|date| date.0.as_unix_millis() as f64), "{name}");
            }
            let versions = [("rv", registered.rv), ("rg", registered.rg), ("rc", registered.rc)];
            for (name, version) in versions {
                if let Some(version) = version {
                    assert_eq!(take(name), Some(version.into()));
                }
            }
            assert_eq!(claims, Value::Object(found));
            read += 1;
        }
    }
    assert!(read > 30, "{read}");
}

#[test]
fn payload_that_is_cut_or_repeats_a_name_is_malformed() {
    let read = |json: &str| {
        let read = claims::read::read::<Value>(
            json.as_bytes(),
            Dialect::Own,
            &mut Registered::default(),
            &mut Extra::new(&[]),
        );
        read.map_err(|error| error.what)
    };
    assert!(read(PAYLOAD).is_ok());
    for length in (0..PAYLOAD.len()).step_by(if cfg!(miri) { 24 } else { 1 }) {
        assert_eq!(read(&PAYLOAD[..length]), Err(Unread::Malformed), "{length}");
    }
    for (name, value) in
        [("sub", "\"b\""), ("\\u0073ub", "\"b\""), ("x", "1"), ("iat", "1800000010")]
    {
        let twice = PAYLOAD.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        assert_ne!(read(&twice).err(), None, "{name}");
    }
}

#[test]
fn payload_that_is_written_is_read() {
    for text in ["a", "\u{e9}\u{1f600}", &"long".repeat(60), "\"\\\n\u{1}"] {
        let claims = json!({ "name": text });
        let at = Timestamp::from_unix_seconds;
        let payload = Payload {
            iss: text,
            sub: text,
            aud: text,
            iat: at(1_800_000_010),
            exp: at(1_800_000_090),
            jti: text,
            sid: text,
            auth_time: at(1_800_000_005),
            scope: Some(text),
            rv: 7,
            rg: 9,
            rc: 6,
            pu: Some(at(1_800_000_099)),
            seq: Some(8),
            claims: &claims,
        };
        let mut json = Vec::new();
        claims::write::write(&payload, &mut json).expect("an object");
        let mut registered = Registered::default();
        let read =
            claims::read::read::<Value>(&json, Dialect::Own, &mut registered, &mut Extra::new(&[]));
        assert_eq!(read.expect("as it was written"), claims);
        let Registered { iss, sub, aud, jti, sid, scope, .. } = &registered;
        for read in [iss, sub, jti, sid, scope] {
            assert_eq!(read.as_deref(), Some(text));
        }
        assert!(aud.as_ref().is_some_and(|aud| aud.contains(text)));
        let numbers = [registered.rv, registered.rg, registered.rc, registered.seq.map(u64::from)];
        assert_eq!(numbers, [7, 9, 6, 8].map(Some));
        let dates = [registered.iat, registered.exp, registered.auth_time, registered.pu];
        let dates = dates.map(|date| date.map(|date| date.0));
        let expected = [1_800_000_010, 1_800_000_090, 1_800_000_005, 1_800_000_099];
        assert_eq!(dates, expected.map(|s| Some(at(s))));
    }
}

#[test]
fn a_credential_is_a_part_of_its_field() {
    let list = vec![
        #[cfg(feature = "cookie")]
        Transport::cookie(crate::transport::cookie::CookieTransport::new()),
        Transport::bearer(),
        Transport::web_socket_protocol("session"),
    ];
    let transports = Transports::build(list, "session").expect("a good list");
    for (name, value) in [
        (AUTHORIZATION, "Bearer  ab.cd"),
        #[cfg(feature = "cookie")]
        (http::header::COOKIE, "a=1; __Host-session=ab.cd; b=2"),
        (SEC_WEBSOCKET_PROTOCOL, "chat, session.ab.cd ,x"),
    ] {
        let mut found = 0;
        for mutant in mutants(value.as_bytes()) {
            let Ok(value) = HeaderValue::from_bytes(&mutant) else { continue };
            let headers = HeaderMap::from_iter([(name.clone(), value)]);
            let Ok(Some(credential)) = transports.read(&headers) else { continue };
            let token = credential.token;
            assert!(token.is_empty() || mutant.windows(token.len()).any(|part| part == token));
            found += usize::from(token == b"ab.cd");
        }
        assert!(found > 0, "{name}: {found}");
    }
}

/// The text itself, each of its beginnings, and it with a byte left out, doubled or replaced.
fn mutants(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    // Miri is some hundred times as slow.
    let step = if cfg!(miri) { text.len().div_ceil(24) } else { 1 };
    let changed = (0..text.len()).step_by(step).flat_map(move |place| {
        let (head, tail) = (&text[..place], &text[place + 1..]);
        let with = |byte: u8| [head, &[byte], tail].concat();
        let doubled = [head, &text[place..place + 1], &text[place..]].concat();
        let replaced = [b'"', b'\\', b',', b'0', b'.', b' ', 0xff].map(with);
        replaced.into_iter().chain([head.to_vec(), [head, tail].concat(), doubled])
    });
    [text.to_vec()].into_iter().chain(changed)
}
