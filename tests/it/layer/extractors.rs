//! The extractors: `Session<C>` and `Option<Session<C>>`.

use std::time::Duration;

use axum::Router;
use axum::middleware::from_extractor;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get as on_get;
use http::StatusCode;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Rejection, RejectionKind, Session, SessionRejection, Sessions};

use crate::support::web::*;

/// `/` for anyone, `/me` for those with a session.
fn routes() -> Router {
    Router::new().route("/", on_get(greet)).route("/me", on_get(me))
}

async fn greet(session: Option<Session<User>>) -> String {
    session.map_or("anyone".into(), |session| session.subject().to_owned())
}

async fn me(session: Session<User>) -> String {
    format!("{} is a {}", session.subject(), session.claims().role)
}

#[tokio::test]
async fn a_session_is_extracted_from_cookie_and_bearer_token() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = routes().layer(sessions.layer());
    for request in [get("/me").cookie(&token(&sessions)), get("/me").bearer(&token(&sessions))] {
        assert_eq!(send(&app, request).await.body, "alice is a reader");
    }
    assert_eq!(send(&app, get("/").cookie(&token(&sessions))).await.body, "alice");
}

#[tokio::test]
async fn optional_session_without_credential_is_anonymous() {
    let app = routes().layer(sessions(&ManualClock::default()).layer());
    let answer = send(&app, get("/")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "anyone"));
    assert_eq!(answer.headers.get("set-cookie"), None);
}

#[tokio::test]
async fn the_layer_answers_for_an_extractor_that_refuses() {
    let app = routes().layer(sessions(&ManualClock::default()).layer());
    let answer = send(&app, get("/me")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::UNAUTHORIZED, UNAUTHORIZED));
    assert_eq!(answer.all("www-authenticate"), ["Bearer"]);
    assert_eq!(answer.all("content-type"), ["application/problem+json"]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.kind(), Some(RejectionKind::Missing));
}

#[tokio::test]
async fn an_expired_cookie_is_anonymous_and_taken_away() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = routes().layer(sessions.layer());
    let token = token(&sessions);
    clock.advance(Duration::from_secs(2 * 3600));
    let answer = send(&app, get("/").cookie(&token)).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "anyone"));
    assert_eq!(answer.all("set-cookie"), [CLEARED]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.all("vary"), ["cookie"]);
    // And so is every 401 for a cookie.
    let answer = send(&app, get("/me").cookie(&token)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.all("set-cookie"), [CLEARED]);
    assert_eq!(answer.kind(), Some(RejectionKind::Expired));
}

#[tokio::test]
async fn a_bad_bearer_token_is_401_even_where_the_session_is_optional() {
    let app = routes().layer(sessions(&ManualClock::default()).layer());
    for path in ["/", "/me"] {
        let answer = send(&app, get(path).bearer("garbage")).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::UNAUTHORIZED, UNAUTHORIZED));
        assert_eq!(answer.all("www-authenticate"), [r#"Bearer error="invalid_token""#]);
        assert_eq!(answer.all("set-cookie"), [""; 0]);
        assert_eq!(answer.kind(), Some(RejectionKind::Malformed));
    }
}

#[tokio::test]
async fn two_credentials_are_400_even_where_the_session_is_optional() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = routes().layer(sessions.layer());
    for path in ["/", "/me"] {
        let both = get(path).cookie(&token(&sessions)).bearer(&token(&sessions));
        let answer = send(&app, both).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.all("www-authenticate"), [r#"Bearer error="invalid_request""#]);
        assert_eq!(answer.kind(), Some(RejectionKind::Ambiguous));
    }
}

#[tokio::test]
async fn a_handler_that_asks_for_no_session_meets_every_request() {
    let app = Router::new()
        .route("/", on_get(async || "public"))
        .layer(sessions(&ManualClock::default()).layer());
    for request in [get("/").bearer("garbage"), get("/").bearer("x").cookie("y"), get("/")] {
        assert_eq!(send(&app, request).await.body, "public");
    }
}

#[tokio::test]
async fn a_forgotten_layer_is_a_500_that_names_it() {
    for path in ["/", "/me"] {
        let answer = send(&routes(), get(path)).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert!(answer.body.contains("sessions.layer()"), "{}", answer.body);
        assert!(answer.body.contains("web::User"), "{}", answer.body);
    }
}

#[tokio::test]
async fn an_issue_layer_alone_is_not_the_layer_an_extractor_needs() {
    let app = routes().layer(sessions(&ManualClock::default()).issue_layer());
    assert_eq!(send(&app, get("/")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_session_with_other_claims_than_the_layers_is_a_500() {
    let clock = ManualClock::default();
    let ring = sessions(&clock).keys().clone();
    let others = Sessions::<()>::builder(ring, "https://app.example", "app").build().unwrap();
    let app = routes().layer(others.layer());
    for request in [get("/"), get("/me"), get("/").bearer("garbage"), get("/me").cookie("x")] {
        let answer = send(&app, request).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.body.contains("Sessions<it::support::web::User>"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_handler_may_answer_a_rejection_itself() {
    async fn page(session: Result<Session<User>, SessionRejection>) -> impl IntoResponse {
        match session {
            Ok(session) => session.subject().to_owned().into_response(),
            Err(rejection) if rejection.rejection().is_some_and(Rejection::is_missing) => {
                Redirect::to("/login").into_response()
            }
            Err(rejection) => rejection.into_response(),
        }
    }
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = Router::new().route("/", on_get(page)).layer(sessions.layer());
    let answer = send(&app, get("/")).await;
    assert_eq!((answer.status, answer.all("location")), (StatusCode::SEE_OTHER, vec!["/login"]));
    assert_eq!(answer.kind(), None);
    assert_eq!(send(&app, get("/").bearer("garbage")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&app, get("/").cookie(&token(&sessions))).await.body, "alice");
}

#[tokio::test]
async fn a_session_as_an_extractor_layer_guards_routes() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = Router::new()
        .route("/", on_get(async || "in"))
        .route_layer(from_extractor::<Session<User>>())
        .layer(sessions.layer());
    let answer = send(&app, get("/").cookie("garbage")).await;
    assert_eq!(answer.kind(), Some(RejectionKind::Malformed));
    assert_eq!(answer.all("set-cookie"), [CLEARED]);
    assert_eq!(send(&app, get("/").bearer(&token(&sessions))).await.body, "in");
}
