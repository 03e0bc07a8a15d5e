//! Claims in place of others, and claims that are required.

use super::*;
use tower_jwt_session::{RejectionKind, SessionsBuilder};

async fn open() -> (KeyRing, ManualClock) {
    let client = FakeClient::new(set([jwk(Algorithm::EdDSA, "a")]));
    let clock = ManualClock::default();
    (following(&client, &clock).open().await.unwrap(), clock)
}

fn builder(keys: &KeyRing) -> SessionsBuilder<Value> {
    Sessions::builder(keys.clone(), ISSUER, "orders").audiences(["web"])
}

/// A token with other claims; `null` takes one away.
fn claiming(clock: &ManualClock, changes: Value) -> String {
    token_with(clock, Algorithm::EdDSA, "a", |_, claims| {
        let claims = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.remove(name),
                value => claims.insert(name.clone(), value.clone()),
            };
        }
    })
}

fn judge(sessions: &Sessions<Value>, token: &str) -> Result<Session<Value>, RejectionKind> {
    let explanation = sessions.explain(token);
    let judged = sessions.validate(token);
    assert_eq!(judged.as_ref().err(), explanation.rejection.as_ref());
    judged.map_err(|rejection| rejection.kind())
}

#[tokio::test]
async fn audience_claim_counts_only_without_aud() {
    use RejectionKind::{MissingClaim, WrongAudience};
    let (keys, clock) = open().await;
    let sessions = builder(&keys).audience_claim("client_id").build().unwrap();
    for (changes, expected) in [
        (json!({"aud": null, "client_id": "web"}), None),
        (json!({"aud": null, "client_id": ["app", "orders"]}), None),
        (json!({"aud": null, "client_id": "evil"}), Some(WrongAudience)),
        (json!({"aud": null}), Some(MissingClaim("aud"))),
        (json!({"aud": null, "client_id": 5}), Some(MissingClaim("aud"))),
        (json!({"aud": null, "client_id": {"a": "web"}}), Some(MissingClaim("aud"))),
        // Both: `aud` decides.
        (json!({"client_id": "evil"}), None),
        (json!({"aud": "evil", "client_id": "web"}), Some(WrongAudience)),
        (json!({"aud": [], "client_id": "web"}), Some(WrongAudience)),
    ] {
        let judged = judge(&sessions, &claiming(&clock, changes.clone()));
        assert_eq!(judged.as_ref().err(), expected.as_ref(), "{changes}");
        if let Ok(session) = judged {
            assert_eq!(session.claims()["client_id"], changes["client_id"], "still readable");
        }
    }
    let strict = builder(&keys).build().unwrap();
    let token = claiming(&clock, json!({"aud": null, "client_id": "web"}));
    assert_eq!(judge(&strict, &token).unwrap_err(), MissingClaim("aud"));
}

#[tokio::test]
async fn subject_claim_counts_only_without_sub() {
    use RejectionKind::{InvalidClaim, MissingClaim};
    let (keys, clock) = open().await;
    let sessions = builder(&keys).subject_claim("azp").build().unwrap();
    for (changes, expected) in [
        (json!({"sub": null, "azp": "web"}), Ok("web")),
        (json!({"sub": null, "azp": "w\u{e9}\n"}), Ok("w\u{e9}\n")),
        (json!({"sub": "", "azp": "web"}), Ok("web")),
        (json!({"azp": "web"}), Ok("alice")),
        (json!({"sub": null}), Err(MissingClaim("sub"))),
        (json!({"sub": null, "azp": ["web"]}), Err(MissingClaim("sub"))),
        (json!({"sub": null, "azp": ""}), Err(InvalidClaim("sub"))),
    ] {
        let judged = judge(&sessions, &claiming(&clock, changes.clone()));
        let subject = judged.as_ref().map(Session::subject).map_err(|kind| *kind);
        assert_eq!(subject, expected, "{changes}");
    }
    let token = claiming(&clock, json!({"sub": null, "azp": "web"}));
    let strict = builder(&keys).build().unwrap();
    assert_eq!(judge(&strict, &token).unwrap_err(), MissingClaim("sub"));
}

#[tokio::test]
async fn token_without_a_required_claim_is_of_another_kind() {
    let (keys, clock) = open().await;
    let access = builder(&keys).require_claim("token_use", "access").build().unwrap();
    let both = builder(&keys).require_claim("token_use", "access").require_claim("token_use", "id");
    let both = both.build().unwrap();
    let verified = builder(&keys).require_claim("email_verified", true).build().unwrap();
    let present = builder(&keys).require_claim_present("azp").require_claim_present("scope");
    let present = present.build().unwrap();
    let not_before = builder(&keys).require_claim_present("nbf").build().unwrap();
    let now = clock.now().as_unix_seconds();
    for (sessions, changes, is_accepted) in [
        (&access, json!({"token_use": "access"}), true),
        (&access, json!({"token_use": "id"}), false),
        (&access, json!({"token_use": ["access"]}), false),
        (&access, json!({"token_use": {"access": "access"}}), false),
        (&access, json!({}), false),
        (&both, json!({"token_use": "id"}), true),
        (&both, json!({"token_use": "refresh"}), false),
        (&verified, json!({"email_verified": true}), true),
        (&verified, json!({"email_verified": "true"}), false),
        (&verified, json!({"email_verified": false}), false),
        (&present, json!({"azp": 0}), true),
        (&present, json!({}), false),
        (&present, json!({"azp": 0, "scope": null}), false),
        (&not_before, json!({"nbf": now}), true),
        (&not_before, json!({}), false),
    ] {
        let judged = judge(sessions, &claiming(&clock, changes.clone())).map(drop);
        let expected = if is_accepted { Ok(()) } else { Err(RejectionKind::WrongClaim) };
        assert_eq!(judged, expected, "{changes}");
    }
    // JSON's null is as good as absent.
    let null = token_with(&clock, Algorithm::EdDSA, "a", |_, claims| claims["azp"] = json!(null));
    assert_eq!(judge(&present, &null).unwrap_err(), RejectionKind::WrongClaim);
    let explanation = access.explain(&claiming(&clock, json!({"token_use": "id"})));
    let failed = explanation.failed().unwrap();
    assert_eq!(failed.name, "required claims");
    assert_eq!(failed.found.as_deref(), Some(r#"token_use "id""#));
    assert_eq!(failed.expected.as_deref(), Some(r#"token_use "access""#));
}

#[tokio::test]
async fn claim_that_a_rule_needs_is_read_as_strictly_as_others() {
    let (keys, clock) = open().await;
    let sessions = builder(&keys).require_claim_present("azp").build().unwrap();
    let header = json!({ "alg": "EdDSA", "typ": "session+jwt", "kid": "a" }).to_string();
    let key = testing::fixed_key(Algorithm::EdDSA);
    let now = clock.now().as_unix_seconds();
    let token = |member: &str| {
        let payload = format!(
            r#"{{"iss":"{ISSUER}","sub":"alice","aud":"orders","iat":{now},"exp":{},"jti":"1",{member}}}"#,
            now + 300
        );
        testing::mint(&key, &header, payload)
    };
    let [nested, flat, broken] = [
        token(r#""azp":{"a":{"b":1,"b":2}}"#),
        token(r#""azp":"web","azp":"web""#),
        token(r#""azp":{"a":}"#),
    ];
    for token in [nested, flat, broken] {
        assert!(sessions.validate(&token).is_err());
    }
    let good = token(r#""azp":{"a":{"b":1,"c":[1.5,"é","\u00e9"]}}"#);
    let session = sessions.validate(&good).unwrap();
    assert_eq!(session.claims()["azp"], json!({"a": {"b": 1, "c": [1.5, "é", "é"]}}));
    // Also where the application reads no claims.
    let bare = Sessions::<()>::builder(keys.clone(), ISSUER, "orders").require_claim_present("azp");
    let bare = bare.build().unwrap();
    assert!(bare.validate(&good).is_ok());
    assert!(bare.validate(&token(r#""azp":{"a":{"b":1,"b":2}}"#)).is_err());
}

#[tokio::test]
async fn setting_that_names_a_registered_claim_is_a_build_error() {
    let (keys, _) = open().await;
    for (sessions, setting) in [
        (builder(&keys).audience_claim("sub"), "audience_claim"),
        (builder(&keys).audience_claim(""), "audience_claim"),
        (builder(&keys).subject_claim("jti"), "subject_claim"),
        (builder(&keys).require_claim("iss", "x"), "require_claim"),
        (builder(&keys).require_claim("scope", "x"), "require_claim"),
        (builder(&keys).require_claim("azp", Value::Null), "require_claim"),
        (builder(&keys).require_claim_present("exp"), "require_claim"),
        (builder(&keys).require_claim_present(""), "require_claim"),
        (builder(&keys).roles_claim("scope"), "roles_claim"),
        (builder(&keys).roles_claim(""), "roles_claim"),
        (builder(&keys).roles_claim("/"), "roles_claim"),
        (builder(&keys).roles_claim("/a~2b"), "roles_claim"),
        (builder(&keys).roles_claim("/a~"), "roles_claim"),
    ] {
        let error = sessions.build().unwrap_err();
        assert_eq!(error.setting(), Some(setting), "{error}");
    }
}

#[tokio::test]
async fn missing_claim_names_what_is_expected_and_the_setting() {
    let (keys, clock) = open().await;
    let plain = builder(&keys).build().unwrap();
    let in_place = builder(&keys).audience_claim("azp").subject_claim("azp").build().unwrap();
    for (sessions, claim, expected, setting) in [
        (&plain, "aud", r#""orders" or "web", or the setting"#, "audience_claim"),
        (&plain, "sub", "a subject, or the setting", "subject_claim"),
        (&plain, "jti", "an ID of the token, or", "accept_without_token_id"),
        (&plain, "iat", "a time of issue, or", "dangerous_accept_without_issued_at"),
        (&in_place, "aud", r#""orders" or "web" in aud, or in azp"#, "audience_claim"),
        (&in_place, "sub", "a subject in sub, or in azp", "subject_claim"),
        (&plain, "exp", "a time of expiry", ""),
        (&plain, "iss", "\"https://login.example\"", ""),
    ] {
        let explanation = sessions.explain(&claiming(&clock, json!({ claim: null })));
        assert_eq!(explanation.outcome, "missing_claim", "{claim}");
        let failed = explanation.failed().unwrap();
        let text = failed.expected.as_deref().unwrap();
        assert!(text.starts_with(expected) && text.contains(setting), "{claim}: {text}");
        let fix = explanation.fix.unwrap();
        assert!(fix.contains(&format!("claim `{claim}`")) && fix.contains(setting), "{fix}");
    }
    // These settings are none for tokens that are issued here.
    let own = testing::fixed_ring(clock.clone());
    let own = Sessions::<Value>::builder(own, ISSUER, "orders").build().unwrap();
    let key = testing::fixed_key(Algorithm::EdDSA);
    let header = json!({ "alg": "EdDSA", "typ": "session+jwt", "kid": key.key_id() });
    let token = testing::mint(&key, header.to_string(), json!({ "iss": ISSUER }).to_string());
    let refused = own.validate(&token).unwrap_err();
    let text = format!("{refused:#}");
    assert!(text.ends_with(r#"aud: found none, expected "orders""#), "{text}");
}

#[tokio::test]
async fn setting_for_another_issuers_tokens_on_a_ring_that_can_sign_names_the_fix() {
    let ring = testing::fixed_ring(ManualClock::default());
    let error = builder(&ring).accept_token_type("JWT").build().unwrap_err();
    assert_eq!(error.setting(), Some("accept_token_type"));
    assert!(error.to_string().contains("`Key::verify_only`"), "{error}");
    let key = testing::fixed_key(Algorithm::EdDSA).verify_only();
    let fixed = KeyRing::fixed([key]).build().unwrap();
    assert!(builder(&fixed).accept_token_type("JWT").build().is_ok());
}
