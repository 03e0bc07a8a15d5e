//! Another issuer's tokens: their issuer, their type, and the claims that they may lack.

use super::*;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::{RejectionKind, SessionsBuilder};

const HOUR: i64 = 60 * 60;

async fn open() -> (KeyRing, ManualClock) {
    let (client, clock) =
        (FakeClient::new(set([jwk(Algorithm::EdDSA, "a")])), ManualClock::default());
    let ring = following(&client, &clock).max_token_lifetime(Duration::from_secs(HOUR as u64));
    (ring.open().await.unwrap(), clock)
}

fn builder(keys: &KeyRing) -> SessionsBuilder<()> {
    Sessions::builder(keys.clone(), ISSUER, "orders")
}

fn typed(clock: &ManualClock, typ: Option<&str>) -> String {
    token_with(clock, Algorithm::EdDSA, "a", |header, _| match typ {
        Some(typ) => header["typ"] = typ.into(),
        None => drop(header.as_object_mut().unwrap().remove("typ")),
    })
}

/// A token with one claim changed; removed if null.
fn claiming(clock: &ManualClock, name: &str, value: Value) -> String {
    token_with(clock, Algorithm::EdDSA, "a", |_, claims| match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    })
}

fn kind(validated: Result<Session<()>, Rejection>) -> RejectionKind {
    validated.unwrap_err().kind()
}

#[tokio::test]
async fn a_key_is_good_for_its_issuers_tokens_alone() {
    let (keys, clock) = open().await;
    for issuer in ["https://login.example/", "https://other.example"] {
        let error = Sessions::<()>::builder(keys.clone(), issuer, "orders").build().unwrap_err();
        assert!(error.setting() == Some("issuer"), "{error}");
        assert!(error.to_string().contains(ISSUER), "{error}");
        let token = claiming(&clock, "iss", json!(issuer));
        assert_eq!(kind(sessions(&keys).validate(&token)), RejectionKind::WrongIssuer);
    }
    let elsewhere = claiming(&clock, "aud", json!("billing"));
    assert_eq!(kind(sessions(&keys).validate(&elsewhere)), RejectionKind::WrongAudience);
}

#[tokio::test]
async fn lifetimes_are_the_issuers_to_say() {
    let (client, clock) =
        (FakeClient::new(set([jwk(Algorithm::EdDSA, "a")])), ManualClock::default());
    let ring = following(&client, &clock).max_token_lifetime(Duration::from_secs(60));
    let keys = ring.open().await.unwrap();
    let sessions = sessions(&keys);
    let now = clock.now().as_unix_seconds();
    assert!(sessions.validate(&claiming(&clock, "exp", json!(now + 60))).is_ok());
    let long = claiming(&clock, "exp", json!(now + 61));
    assert_eq!(kind(sessions.validate(&long)), RejectionKind::LifetimeTooLong);
}

#[tokio::test]
async fn the_leeway_is_the_clock_skew_that_is_set() {
    let client = FakeClient::new(set([jwk(Algorithm::EdDSA, "a")]));
    let clock = ManualClock::default();
    let ring = following(&client, &clock).clock_skew(Duration::from_secs(2));
    let sessions = sessions(&ring.open().await.unwrap());
    let token = token(&clock, Algorithm::EdDSA, "a");
    clock.advance(Duration::from_millis(301_999));
    assert!(sessions.validate(&token).is_ok());
    clock.advance(Duration::from_millis(1));
    assert_eq!(kind(sessions.validate(&token)), RejectionKind::Expired);
}

#[tokio::test]
async fn a_named_type_is_a_media_type_and_no_other_is_taken() {
    let (keys, clock) = open().await;
    for setting in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        let sessions = builder(&keys).accept_token_type(setting).build().unwrap();
        let typed = |typ| sessions.validate(&typed(&clock, typ));
        for good in ["at+jwt", "AT+jwt", "application/at+jwt", "Application/AT+JWT"] {
            assert!(typed(Some(good)).is_ok(), "{good}");
        }
        let bad = ["session+jwt", "JWT", "", "jwt", " at+jwt"];
        let other = ["text/at+jwt", "application/x/at+jwt", "application:at+jwt"];
        for bad in bad.iter().chain(&other).copied().map(Some).chain([None]) {
            assert_eq!(kind(typed(bad)), RejectionKind::WrongType, "{bad:?}");
        }
    }
}

/// The header that this crate writes is found without being parsed.
#[tokio::test]
async fn our_own_header_is_no_way_around_the_type() {
    let (keys, clock) = open().await;
    let signer = testing::fixed_key(Algorithm::EdDSA).with_key_id("a");
    let issuing = KeyRing::fixed([signer]).clock(clock.clone()).build().unwrap();
    let login = tower_jwt_session::Login::new("alice", ());
    let token = sessions(&issuing).issue(&login).unwrap();
    assert!(sessions(&keys).validate(token.as_str()).is_ok());
    for other in [
        builder(&keys).accept_token_type("at+jwt"),
        builder(&keys).accept_token_type("JWT"),
        builder(&keys).accept_without_token_type(),
    ] {
        let refused = other.build().unwrap().validate(token.as_str());
        assert_eq!(kind(refused), RejectionKind::WrongType);
    }
}

#[tokio::test]
async fn our_own_type_is_exact() {
    let (keys, clock) = open().await;
    for sessions in
        [sessions(&keys), builder(&keys).accept_token_type("session+jwt").build().unwrap()]
    {
        assert!(sessions.validate(&typed(&clock, Some("session+jwt"))).is_ok());
        for other in [Some("Session+JWT"), Some("application/session+jwt"), Some("JWT"), None] {
            let refused = sessions.validate(&typed(&clock, other));
            assert_eq!(kind(refused), RejectionKind::WrongType, "{other:?}");
        }
    }
}

#[tokio::test]
async fn token_of_usual_type_or_none_is_accepted_as_set() {
    let (keys, clock) = open().await;
    let usual = [Some("JWT"), Some("jwt"), Some("application/jwt")];
    let typed = |typ| typed(&clock, typ);
    let cases = [
        (builder(&keys).accept_token_type("JWT"), true, false, "\"JWT\""),
        (builder(&keys).accept_without_token_type(), false, true, "none"),
        (
            builder(&keys).accept_token_type("JWT").accept_without_token_type(),
            true,
            true,
            "\"JWT\" or none",
        ),
    ];
    for (builder, accepts_usual, accepts_none, expected) in cases {
        let sessions = builder.build().unwrap();
        for usual in usual {
            assert_eq!(sessions.validate(&typed(usual)).is_ok(), accepts_usual, "{expected}");
        }
        assert_eq!(sessions.validate(&typed(None)).is_ok(), accepts_none, "{expected}");
        for other in ["at+jwt", "session+jwt", "logout+jwt", "application:JWT", ""] {
            let refused = sessions.validate(&typed(Some(other))).unwrap_err();
            assert_eq!(refused.kind(), RejectionKind::WrongType, "{other}");
            assert_eq!(refused.expected(), Some(&*format!("{expected} (accept_token_type)")));
        }
    }
}

#[tokio::test]
async fn token_without_jti_gets_id_from_signed_part() {
    let (keys, clock) = open().await;
    let bare = claiming(&clock, "jti", Value::Null);
    let refused = sessions(&keys).validate(&bare);
    assert_eq!(kind(refused), RejectionKind::MissingClaim("jti"));

    let sessions = builder(&keys).accept_without_token_id().build().unwrap();
    let [one, again] = [(); 2].map(|()| sessions.validate(&bare).unwrap());
    assert_eq!(one.token_id(), again.token_id());
    assert_eq!(one.token_id().len(), 43);
    assert_eq!(one.session_id(), one.token_id());
    clock.advance(Duration::from_secs(1));
    let other = sessions.validate(&claiming(&clock, "jti", Value::Null)).unwrap();
    assert_ne!(one.token_id(), other.token_id());
    let named = sessions.validate(&claiming(&clock, "jti", json!("b"))).unwrap();
    assert_eq!(named.token_id(), "b");
    let empty = sessions.validate(&claiming(&clock, "jti", json!("")));
    assert_eq!(kind(empty), RejectionKind::InvalidClaim("jti"));
}

#[tokio::test]
async fn a_token_without_its_time_counts_as_old_as_it_can_be() {
    let (keys, clock) = open().await;
    let now = clock.now().as_unix_seconds();
    let until = |exp: i64| {
        token_with(&clock, Algorithm::EdDSA, "a", |_, claims| {
            claims["exp"] = json!(exp);
            claims.as_object_mut().unwrap().remove("iat");
        })
    };
    let refused = sessions(&keys).validate(&until(now + 300));
    assert_eq!(kind(refused), RejectionKind::MissingClaim("iat"));

    let sessions = builder(&keys).dangerous_accept_without_issued_at().build().unwrap();
    let session = sessions.validate(&until(now + 300)).unwrap();
    assert_eq!(session.issued_at().as_unix_seconds(), now + 300 - HOUR);
    assert_eq!(session.authenticated_at(), None);
    // One that is valid for longer than any is refused, leeway not counted.
    assert!(sessions.validate(&until(now + HOUR + 60)).is_ok());
    let long = sessions.validate(&until(now + HOUR + 61));
    assert_eq!(kind(long), RejectionKind::IssuedInFuture);
    // With its time the lifetime is checked as ever.
    let long = token_with(&clock, Algorithm::EdDSA, "a", |_, claims| {
        (claims["iat"], claims["exp"]) = (json!(now - 100), json!(now - 100 + HOUR + 1));
    });
    assert_eq!(kind(sessions.validate(&long)), RejectionKind::LifetimeTooLong);
}

#[tokio::test]
async fn other_issuer_settings_on_issuing_ring_are_refused() {
    let rotated = KeyRing::builder("app").store(MemoryStore::new()).open().await.unwrap();
    let fixed = testing::fixed_ring(ManualClock::default());
    for keys in [rotated, fixed] {
        let cases = [
            ("accept_token_type", builder(&keys).accept_token_type("at+jwt")),
            ("accept_without_token_type", builder(&keys).accept_without_token_type()),
            ("accept_without_key_id", builder(&keys).accept_without_key_id()),
            ("ignore_embedded_keys", builder(&keys).ignore_embedded_keys()),
            ("audience_claim", builder(&keys).audience_claim("azp")),
            ("subject_claim", builder(&keys).subject_claim("azp")),
            ("require_claim", builder(&keys).require_claim("token_use", "access")),
            ("tenants", builder(&keys).tenants(["one"])),
            ("accept_without_token_id", builder(&keys).accept_without_token_id()),
            (
                "dangerous_accept_without_issued_at",
                builder(&keys).dangerous_accept_without_issued_at(),
            ),
        ];
        for (setting, sessions) in cases {
            let error = sessions.build().unwrap_err();
            let named = error.setting() == Some(setting);
            assert!(named, "{setting}: {error}");
        }
    }
    // Public keys that never change are for validation too.
    let public = jwk(Algorithm::EdDSA, "a").to_string();
    let keys = KeyRing::fixed([tower_jwt_session::Key::from_jwk(public).unwrap()]).build().unwrap();
    builder(&keys).accept_token_type("at+jwt").build().unwrap();
}

#[tokio::test]
async fn text_that_is_no_access_tokens_type_is_a_build_error() {
    let (keys, _) = open().await;
    for typ in ["", "application/", "at jwt", "at+jwt\n", "refresh+jwt"] {
        let error = builder(&keys).accept_token_type(typ).build().unwrap_err();
        assert!(error.setting() == Some("accept_token_type"), "{typ:?}: {error}");
    }
    builder(&keys)
        .accept_token_type("session+jwt")
        .accept_without_token_type()
        .build()
        .unwrap_err();
}
