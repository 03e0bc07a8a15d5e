//! When the user logged in, by another issuer's tokens: what `auth_time` says, and nothing else.

use ::http::StatusCode;
use axum::Router;
use axum::routing::get as on_get;
use tower_jwt_session::{RejectionKind, SessionsBuilder};

use super::*;
use crate::support::web::{Credentials as _, get, send};

const MAX_AGE: Duration = Duration::from_secs(300);

async fn open() -> (KeyRing, ManualClock) {
    let client = FakeClient::new(set([jwk(Algorithm::EdDSA, "a")]));
    let clock = ManualClock::default();
    (following(&client, &clock).open().await.unwrap(), clock)
}

fn builder(keys: &KeyRing) -> SessionsBuilder<()> {
    Sessions::builder(keys.clone(), ISSUER, "orders")
}

/// A token that was issued now, for a login so many seconds ago; `None` for one that does not say.
fn logged_in(clock: &ManualClock, ago: Option<i64>) -> String {
    let now = clock.now().as_unix_seconds();
    token_with(clock, Algorithm::EdDSA, "a", |_, claims| {
        if let Some(ago) = ago {
            claims["auth_time"] = json!(now - ago);
        }
    })
}

/// The answer of a route with `max_auth_age`.
async fn ask(sessions: &Sessions<()>, token: &str) -> (StatusCode, Option<RejectionKind>) {
    let app = Router::new()
        .route("/", on_get(async || "recent"))
        .route_layer(sessions.validate_layer().max_auth_age(MAX_AGE));
    let answer = send(&app, get("/").bearer(token)).await;
    (answer.status, answer.kind())
}

#[tokio::test]
async fn login_time_missing_is_not_replaced_by_iat() {
    let (keys, clock) = open().await;
    let sessions = builder(&keys).build().unwrap();
    let session = sessions.validate(&logged_in(&clock, None)).unwrap();
    assert_eq!(session.authenticated_at(), None);
    let session = sessions.validate(&logged_in(&clock, Some(40))).unwrap();
    assert_eq!(session.authenticated_at(), Some(clock.now() - Duration::from_secs(40)));
}

#[tokio::test]
async fn max_auth_age_without_login_time_refuses() {
    let (keys, clock) = open().await;
    let sessions = builder(&keys).build().unwrap();
    let old = Some(RejectionKind::InsufficientUserAuthentication { max_age: MAX_AGE });
    // The token is issued anew each time, as a refresh at the issuer does.
    for _ in 0..3 {
        let answer = ask(&sessions, &logged_in(&clock, None)).await;
        assert_eq!(answer, (StatusCode::UNAUTHORIZED, old));
        assert_eq!(ask(&sessions, &logged_in(&clock, Some(5))).await, (StatusCode::OK, None));
        let answer = ask(&sessions, &logged_in(&clock, Some(3600))).await;
        assert_eq!(answer, (StatusCode::UNAUTHORIZED, old));
        clock.advance(Duration::from_secs(3600));
    }
}

#[tokio::test]
async fn require_auth_time_refuses_tokens_without() {
    let (keys, clock) = open().await;
    let sessions = builder(&keys).require_auth_time().build().unwrap();
    let refused = sessions.validate(&logged_in(&clock, None)).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::MissingClaim("auth_time"));
    assert!(sessions.validate(&logged_in(&clock, Some(0))).is_ok());
}

#[tokio::test]
async fn login_time_later_than_iat_is_refused() {
    let (keys, clock) = open().await;
    let sessions = builder(&keys).build().unwrap();
    let token = logged_in(&clock, Some(-60));
    let refused = logged_in(&clock, Some(-61));
    // By then it is no time of the future.
    clock.advance(Duration::from_secs(200));
    assert!(sessions.validate(&token).is_ok());
    let refused = sessions.validate(&refused).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::InvalidClaim("auth_time"));
}
