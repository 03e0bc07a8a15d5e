//! Tokens and keys without `kid`, keys without `alg`, and another issuer's shared secret.

use super::*;
use tower_jwt_session::{Key, KeyState, Login, RejectionKind, SessionsBuilder};

fn without(mut jwk: Value, member: &str) -> Value {
    jwk.as_object_mut().unwrap().remove(member);
    jwk
}

fn nameless(clock: &ManualClock, algorithm: Algorithm, key_id: Option<&str>) -> String {
    token_with(clock, algorithm, "", |header, _| match key_id {
        Some(key_id) => header["kid"] = key_id.into(),
        None => drop(header.as_object_mut().unwrap().remove("kid")),
    })
}

async fn open(document: String) -> (KeyRing, ManualClock) {
    let clock = ManualClock::default();
    (following(&FakeClient::new(document), &clock).open().await.unwrap(), clock)
}

fn builder(keys: &KeyRing) -> SessionsBuilder<()> {
    Sessions::builder(keys.clone(), ISSUER, "orders")
}

fn judge(sessions: &Sessions<()>, token: &str) -> Result<(), RejectionKind> {
    sessions.validate(token).map(drop).map_err(|rejection| rejection.kind())
}

#[tokio::test]
async fn token_without_kid_is_verified_by_the_only_key_of_its_algorithm() {
    use Algorithm::*;
    let (keys, clock) = open(set([jwk(EdDSA, "a"), jwk(ES256, "b"), jwk(RS256, "c")])).await;
    let strict = builder(&keys).build().unwrap();
    let sessions = builder(&keys).accept_without_key_id().build().unwrap();
    for algorithm in [EdDSA, ES256, RS256] {
        let token = nameless(&clock, algorithm, None);
        assert_eq!(judge(&strict, &token), Err(RejectionKind::UnknownKey));
        assert_eq!(judge(&sessions, &token), Ok(()), "{algorithm}");
        // These keys have names: another name is that of another key.
        let other = nameless(&clock, algorithm, Some("other"));
        assert_eq!(judge(&sessions, &other), Err(RejectionKind::UnknownKey));
    }
    // The key is an RSA key for RS256, whatever the token says.
    let other = nameless(&clock, RS512, None);
    assert_eq!(judge(&sessions, &other), Err(RejectionKind::UnknownKey));
    // Several candidates: the token may not choose.
    let (keys, clock) = open(set([jwk(EdDSA, "a"), jwk(EdDSA, "b")])).await;
    let sessions = builder(&keys).accept_without_key_id().build().unwrap();
    let rejection = sessions.validate(&nameless(&clock, EdDSA, None)).unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::UnknownKey);
    assert_eq!(rejection.found(), Some("none, and 2 keys for EdDSA"));
    assert_eq!(judge(&sessions, &nameless(&clock, EdDSA, Some("a"))), Ok(()));
}

#[tokio::test]
async fn key_without_kid_is_taken_for_tokens_with_and_without() {
    let bare = without(jwk(Algorithm::EdDSA, ""), "kid");
    let (keys, clock) = open(set([bare])).await;
    assert!(keys.status().skipped.is_empty());
    let strict = builder(&keys).build().unwrap();
    let sessions = builder(&keys).accept_without_key_id().build().unwrap();
    for key_id in [None, Some("any")] {
        let token = nameless(&clock, Algorithm::EdDSA, key_id);
        assert_eq!(judge(&strict, &token), Err(RejectionKind::UnknownKey));
        assert_eq!(judge(&sessions, &token), Ok(()), "{key_id:?}");
    }
}

#[tokio::test]
async fn key_without_alg_takes_the_only_one_of_the_issuers_metadata() {
    let clock = ManualClock::default();
    let bare = without(jwk(Algorithm::RS256, "a"), "alg");
    let useless = without(bare.clone(), "use");
    for (listed, key, accepted) in [
        (json!(["RS256"]), &bare, true),
        (json!(["RS256", "ES256", "HS256", "none", 5]), &bare, true),
        (json!(["RS256", "RS256"]), &bare, true),
        (json!(["RS256", "PS256"]), &bare, false),
        (json!(["ES256"]), &bare, false),
        (json!("RS256"), &bare, false),
        (json!(null), &bare, false),
        (json!(["PS256"]), &bare, false),
        // It may be a key for encryption.
        (json!(["RS256"]), &useless, false),
    ] {
        let other = jwk(Algorithm::EdDSA, "b");
        let client = FakeClient::new(set([key.clone(), other]));
        let document = json!({
            "issuer": ISSUER, "jwks_uri": URL, "id_token_signing_alg_values_supported": listed,
        });
        let place = format!("{ISSUER}/.well-known/openid-configuration");
        client.answers(&place, Answer::Says(200, "", document.to_string()));
        let ring = KeyRing::discover(ISSUER).client(client).clock(clock.clone());
        let keys = ring.open().await.unwrap();
        let token = token(&clock, Algorithm::RS256, "a");
        assert_eq!(sessions(&keys).validate(&token).is_ok(), accepted, "{listed}");
        let skipped = keys.status().skipped.concat();
        let is_known = accepted || listed == json!(["PS256"]);
        assert_eq!(skipped.contains("set `rsa_algorithm`"), !is_known, "{skipped}");
    }
}

#[test]
fn shared_secret_that_only_verifies_never_signs() {
    let clock = ManualClock::default();
    let key = || testing::fixed_key(Algorithm::HS256);
    let verifies = key().verify_only();
    assert!(key().can_sign() && !verifies.can_sign());
    assert_eq!(verifies.key_id(), key().key_id());
    let keys = KeyRing::fixed([verifies]).clock(clock.clone()).build().unwrap();
    let status = keys.status();
    assert_eq!((status.signing_key_id, status.keys[0].state), (None, KeyState::Verifying));
    keys.ready().unwrap();
    let sessions = builder(&keys).accept_token_type("JWT").accept_without_key_id();
    let sessions = sessions.build().unwrap();
    assert!(sessions.issue(&Login::new("alice", ())).is_err());
    let typed = |key_id: Option<&str>| {
        token_with(&clock, Algorithm::HS256, "", |header, _| {
            header["typ"] = "JWT".into();
            match key_id {
                Some(key_id) => header["kid"] = key_id.into(),
                None => drop(header.as_object_mut().unwrap().remove("kid")),
            }
        })
    };
    for key_id in [None, Some("YyH"), Some(key().key_id())] {
        assert_eq!(judge(&sessions, &typed(key_id)), Ok(()), "{key_id:?}");
    }
    // Under a name of its own it is found by that alone.
    let named = key().with_key_id("YyH").verify_only();
    let keys = KeyRing::fixed([named]).clock(clock.clone()).build().unwrap();
    let sessions = builder(&keys).accept_token_type("JWT").accept_without_key_id();
    let sessions = sessions.build().unwrap();
    assert_eq!(judge(&sessions, &typed(Some("YyH"))), Ok(()));
    assert_eq!(judge(&sessions, &typed(Some("other"))), Err(RejectionKind::UnknownKey));
}

#[cfg(feature = "aws-lc-rs")]
#[test]
fn verify_only_key_of_another_backend_never_signs() {
    use tower_jwt_session::CryptoBackend;
    let key = Key::verify_only(testing::fixed_key(Algorithm::HS256));
    let ring = KeyRing::fixed([key]).crypto_backend(CryptoBackend::AwsLcRs).build().unwrap();
    assert_eq!(ring.status().signing_key_id, None);
}
