//! Settings that can't be, and what becomes of sessions without refresh tokens.

use tower_jwt_session::Transport;
use tower_jwt_session::testing::fixed_ring;
use tower_jwt_session::{CookieTransport, KeyRing, OperationErrorKind};

use tower_jwt_session::Revocations;
use tower_jwt_session::store::MemoryStore;

use super::*;

#[test]
fn a_setting_that_can_not_be_is_named_with_its_fix() {
    let clock = ManualClock::default();
    let second = Duration::from_secs(1);
    let day = 24 * HOUR;
    for (tokens, field, value, help) in [
        (RefreshTokens::new().lifetime(day + second), "refresh token lifetime", "86401s", "86400s"),
        (RefreshTokens::new().lifetime(299 * second), "access_token_lifetime", "300s", "299s"),
        (
            RefreshTokens::new().access_token_lifetime(9 * second),
            "access_token_lifetime",
            "9s",
            "10s",
        ),
        (
            RefreshTokens::new().access_token_lifetime(Duration::MAX),
            "access_token_lifetime",
            "1844",
            "",
        ),
        (RefreshTokens::new().grace(151 * second), "grace", "151s", "300s"),
        (
            RefreshTokens::new().access_token_lifetime(50 * second),
            "grace",
            "30s",
            "at most half of the access_token_lifetime (50s)",
        ),
    ] {
        let error = web::builder(&clock)
            .refresh_tokens(tokens.dangerous_without_reuse_detection())
            .build()
            .unwrap_err();
        let text = error.to_string();
        assert_eq!(error.setting(), Some(field), "{text}");
        assert!(text.contains(value) && text.contains(help), "{text}");
    }
    for tokens in [
        RefreshTokens::new().lifetime(day).grace(150 * second),
        RefreshTokens::new().lifetime(300 * second).grace(Duration::ZERO),
        RefreshTokens::new().access_token_lifetime(10 * second).grace(5 * second),
        RefreshTokens::default().access_token_lifetime(day),
    ] {
        web::builder(&clock)
            .refresh_tokens(tokens.dangerous_without_reuse_detection())
            .build()
            .unwrap();
    }
}

#[test]
fn only_an_issuer_for_bearer_clients_has_them() {
    let clock = ManualClock::default();
    let sessions = web::builder(&clock)
        .refresh_tokens(RefreshTokens::new().dangerous_without_reuse_detection());
    let error = sessions
        .transports([Transport::cookie(CookieTransport::new())])
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("refresh_tokens") && error.contains("Transport::bearer()"), "{error}");

    let keys = KeyRing::fixed([public_key()]).clock(clock.clone()).build().unwrap();
    let sessions = Sessions::<User>::builder(keys, "https://app.example", "app");
    let error = sessions
        .refresh_tokens(RefreshTokens::new().dangerous_without_reuse_detection())
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("refresh_tokens") && error.contains("leave it out"), "{error}");
}

#[test]
fn a_refresh_token_is_no_type_to_accept() {
    let keys = || KeyRing::fixed([public_key()]).build();
    for typ in ["refresh+jwt", "Refresh+JWT", "application/refresh+jwt"] {
        let sessions = Sessions::<User>::builder(keys().unwrap(), "https://app.example", "app");
        let error = sessions.accept_token_type(typ).build().unwrap_err().to_string();
        assert!(error.contains("accept_token_type") && error.contains(typ), "{error}");
    }
}

#[tokio::test]
async fn sessions_without_refresh_tokens_say_so() {
    let keys = fixed_ring(ManualClock::default());
    let sessions = Sessions::<User>::builder(keys, "https://app.example", "app").build().unwrap();
    let issued = sessions.issue_with_refresh_token(&web::login());
    assert!(
        matches!(&issued, Err(error) if error.kind() == OperationErrorKind::NotConfigured && error.to_string().contains("no refresh tokens")),
        "{issued:?}"
    );
    let refreshed = sessions.refresh("a.b.c").await;
    let error = refreshed.unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::NotConfigured);
    assert!(error.to_string().contains("no refresh tokens"), "{error}");
    assert!(error.to_string().contains("`.refresh_tokens(..)`"), "{error}");
}

#[tokio::test]
async fn refresh_tokens_whose_reuse_nobody_notices_are_a_build_error() {
    let clock = ManualClock::default();
    let store = MemoryStore::new();
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    let revocations = revocations.open().await.unwrap();
    let without = || web::builder(&clock);
    let with = || web::builder(&clock).revocations(revocations.clone());
    let tokens = || RefreshTokens::new().store(store.clone());
    let accepted = RefreshTokens::dangerous_without_reuse_detection;
    for (sessions, value, help) in [
        (without().refresh_tokens(RefreshTokens::new()), "set without a store", "`.store(..)`"),
        (with().refresh_tokens(RefreshTokens::new()), "set without a store", "`.store(..)`"),
        (without().refresh_tokens(tokens()), "without `revocations`", "`.revocations(..)`"),
        (with().refresh_tokens(accepted(tokens())), "with a store and with", "remove one"),
    ] {
        let error = sessions.build().unwrap_err();
        assert_eq!(error.setting(), Some("refresh_tokens"), "{error}");
        let text = error.to_string();
        assert!(text.contains(value) && text.contains(help), "{text}");
    }
    with().refresh_tokens(tokens()).build().unwrap();
    with().refresh_tokens(accepted(RefreshTokens::new())).build().unwrap();
}

#[tokio::test]
async fn time_to_redeem_that_is_zero_is_a_build_error() {
    let clock = ManualClock::default();
    let revocations = Revocations::builder("app").store(MemoryStore::new()).clock(clock.clone());
    let sessions = web::builder(&clock).revocations(revocations.open().await.unwrap());
    let tokens = RefreshTokens::new().store(MemoryStore::new()).redeem_timeout(Duration::ZERO);
    let error = sessions.refresh_tokens(tokens).build().unwrap_err();
    assert_eq!(error.setting(), Some("redeem_timeout"), "{error}");
}
