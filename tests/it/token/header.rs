//! The header: exact type, nothing that changes a token's meaning, nothing ambiguous.

use serde_json::json;
use tower_jwt_session::RejectionKind;
use tower_jwt_session::testing::mint;

use super::*;

fn malformed(header: impl fmt::Display) {
    refused(&sessions::<()>(), &token_headed(header), RejectionKind::Malformed);
}

#[test]
fn the_type_is_exact_and_has_to_be_there() {
    let sessions = sessions::<()>();
    for typ in [
        "JWT",
        "jwt",
        "at+jwt",
        "refresh+jwt",
        "Session+JWT",
        "session+jwt ",
        "application/session+jwt",
        "session",
        "",
    ] {
        let header = with(header(&ed25519()), "typ", typ);
        refused(&sessions, &token_headed(header), RejectionKind::WrongType);
    }
    let untyped = without(header(&ed25519()), "typ");
    refused(&sessions, &token_headed(untyped), RejectionKind::WrongType);
    for typ in [json!(null), json!(1), json!(["session+jwt"]), json!({})] {
        malformed(with(header(&ed25519()), "typ", typ));
    }
}

/// RFC 7515, section 4.1; RFC 7797; RFC 7516, sections 4.1.2 and 4.1.3.
#[test]
fn header_with_crit_or_key_members_is_refused() {
    for member in ["crit", "b64", "enc", "zip", "jwk", "jku", "x5u", "x5c"] {
        for value in [
            json!(null),
            json!(true),
            json!(false),
            json!(""),
            json!("DEF"),
            json!("https://issuer.test@127.0.0.1/"),
            json!([]),
            json!(["exp"]),
            json!(["b64"]),
            json!({}),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }),
        ] {
            malformed(with(header(&ed25519()), member, value));
        }
        let escaped = format!(r#""\u{:04x}{}":1"#, member.as_bytes()[0], &member[1..]);
        malformed(spliced(&header(&ed25519()), &escaped));
    }
}

#[test]
fn informational_member_is_ignored() {
    for value in [
        json!(null),
        json!(-1.5e300),
        json!("text"),
        json!(["a", ["b"], { "c": {} }]),
        json!({ "alg": "none", "crit": [], "jwk": {} }),
    ] {
        for member in ["cty", "x5t", "x5t#S256", "iss", "exp", "Alg", "CRIT", "url", "nonce"] {
            let header = with(header(&ed25519()), member, value.clone());
            accepted(&sessions::<()>(), &token_headed(header));
        }
    }
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let kid = ed25519().key_id().to_owned();
    for twice in [
        r#""alg":"EdDSA""#,
        r#""alg":"none""#,
        r#""typ":"session+jwt""#,
        r#""typ":"JWT""#,
        &format!(r#""kid":"{kid}""#),
        r#""kid":"other""#,
        r#""x":1,"x":1"#,
        r#""x":1,"y":2,"x":3"#,
        // Equal once their escapes are resolved.
        r#""a\u006cg":"EdDSA""#,
        r#""\u0061\u006C\u0067":"EdDSA""#,
        r#""x":1,"\u0078":2"#,
        r#""ü":1,"\u00fc":2"#,
        r#""😀":1,"\ud83d\ude00":2"#,
        r#""/":1,"\/":2"#,
        // Inside what is ignored.
        r#""x":{"a":1,"a":2}"#,
        r#""x":{"a":1,"\u0061":2}"#,
        r#""x":[{"b":{}},{"b":[{"a":1,"c":null,"a":2}]}]"#,
    ] {
        malformed(spliced(&header(&ed25519()), twice));
    }
}

#[test]
fn none_before_or_after_the_algorithm_is_refused() {
    let kid = ed25519().key_id().to_owned();
    let rest = format!(r#""typ":"session+jwt","kid":"{kid}""#);
    malformed(format!(r#"{{"alg":"none","alg":"EdDSA",{rest}}}"#));
    malformed(format!(r#"{{"alg":"EdDSA","alg":"none",{rest}}}"#));
}

#[test]
fn names_that_only_look_alike_are_different() {
    let header = spliced(&header(&ed25519()), r#""x":{"a":1,"A":2,"a ":3,"á":4,"a\u0301":5}"#);
    accepted(&sessions::<()>(), &token_headed(header));
}

#[test]
fn a_header_has_at_most_sixteen_members() {
    let members = |count: usize| {
        let more: Vec<_> = (3..count).map(|number| format!(r#""{number}":0"#)).collect();
        spliced(&header(&ed25519()), &more.join(","))
    };
    accepted(&sessions::<()>(), &token_headed(members(16)));
    malformed(members(17));
    malformed(members(300));
}

#[test]
fn a_header_is_an_object() {
    for header in
        ["", " ", "null", "true", "0", "\"EdDSA\"", "[]", "[{}]", "{", "}", "{}", "{\"alg\"}"]
    {
        malformed(header);
    }
    let array = r#"["EdDSA","session+jwt","kid"]"#;
    malformed(array);
}

#[test]
fn a_header_is_one_object_of_strict_json() {
    let good = header(&ed25519()).to_string();
    accepted(&sessions::<()>(), &token_headed(format!("\r\n\t {good} \t\r\n")));
    for text in [
        format!("{good}x"),
        format!("{good}{good}"),
        format!("{good},"),
        format!("{good}\0"),
        format!("\u{feff}{good}"),
        format!("/**/{good}"),
        format!("{good}//"),
        good.replace('}', ",}"),
        good.replace('"', "'"),
        spliced(&header(&ed25519()), r#""x":NaN"#),
        spliced(&header(&ed25519()), r#""x":+1"#),
        spliced(&header(&ed25519()), r#""x":01"#),
        spliced(&header(&ed25519()), r#""x":0x1"#),
        spliced(&header(&ed25519()), r#""x":"\x61""#),
        spliced(&header(&ed25519()), "\"x\":\"a\nb\""),
        spliced(&header(&ed25519()), "\"x\ty\":1"),
        spliced(&header(&ed25519()), r#""x":"\ud800""#),
        spliced(&header(&ed25519()), r#""\udc00":1"#),
        spliced(&header(&ed25519()), r#"x:1"#),
    ] {
        malformed(text);
    }
}

#[test]
fn a_header_is_utf_8() {
    for bytes in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"] {
        let mut header = spliced(&header(&ed25519()), r#""x":"#).into_bytes();
        header.pop();
        header.extend([b"\"", bytes, b"\"}"].concat());
        let token = mint(&ed25519(), header, payload().to_string());
        refused(&sessions::<()>(), &token, RejectionKind::Malformed);
    }
}

#[test]
fn a_deep_header_is_refused_and_overflows_nothing() {
    let deep = |depth: usize| {
        spliced(&header(&ed25519()), &format!(r#""x":{}{}"#, "[".repeat(depth), "]".repeat(depth)))
    };
    accepted(&sessions::<()>(), &token_headed(deep(100)));
    malformed(deep(128));
    malformed(deep(2500));
    refused(&sessions::<()>(), &token_headed(deep(100_000)), RejectionKind::TooLong);
}

#[test]
fn the_header_is_judged_before_the_signature() {
    // Nothing of an unsigned token but its header says more than that it is bad.
    let token = token_headed(with(header(&ed25519()), "typ", "JWT"));
    let (signed, _) = token.rsplit_once('.').unwrap();
    refused(&sessions::<()>(), &format!("{signed}."), RejectionKind::WrongType);
}

#[test]
fn a_header_has_at_most_1024_bytes() {
    let header = |bytes: usize| {
        let padded = |pad: usize| with(header(&ed25519()), "x", "x".repeat(pad)).to_string();
        padded(bytes - padded(0).len())
    };
    // 768 bytes are 1,024 in base64url.
    accepted(&sessions::<()>(), &token_headed(header(768)));
    for bytes in [769, 771, 2000] {
        malformed(header(bytes));
    }
}
