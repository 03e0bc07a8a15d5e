//! What a rejection says was found and expected, in code, in logs and explained; and that no client
//! sees it.

use axum::Router;
use axum::routing::get as on_get;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{ManualClock, fixed_key, mint};
use tower_jwt_session::{
    Algorithm, CheckOutcome, Clock as _, Explanation, KeyRing, Login, Rejection, RejectionKind,
    Sessions, Timestamp,
};

use crate::support::recorder::Events;
use crate::support::web::{Credentials as _, UNAUTHORIZED, get, send};
use crate::token::{NOW, ed25519, header, payload, spliced, with, without};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct User {
    #[serde(default)]
    level: u8,
}

pub(super) fn sessions() -> Sessions<User> {
    crate::token::sessions()
}

pub(super) fn headed(header: Value) -> String {
    mint(&ed25519(), header.to_string(), payload().to_string())
}

pub(super) fn claiming(payload: impl std::fmt::Display) -> String {
    mint(&ed25519(), header(&ed25519()).to_string(), payload.to_string())
}

/// A token for each thing that a rejection can be about: what it is about, and what is to be said.
pub(super) fn refusals() -> Vec<(String, RejectionKind, &'static str, &'static str, &'static str)> {
    use RejectionKind::*;
    let good = claiming(payload());
    let (head, rest) = good.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let own = || header(&ed25519());
    let at = |name: &str, value: i64| claiming(with(payload(), name, value));
    let text = |name: &str, value: &str| {
        let others = without(with(payload(), name, 0), name);
        claiming(spliced(&others, &format!(r#""{name}":{value}"#)))
    };
    let other = |audience: Value| claiming(with(payload(), "aud", audience));
    let parts = "3 parts";
    vec![
        ("L-7g3kXh0Q1a2b3c4d5e".into(), Malformed, "token", "1 part: not a JWT", parts),
        (format!("{good}.a.b"), Malformed, "token", "5 parts: an encrypted token (JWE)", parts),
        (format!("{good}.a"), Malformed, "token", "4 parts", parts),
        (format!("{good}{}", "A".repeat(9000)), TooLong, "token", "bytes", "at most 8192"),
        (
            format!("{head}.{claims}.{}", "A".repeat(2000)),
            Malformed,
            "signature",
            "2000 char",
            "at most",
        ),
        (
            format!("{head}=.{claims}.{signature}"),
            Malformed,
            "header",
            "padding (`=`)",
            "without padding",
        ),
        (
            format!("{head}.{claims}.{signature}=="),
            Malformed,
            "signature",
            "padding",
            "without padding",
        ),
        (
            format!("{head}.{claims}.+{signature}"),
            Malformed,
            "signature",
            "`+` or `/`",
            "base64url",
        ),
        (
            headed(with(own(), "jku", "https://x.example")),
            Malformed,
            "header jku",
            "this member",
            "without it",
        ),
        (
            headed(with(own(), "jwk", json!({}))),
            Malformed,
            "header jwk",
            "this member",
            "without it",
        ),
        (
            headed(with(own(), "crit", json!(["b64"]))),
            Malformed,
            "header crit",
            "this member",
            "without it",
        ),
        (headed(with(own(), "zip", "DEF")), Malformed, "header zip", "this member", "without it"),
        (headed(with(own(), "kid", 7)), Malformed, "header kid", "integer `7`", "a string"),
        (headed(json!(["alg"])), Malformed, "header", "sequence", "an object"),
        (headed(with(own(), "alg", "none")), WrongAlgorithm, "header alg", r#""none""#, "EdDSA"),
        (headed(with(own(), "alg", "HS256")), WrongAlgorithm, "header alg", "HS256", "EdDSA"),
        (headed(without(own(), "alg")), Malformed, "header alg", "none", "an algorithm"),
        (
            headed(with(own(), "typ", "at+jwt")),
            WrongType,
            "header typ",
            r#""at+jwt""#,
            r#""session+jwt""#,
        ),
        (headed(without(own(), "typ")), WrongType, "header typ", "none", r#""session+jwt""#),
        (
            headed(with(own(), "kid", "k\n1")),
            UnknownKey,
            "header kid",
            r#""k\n1""#,
            "a key of the ring",
        ),
        (headed(without(own(), "kid")), UnknownKey, "header kid", "none", "a key of the ring"),
        (claiming("[]"), Malformed, "payload", "sequence", "an object"),
        (claiming("{"), Malformed, "payload", "EOF", "an object"),
        (
            claiming(spliced(&payload(), r#""a":1,"a":2"#)),
            Malformed,
            "payload",
            r#""a" occurs twice"#,
            "repeated",
        ),
        (
            claiming(with(payload(), "iss", "https://x.example")),
            WrongIssuer,
            "iss",
            r#""https://x.example""#,
            r#""https://issuer.test""#,
        ),
        (other(json!("account")), WrongAudience, "aud", r#""account""#, r#""app""#),
        (other(json!(["a", "b"])), WrongAudience, "aud", r#"["a", "b"]"#, r#""app""#),
        (
            claiming(with(payload(), "aud", 1)),
            InvalidClaim("aud"),
            "aud",
            "integer `1`",
            "a string or an array",
        ),
        (
            claiming(with(payload(), "sub", "")),
            InvalidClaim("sub"),
            "sub",
            "an empty text",
            "a text",
        ),
        (
            claiming(without(payload(), "jti")),
            MissingClaim("jti"),
            "jti",
            "none",
            "an ID of the token",
        ),
        (
            text("exp", r#""1800000890""#),
            InvalidClaim("exp"),
            "exp",
            r#"string "1800000890""#,
            "seconds",
        ),
        (
            text("exp", "1800000890000"),
            InvalidClaim("exp"),
            "exp",
            "1800000890000",
            "seconds from 0 to 253402300799",
        ),
        (text("exp", "-1"), InvalidClaim("exp"), "exp", "integer `-1`", "seconds from 0"),
        (text("scope", "null"), InvalidClaim("scope"), "scope", "null", "a string"),
        (
            at("exp", NOW - 20),
            InvalidClaim("exp"),
            "exp",
            "2027-01-15T07:59:40Z",
            "later than iat, 2027-01-15T07:59:50Z",
        ),
        (at("iat", NOW - 100_000), LifetimeTooLong, "exp", "100890s after iat", "at most 86400s"),
        (
            claiming(with(with(payload(), "iat", NOW - 1000), "exp", NOW - 100)),
            Expired,
            "exp",
            "2027-01-15T07:58:20Z, 100s ago",
            "later than 2027-01-15T08:00:00Z, less the leeway of 60s",
        ),
        (
            at("iat", NOW + 100),
            IssuedInFuture,
            "iat",
            "2027-01-15T08:01:40Z, in 100s",
            "at most 2027-01-15T08:00:00Z",
        ),
        (at("nbf", NOW + 100), NotYetValid, "nbf", "in 100s", "leeway of 60s"),
        (
            at("auth_time", NOW + 100),
            InvalidClaim("auth_time"),
            "auth_time",
            "in 100s",
            "leeway of 60s",
        ),
        (
            at("auth_time", NOW + 55),
            InvalidClaim("auth_time"),
            "auth_time",
            "2027-01-15T08:00:55Z",
            "at most iat",
        ),
        (
            claiming(with(payload(), "level", "a@example.com")),
            InvalidApplicationClaims,
            "application claims",
            "string \"\u{2026}\", expected u8",
            "User",
        ),
    ]
}

#[test]
fn rejection_shows_found_and_expected_values() {
    for (token, kind, about, found, expected) in refusals() {
        let rejection = sessions().validate(&token).unwrap_err();
        assert_eq!(rejection.kind(), kind, "{rejection}");
        assert_eq!(rejection.about(), Some(about), "{rejection}");
        assert!(rejection.found().unwrap().contains(found), "{rejection}");
        assert!(rejection.expected().unwrap().contains(expected), "{rejection}");
        let text = format!("{rejection:#}");
        assert!(text.contains(found) && text.contains(expected), "{text}");
        assert!(text.len() < 600 && !text.contains(char::is_control), "{text:?}");
    }
}

/// Both are written by the same checks, so that neither is ever another.
#[test]
fn explanation_agrees_with_validation() {
    let good = claiming(payload());
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    let tokens = refusals().into_iter().map(|refusal| refusal.0);
    for token in tokens.chain([good, forged, String::new(), ".".into(), "..".into()]) {
        let rejection = sessions().validate(&token).err();
        let explanation = sessions().explain(&token);
        assert_eq!(explanation.rejection, rejection, "{token}");
        assert_eq!(explanation.failed().is_none(), rejection.is_none(), "{token}");
        let outcomes: Vec<_> = explanation.checks.iter().map(|check| check.outcome).collect();
        assert!(outcomes.is_sorted_by_key(|outcome| *outcome as u8), "{outcomes:?}");
        assert_eq!(outcomes.len(), 20);
        if let (Some(rejection), Some(failed)) = (&rejection, explanation.failed()) {
            assert!(failed.found.is_some(), "{explanation}");
            if rejection.expected().is_some() {
                assert_eq!(failed.expected.as_deref(), rejection.expected());
            }
        }
    }
}

#[test]
fn explanation_of_a_valid_token_shows_header_claims_and_times() {
    let explanation = sessions().explain(&claiming(payload()));
    assert!(explanation.rejection.is_none() && explanation.signature_verified);
    assert_eq!(explanation.at, ManualClock::default().now());
    assert_eq!(explanation.header, Some(header(&ed25519())));
    assert_eq!(explanation.claims, Some(payload()));
    let at = |seconds| Timestamp::from_unix_seconds(seconds);
    let expected =
        [("iat", at(NOW - 10)), ("exp", at(NOW + 890)), ("auth_time", at(NOW - 200_000))];
    assert_eq!(explanation.times, expected);
    let names: Vec<_> = explanation.checks.iter().map(|check| check.name).collect();
    assert_eq!(names[..5], ["length", "parts", "header", "algorithm", "type"]);
    assert_eq!(names[5..10], ["key", "key times", "signature", "payload", "issuer"]);
    assert_eq!(names[10..14], ["audience", "identity", "required claims", "times"]);
    assert_eq!(names[14..16], ["lifetime", "expiry"]);
    assert_eq!(names[16..], ["issue time", "not before", "login time", "revocation"]);
    let text = explanation.to_string();
    for line in [
        "outcome: valid at 2027-01-15T08:00:00Z",
        r#""sub":"alice""#,
        "exp: 2027-01-15T08:14:50Z, in 890s",
        "signature: passed",
        r#"audience: passed, found "app""#,
        "revocation: passed",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let value = serde_json::to_value(&explanation).unwrap();
    assert_eq!(value["outcome"], "valid");
    assert_eq!(value["claims"]["sub"], "alice");
    assert_eq!(value["times"]["exp"], "2027-01-15T08:14:50Z");
    assert_eq!(value["checks"][0]["name"], "length");
    assert_eq!(value["checks"][0]["outcome"], "passed");
}

#[test]
fn explanation_of_a_refused_token_names_the_check_that_failed() {
    let failed = |token: &str| {
        let explanation = sessions().explain(token);
        explanation.failed().expect("refused").name
    };
    let good = claiming(payload());
    let by_other = fixed_key(Algorithm::HS256).with_key_id("other");
    let unknown = mint(&by_other, header(&by_other).to_string(), payload().to_string());
    assert_eq!(failed(&unknown), "key");
    assert_eq!(failed(&format!("{}AAAA", &good[..good.len() - 4])), "signature");
    assert_eq!(failed(&claiming(with(payload(), "aud", "x"))), "audience");
    assert_eq!(failed(&claiming(with(payload(), "nbf", NOW + 100))), "not before");
    assert_eq!(failed(&claiming(without(payload(), "exp"))), "times");
    assert_eq!(failed("opaque"), "parts");
    let explanation: Explanation = sessions().explain(&unknown);
    assert!(!explanation.signature_verified);
    // Anyone may have written them.
    assert!(explanation.to_string().contains("claims (not verified)"), "{explanation}");
    let last = explanation.checks.last().unwrap();
    assert_eq!((last.name, last.outcome), ("revocation", CheckOutcome::NotReached));
}

#[test]
fn texts_of_a_sender_are_bounded_and_cannot_break_a_log() {
    let evil = "a\r\nlevel=ERROR \u{1b}[2J\u{202e}";
    for token in [
        headed(with(header(&ed25519()), "kid", evil)),
        headed(with(header(&ed25519()), "typ", evil)),
        headed(with(header(&ed25519()), "alg", evil)),
        headed(with(header(&ed25519()), evil, json!({ "a": evil }))),
        claiming(with(payload(), "iss", evil)),
        claiming(with(payload(), "aud", json!([evil, "x".repeat(3000)]))),
        claiming(with(payload(), "level", evil.repeat(50))),
    ] {
        let rejection: Option<Rejection> = sessions().validate(&token).err();
        let explanation = sessions().explain(&token);
        let text = rejection.map(|rejection| format!("{rejection:#}")).unwrap_or_default();
        assert!(text.len() < 1500, "{text}");
        for text in [text, explanation.to_string().replace('\n', "")] {
            let breaks = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!text.contains(breaks), "{text:?}");
        }
    }
}

#[tokio::test]
async fn debug_log_has_found_and_expected_and_the_client_has_neither() {
    let sessions = sessions();
    let app = Router::new().route("/", on_get(async || "hello")).layer(sessions.validate_layer());
    for (token, kind, about, found, expected) in refusals() {
        let log = Events::of(
            async || {
                let answer = send(&app, get("/").bearer(&token)).await;
                assert_eq!((answer.status.as_u16(), &*answer.body), (401, UNAUTHORIZED));
                assert_eq!(answer.all("www-authenticate"), [r#"Bearer error="invalid_token""#]);
                let rejection = answer.extensions.get::<Rejection>().unwrap();
                assert_eq!((rejection.kind(), rejection.about()), (kind, Some(about)));
            },
            |events| !events.all().is_empty(),
        );
        let log = log.await.all();
        let event = log.iter().find(|event| event.message == "rejected a request").unwrap();
        let field = |name: &str| event.fields[name].clone();
        assert!(field("about").contains(about), "{event:?}");
        // As `tracing` shows a text.
        let shown = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        assert!(field("found").contains(&shown(found)), "{event:?} {found}");
        assert!(field("expected").contains(&shown(expected)), "{event:?}");
    }
}

#[tokio::test]
async fn key_that_is_revoked_is_named_as_that() {
    let ring = KeyRing::builder("app").store(MemoryStore::new()).open().await.unwrap();
    let sessions = Sessions::<()>::builder(ring.clone(), "https://issuer.test", "app").build();
    let sessions = sessions.unwrap();
    let token = sessions.issue(&Login::new("alice", ())).unwrap();
    let key_id = ring.status().signing_key_id.unwrap();
    ring.revoke(&key_id).await.unwrap();
    let rejection = sessions.validate(token.as_str()).unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::UnknownKey);
    assert!(rejection.found().unwrap().contains("revoked"), "{rejection}");
    assert_eq!(sessions.explain(token.as_str()).failed().unwrap().name, "key times");
}
