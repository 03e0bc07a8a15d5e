//! Routes that require a recent login: an old one is refused, and its session stays valid.

use std::time::Duration;

use axum::Router;
use axum::routing::get as on_get;
use http::StatusCode;
use tower_jwt_session::CookieTransport;
use tower_jwt_session::Transport;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{RejectionKind, Sessions};

use crate::support::web::*;

const MAX_AGE: Duration = Duration::from_secs(300);
/// The ring's, by default.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// A page for everyone who is logged in, and one for those who have just done it.
fn app(sessions: &Sessions<User>) -> Router {
    let guarded = Router::new()
        .route("/password", on_get(async || "change it"))
        .route_layer(sessions.validate_layer().max_auth_age(MAX_AGE));
    Router::new().route("/", on_get(async || "hello")).merge(guarded).layer(sessions.layer())
}

#[tokio::test]
async fn an_old_login_is_asked_for_again_and_the_session_goes_on() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = app(&sessions);
    let token = token(&sessions);
    clock.advance(MAX_AGE + CLOCK_SKEW);
    for request in [get("/password").cookie(&token), get("/password").bearer(&token)] {
        assert_eq!(send(&app, request).await.body, "change it");
    }

    clock.advance(SECOND);
    for request in [get("/password").cookie(&token), get("/password").bearer(&token)] {
        let answer = send(&app, request).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::UNAUTHORIZED, UNAUTHORIZED));
        let expected = RejectionKind::InsufficientUserAuthentication { max_age: MAX_AGE };
        assert_eq!(answer.kind(), Some(expected));
        let challenge = r#"Bearer error="insufficient_user_authentication", max_age="300""#;
        assert_eq!(answer.all("www-authenticate"), [challenge]);
        assert_eq!(answer.all("set-cookie"), [""; 0], "the session is good");
    }
    assert_eq!(send(&app, get("/").cookie(&token)).await.body, "hello");
}

#[tokio::test]
async fn a_renewal_makes_a_login_no_younger() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = app(&sessions);
    let token = token(&sessions);
    clock.advance(Duration::from_secs(1801));
    let renewed = send(&app, get("/").cookie(&token)).await.cookie_token().to_owned();
    let answer = send(&app, get("/password").cookie(&renewed)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_bearer_tokens_the_challenge_names_the_cookie() {
    let clock = ManualClock::default();
    let sessions =
        builder(&clock).transports([Transport::cookie(CookieTransport::new())]).build().unwrap();
    let app = app(&sessions);
    let token = token(&sessions);
    clock.advance(MAX_AGE + CLOCK_SKEW + SECOND);
    let answer = send(&app, get("/password").cookie(&token)).await;
    let challenge = r#"Cookie error="insufficient_user_authentication", max_age="300""#;
    assert_eq!(answer.all("www-authenticate"), [challenge]);
}

#[tokio::test]
async fn missing_session_gets_no_age_challenge() {
    let answer = send(&app(&sessions(&ManualClock::default())), get("/password")).await;
    assert_eq!(
        (answer.kind(), answer.all("www-authenticate")),
        (Some(RejectionKind::Missing), vec!["Bearer"])
    );
}
