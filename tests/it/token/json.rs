//! The payload: one object of strict JSON, unambiguous at every depth, for every type of claims.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tower_jwt_session::testing::{ManualClock, fixed_ring, mint};
use tower_jwt_session::{RejectionKind, SessionClaims, Sessions};

use super::*;

fn malformed(payload: impl fmt::Display) {
    refused(&sessions::<()>(), &token(payload), RejectionKind::Malformed);
}

#[test]
fn a_payload_is_an_object() {
    for text in ["", " ", "null", "true", "0", "\"alice\"", "[]", "[{}]", "{", "}", "{\"iss\"}"] {
        malformed(text);
    }
    let array = Value::from_iter(payload().as_object().unwrap().values().cloned());
    malformed(array);
    malformed(format!("[{}]", payload()));
    refused(&sessions::<()>(), &token("{}"), RejectionKind::MissingClaim("iss"));
}

#[test]
fn a_payload_is_one_object_of_strict_json() {
    let good = payload().to_string();
    accepted(&sessions::<()>(), &token(format!("\r\n\t {good} \t\r\n")));
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
    ] {
        malformed(text);
    }
}

#[test]
fn malformed_value_in_ignored_member_is_refused() {
    for value in [
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "1.",
        ".5",
        "1e",
        "0x1",
        "1e400",
        "-1e400",
        "tru",
        "nul",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\":}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1,}",
        "\"",
        "\"\\\"",
        "\"\\x61\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0061\"",
        "\"a\nb\"",
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "",
        "]",
        "}",
    ] {
        for text in [format!(r#""x":{value}"#), format!(r#""x":[{{"y":{value}}}]"#)] {
            let text = spliced(&payload(), &text);
            malformed(&text);
            refused(&sessions::<Map>(), &token(&text), RejectionKind::Malformed);
            refused(&sessions::<Typed>(), &token(&text), RejectionKind::Malformed);
        }
    }
    malformed(spliced(&payload(), r#""\ud800":1"#));
    malformed(spliced(&payload(), "\"a\nb\":1"));
}

type Map = HashMap<String, Value>;

/// Takes `claim`, and ignores the rest.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Typed {
    #[serde(default)]
    claim: Value,
}

/// Buffers what it does not know.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    #[serde(default)]
    claim: Value,
    #[serde(flatten)]
    rest: Map,
}

/// Buffers everything, then tries.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Never { never: String },
    Flat(Flat),
}

/// Asserts that every type of claims refuses a payload.
#[track_caller]
fn refused_by_all(text: &str) {
    #[track_caller]
    fn refused_by<C: SessionClaims>(text: &str) {
        let found = kind(&sessions::<C>(), &token(text));
        // Names in the application's part are the application's matter.
        let expected = [RejectionKind::Malformed, RejectionKind::InvalidApplicationClaims];
        let claim = matches!(found, RejectionKind::InvalidClaim(_));
        assert!(claim || expected.contains(&found), "{found:?}: {text}");
    }
    refused_by::<()>(text);
    refused_by::<Map>(text);
    refused_by::<Typed>(text);
    refused_by::<Flat>(text);
    refused_by::<Either>(text);
    refused_by::<Value>(text);
    refused_by::<Option<Typed>>(text);
}

#[test]
fn a_name_that_stands_twice_is_malformed() {
    for twice in [
        r#""exp":1799990001"#,
        r#""exp":1800000890"#,
        r#""sub":"mallory""#,
        r#""sub":"alice""#,
        r#""\u0073ub":"mallory""#,
        r#""s\u0075\u0062":"alice""#,
        r#""aud":["other"]"#,
        r#""nbf":0,"nbf":0"#,
        r#""scope":"a","scope":"b""#,
        r#""rv":1,"rv":1"#,
        r#""x":1,"x":1"#,
        r#""x":1,"y":2,"\u0078":3"#,
        r#""😀":1,"\ud83d\ude00":2"#,
    ] {
        let text = spliced(&payload(), twice);
        malformed(&text);
        refused_by_all(&text);
    }
}

#[test]
fn a_name_that_stands_twice_is_refused_at_every_depth() {
    for twice in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"\u0061":3}"#,
        r#"[{"a":1,"a":1}]"#,
        r#"[[],[{"b":{"c":[{"a":1,"a":1}]}}]]"#,
        r#"{"b":{"c":{"a":{},"a":{}}}}"#,
    ] {
        refused_by_all(&spliced(&payload(), &format!(r#""claim":{twice}"#)));
        refused_by_all(&spliced(&payload(), &format!(r#""ignored":{twice}"#)));
        // Where the claim was read already, and where nothing but the registered ones follow.
        let (claim, rest) = (format!(r#"{{"claim":{twice},"#), payload().to_string());
        refused_by_all(&format!("{claim}{}", &rest[1..]));
    }
    for twice in [r#"{"a":1,"a":1}"#, r#"["app",{"a":1,"a":1}]"#] {
        let text = without(payload(), "aud");
        refused_by_all(&spliced(&text, &format!(r#""aud":{twice}"#)));
    }
}

#[test]
fn equal_names_in_different_objects_are_no_doubles() {
    let text = spliced(&payload(), r#""claim":[{"a":1,"exp":2},{"a":1,"sub":{"sub":{"a":1}}}]"#);
    let session = accepted(&sessions::<Typed>(), &token(&text));
    assert_eq!(session.claims().claim[1]["sub"]["sub"]["a"], 1);
    accepted(&sessions::<()>(), &token(&text));
    accepted(&sessions::<Flat>(), &token(&text));
    accepted(&sessions::<Either>(), &token(&text));
}

#[test]
fn names_of_claims_are_compared_exactly() {
    let expired = with(payload(), "exp", NOW - 5);
    let text = with(with(expired, "iat", NOW - 1000), "Exp", NOW + 9000);
    accepted(&sessions::<()>(), &token(&text));
    let text = without(with(payload(), "EXP", NOW + 890), "exp");
    refused(&sessions::<()>(), &token(text), RejectionKind::MissingClaim("exp"));
}

#[test]
fn a_payload_is_utf_8() {
    for bytes in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"] {
        for text in [r#""x":""#, r#""x":{"y":""#] {
            let mut text = spliced(&payload(), text).into_bytes();
            text.pop();
            text.extend([bytes, b"\"}}"].concat());
            let token = mint(&ed25519(), header(&ed25519()).to_string(), text);
            refused(&sessions::<()>(), &token, RejectionKind::Malformed);
        }
    }
}

#[test]
fn every_character_survives() {
    let text: String = ('\0'..='\u{ff}').chain("\u{2028}\u{ffff}\u{10ffff}😀".chars()).collect();
    let sessions = sessions::<Map>();
    let claims = Map::from([(text.clone(), Value::from(text.clone()))]);
    let token = sessions.issue(&Login::new(text.clone(), claims.clone())).unwrap();
    let session = accepted(&sessions, token.as_str());
    assert_eq!(session.subject(), text);
    assert_eq!(session.claims(), &claims);
}

#[test]
fn a_deep_payload_is_refused_and_overflows_nothing() {
    fn deepest<C: SessionClaims>() -> Sessions<C> {
        Sessions::builder(fixed_ring(ManualClock::default()), "https://issuer.test", "app")
            .max_token_bytes(65_536)
            .token_cache_bytes(SMALL_CACHE)
            .build()
            .unwrap()
    }
    fn check<C: SessionClaims>(open: &str, close: &str) {
        for name in ["claim", "ignored", "aud"] {
            let deep = |depth: usize| {
                let value = format!("{}0{}", open.repeat(depth), close.repeat(depth));
                token(spliced(&without(payload(), "aud"), &format!(r#""{name}":{value}"#)))
            };
            for depth in [128, 1000, 45_000 / (open.len() + close.len())] {
                let found = kind(&deepest::<C>(), &deep(depth));
                let expected = [RejectionKind::Malformed, RejectionKind::InvalidClaim("aud")];
                assert!(expected.contains(&found), "{found:?} at depth {depth} of {name}");
            }
            refused(&deepest::<C>(), &deep(100_000), RejectionKind::TooLong);
        }
    }
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"[{"a":"#, "}]")] {
        check::<()>(open, close);
        check::<Map>(open, close);
        check::<Typed>(open, close);
        check::<Flat>(open, close);
        check::<Either>(open, close);
    }
    // Unclosed, too.
    let open = token(format!(r#"{{"x":{}"#, "[".repeat(48_000)));
    refused(&deepest::<()>(), &open, RejectionKind::Malformed);
}
