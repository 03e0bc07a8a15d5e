//! What the guide says of tokens that were made by hand: which setting accepts them, or that none does.

use std::time::Duration;

use serde_json::{Value, json};
use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{Algorithm, Key, KeyRing, RotationPolicy, Sessions, SessionsBuilder};

use crate::support::{SECRET, now, old_token};

type Builder = SessionsBuilder<Value>;

fn builder(policy: RotationPolicy) -> Builder {
    let key = Key::hmac_from_text(Algorithm::HS256, SECRET).unwrap().verify_only();
    let keys = KeyRing::fixed([key]).rotation(policy).build().unwrap();
    Sessions::builder(keys, "orders", "orders").accept_token_type("JWT").accept_without_key_id()
}

/// A token with these claims is refused, and accepted with the setting.
fn check(claims: Value, setting: impl FnOnce(Builder) -> Builder) {
    let token = old_token(claims.clone());
    let plain = builder(RotationPolicy::new()).build().unwrap();
    assert!(plain.validate(&token).is_err(), "{claims}");
    let sessions = setting(builder(RotationPolicy::new())).build().unwrap();
    let session = sessions.validate(&token).unwrap_or_else(|error| panic!("{claims}: {error}"));
    assert_eq!(session.subject(), "17");
}

#[test]
fn setting_accepts_what_lacks_a_claim() {
    check(json!({ "aud": null, "service": "orders" }), |it| it.audience_claim("service"));
    check(json!({ "sub": null, "user_id": "17" }), |it| it.subject_claim("user_id"));
    check(json!({ "jti": null }), |it| it.accept_without_token_id());
    check(json!({ "iat": null }), |it| it.dangerous_accept_without_issued_at());
}

#[test]
fn longer_lives_need_a_longer_policy() {
    let week = Duration::from_secs(7 * 24 * 3600);
    let token = old_token(json!({ "exp": now() + week.as_secs() }));
    assert!(builder(RotationPolicy::new()).build().unwrap().validate(&token).is_err());
    let policy = RotationPolicy::new().max_token_lifetime(week);
    assert!(builder(policy).build().unwrap().validate(&token).is_ok());
}

#[test]
fn no_setting_accepts_a_token_without_issuer_or_with_a_number_as_subject() {
    for claims in [json!({ "iss": null }), json!({ "sub": 17 })] {
        let sessions = builder(RotationPolicy::new());
        let sessions = sessions.audience_claim("service").subject_claim("user_id").build().unwrap();
        assert!(sessions.validate(&old_token(claims.clone())).is_err(), "{claims}");
    }
}

#[test]
fn old_and_new_tokens_need_two_issuers() {
    let keys = KeyRing::fixed([fixed_key(Algorithm::EdDSA)]).build().unwrap();
    let old = builder(RotationPolicy::new()).build().unwrap();
    let both = Sessions::<Value>::builder(keys, "orders", "orders").also_accept_sessions(old);
    assert!(both.build().unwrap_err().to_string().contains("also_accept_sessions"));
}

#[test]
fn short_secret_is_refused() {
    assert!(Key::hmac_from_text(Algorithm::HS256, "secret").is_err());
}
