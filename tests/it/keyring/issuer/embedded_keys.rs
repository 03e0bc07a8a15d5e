//! Keys in a token's header: refused, or ignored where that is set; never used.

use super::*;
use tower_jwt_session::RejectionKind;

const MEMBERS: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];

async fn open() -> (KeyRing, ManualClock) {
    let client = FakeClient::new(set([jwk(Algorithm::EdDSA, "a")]));
    let clock = ManualClock::default();
    (following(&client, &clock).open().await.unwrap(), clock)
}

fn with(clock: &ManualClock, members: &[(&str, Value)]) -> String {
    token_with(clock, Algorithm::EdDSA, "a", |header, _| {
        header["typ"] = "JWT".into();
        for (name, value) in members {
            header[*name] = value.clone();
        }
    })
}

#[tokio::test]
async fn embedded_key_is_refused_or_ignored_as_set() {
    let (keys, clock) = open().await;
    let builder =
        || Sessions::<()>::builder(keys.clone(), ISSUER, "orders").accept_token_type("JWT");
    let [strict, ignoring] =
        [builder(), builder().ignore_embedded_keys()].map(|builder| builder.build().unwrap());
    for member in MEMBERS {
        let token = with(&clock, &[(member, json!("https://evil.example/keys"))]);
        let refused = strict.validate(&token).unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::Malformed);
        assert!(ignoring.validate(&token).is_ok(), "{member}");
    }
    // A chain of certificates is long.
    let chain = json!(["M".repeat(1700), "M".repeat(1700)]);
    assert!(ignoring.validate(&with(&clock, &[("x5c", chain)])).is_ok());
    let long = json!(["M".repeat(7000)]);
    let refused = ignoring.validate(&with(&clock, &[("x5c", long)])).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::TooLong);
    for (member, value) in [("crit", json!(["exp"])), ("b64", json!(false)), ("zip", json!("DEF"))]
    {
        let refused = ignoring.validate(&with(&clock, &[(member, value)])).unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::Malformed, "{member}");
    }
    let twice = json!({ "a": 1 });
    let text = with(&clock, &[("jwk", twice)]);
    assert!(ignoring.validate(&text).is_ok());
}

#[tokio::test]
async fn embedded_key_verifies_nothing() {
    let (keys, clock) = open().await;
    let sessions = Sessions::<()>::builder(keys.clone(), ISSUER, "orders")
        .accept_token_type("JWT")
        .accept_without_key_id()
        .ignore_embedded_keys()
        .build()
        .unwrap();
    // Signed with a key of the sender's, which the header brings.
    let own = jwk(Algorithm::ES256, "a");
    for key_id in [Some("a"), Some("evil"), None] {
        let token = token_with(&clock, Algorithm::ES256, "a", |header, _| {
            header["typ"] = "JWT".into();
            header["jwk"] = own.clone();
            header["jku"] = "https://evil.example/keys".into();
            match key_id {
                Some(key_id) => header["kid"] = key_id.into(),
                None => drop(header.as_object_mut().unwrap().remove("kid")),
            }
        });
        let refused = sessions.validate(&token).unwrap_err();
        let expected = [RejectionKind::WrongAlgorithm, RejectionKind::UnknownKey];
        assert!(expected.contains(&refused.kind()), "{refused:?}");
    }
}
