//! The issue layer: what a handler returns becomes a session, or takes one away.

use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Redirect};
use axum::routing::post as on_post;
use http::StatusCode;
use serde_json::{Value, json};
use tower_jwt_session::testing::{ManualClock, fixed_key};
use tower_jwt_session::{
    Algorithm, Key, KeyRing, Login, Logout, OperationError, OperationErrorKind, Sessions,
};
use tower_jwt_session::{CookieTransport, Transport};

use crate::support::web::*;

const SERVER_ERROR: &str = r#"{"type":"about:blank","title":"Internal Server Error","status":500}"#;

/// One route that answers with what `answer` makes.
fn route<R: IntoResponse>(answer: impl Fn() -> R + Clone + Send + Sync + 'static) -> Router {
    Router::new().route("/", on_post(async move || answer()))
}

/// Logs out, as the whole response and as a part of another.
fn logout() -> Router {
    Router::new()
        .route("/", on_post(async || Logout::new()))
        .route("/part", on_post(async || (Logout::new(), Redirect::to("/"))))
}

#[tokio::test]
async fn a_login_is_204_with_the_cookie() {
    let sessions = sessions(&ManualClock::default());
    let answer = send(&route(login).layer(sessions.layer()), post("/")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::NO_CONTENT, ""));
    let token = answer.cookie_token();
    let field = format!("__Host-fixed={token}; HttpOnly; SameSite=Lax; Secure; Path=/");
    assert_eq!(answer.all("set-cookie"), [&*field]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.all("vary"), ["cookie"]);
    assert_eq!(answer.headers.len(), 3, "{:?}", answer.headers);
    assert!(answer.headers["set-cookie"].is_sensitive());

    let session = sessions.validate(token).unwrap();
    assert_eq!((session.subject(), &*session.claims().role), ("alice", "reader"));
}

#[tokio::test]
async fn a_login_can_stand_before_a_redirect_or_a_body() {
    let layer = sessions(&ManualClock::default()).issue_layer();
    let app = route(|| (login(), Redirect::to("/home"))).layer(layer.clone());
    let answer = send(&app, post("/")).await;
    assert_eq!((answer.status, answer.all("location")), (StatusCode::SEE_OTHER, vec!["/home"]));
    assert!(!answer.cookie_token().is_empty());

    let app = route(|| (StatusCode::CREATED, login(), "welcome")).layer(layer);
    let answer = send(&app, post("/")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::CREATED, "welcome"));
    assert!(!answer.cookie_token().is_empty());
    assert_eq!(answer.all("cache-control"), ["no-store"]);
}

#[tokio::test]
async fn every_login_is_a_session_of_its_own() {
    let app = route(login).layer(sessions(&ManualClock::default()).layer());
    let first = claims_of(send(&app, post("/")).await.cookie_token());
    let second = claims_of(send(&app, post("/")).await.cookie_token());
    for name in ["sid", "jti"] {
        assert_ne!(first[name], second[name]);
    }
}

#[tokio::test]
async fn a_bearer_login_is_the_json_of_rfc_6749() {
    let sessions = sessions(&ManualClock::default());
    let app = route(|| login().scope("read write").bearer()).layer(sessions.layer());
    let answer = send(&app, post("/")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.all("content-type"), ["application/json"]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.all("set-cookie"), [""; 0]);
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let token = body["access_token"].as_str().unwrap();
    let expected = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": "read write",
    });
    assert_eq!(body, expected);
    assert_eq!(sessions.validate(token).unwrap().scopes().collect::<Vec<_>>(), ["read", "write"]);

    let app = route(|| login().bearer()).layer(sessions.issue_layer());
    let body: Value = serde_json::from_str(&send(&app, post("/")).await.body).unwrap();
    assert_eq!(body.get("scope"), None);
}

#[tokio::test]
async fn where_there_is_no_cookie_a_login_is_a_bearer_token() {
    let sessions =
        builder(&ManualClock::default()).transports([Transport::bearer()]).build().unwrap();
    let answer = send(&route(login).layer(sessions.layer()), post("/")).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(sessions.validate(body["access_token"].as_str().unwrap()).is_ok());
    assert_eq!(answer.all("set-cookie"), [""; 0]);
    // There is no body for it beside another response.
    let app = route(|| (login(), "welcome")).layer(sessions.layer());
    let answer = send(&app, post("/")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.body, SERVER_ERROR);
}

#[tokio::test]
async fn a_bearer_login_beside_another_response_is_a_500() {
    let sessions = sessions(&ManualClock::default());
    let app = route(|| (login().bearer(), "welcome")).layer(sessions.layer());
    let answer = send(&app, post("/")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.body.contains("a bearer token is a whole response"), "{}", answer.body);
    assert!(answer.body.contains("`Sessions::login_with_refresh_token`"), "{}", answer.body);
    assert_eq!(answer.all("set-cookie"), [""; 0]);
}

#[tokio::test]
async fn a_bearer_login_where_only_cookies_are_taken_is_a_500() {
    let clock = ManualClock::default();
    let sessions =
        builder(&clock).transports([Transport::cookie(CookieTransport::new())]).build().unwrap();
    let answer = send(&route(|| login().bearer()).layer(sessions.layer()), post("/")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.body, SERVER_ERROR);
}

#[tokio::test]
async fn a_cookie_too_large_for_browsers_is_a_500_that_shows_nothing() {
    let large = || Login::new("alice", User { role: "x".repeat(3800) });
    let sessions = sessions(&ManualClock::default());
    for app in [route(large), route(move || (large(), Redirect::to("/")))] {
        let answer = send(&app.layer(sessions.layer()), post("/")).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.body, SERVER_ERROR);
        assert_eq!(answer.all("content-type"), ["application/problem+json"]);
        assert_eq!(answer.headers.len(), 2, "{:?}", answer.headers);
    }
    // As a bearer token it is not too large.
    let app = route(move || large().bearer()).layer(sessions.layer());
    assert_eq!(send(&app, post("/")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_too_long_for_validation_is_not_issued() {
    let sessions = builder(&ManualClock::default()).max_token_bytes(512).build().unwrap();
    let large = || Login::new("alice", User { role: "x".repeat(400) }).bearer();
    let error = sessions.issue(&large()).unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::TooLong);
    assert!(error.to_string().contains("max_token_bytes (512)"), "{error}");
    let answer = send(&route(large).layer(sessions.layer()), post("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (500, SERVER_ERROR));
}

#[tokio::test]
async fn a_login_without_a_subject_is_a_500() {
    let nobody = || (Login::new("", User { role: "reader".into() }), "welcome");
    let app = route(nobody).layer(sessions(&ManualClock::default()).layer());
    let answer = send(&app, post("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (500, SERVER_ERROR));
}

#[tokio::test]
async fn where_no_key_may_sign_a_login_is_503() {
    let public = serde_json::to_string(&fixed_key(Algorithm::EdDSA).to_jwk()).unwrap();
    let ring = KeyRing::fixed([Key::from_jwk(public).unwrap()]).build().unwrap();
    let sessions = Sessions::<User>::builder(ring, "https://app.example", "app").build().unwrap();
    assert!(sessions.issue(&login()).unwrap_err().is_temporary());
    for app in [route(login), route(|| (login(), "welcome")), route(|| login().bearer())] {
        let answer = send(&app.layer(sessions.layer()), post("/")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let body = r#"{"type":"about:blank","title":"Service Unavailable","status":503}"#;
        assert_eq!(answer.body, body);
        assert_eq!(answer.all("set-cookie"), [""; 0]);
        let reason = answer.extensions.get::<OperationError>().map(OperationError::kind);
        assert_eq!(reason, Some(OperationErrorKind::NoSigningKey));
    }
}

#[tokio::test]
async fn a_logout_clears_the_cookie_with_the_attributes_that_set_it() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = logout().layer(sessions.layer());
    let answer = send(&app, post("/").cookie(&token(&sessions))).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::NO_CONTENT, ""));
    assert_eq!(answer.all("set-cookie"), [CLEARED]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.all("vary"), ["cookie"]);

    let answer = send(&app, post("/part").cookie(&token(&sessions))).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.all("set-cookie"), [CLEARED]);

    // Set and cleared by the same attributes, whatever they are.
    let cookie = tower_jwt_session::CookieTransport::new().name("__Host-app").same_site_strict();
    let sessions = builder(&clock).transports([Transport::cookie(cookie)]).build().unwrap();
    let set = send(&route(login).layer(sessions.layer()), post("/")).await;
    let set = set.all("set-cookie")[0].to_owned();
    let (pair, attributes) = set.split_once(';').unwrap();
    let cleared = format!("__Host-app=;{attributes}; Max-Age=0");
    let app = logout().layer(sessions.layer());
    let answer = send(&app, post("/").header("cookie", pair)).await;
    assert_eq!(answer.all("set-cookie"), [&*cleared]);
}

#[tokio::test]
async fn bearer_logout_without_revocations_is_a_500() {
    let clock = ManualClock::default();
    for sessions in
        [sessions(&clock), builder(&clock).transports([Transport::bearer()]).build().unwrap()]
    {
        let app = logout().layer(sessions.layer());
        for path in ["/", "/part"] {
            let answer = send(&app, post(path).bearer(&token(&sessions))).await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(answer.body.contains("`revocations`"), "{}", answer.body);
            assert_eq!(answer.all("set-cookie"), [""; 0]);
        }
    }
}

#[tokio::test]
async fn logout_everywhere_without_revocations_is_a_500() {
    let sessions = sessions(&ManualClock::default());
    let app = route(|| Logout::new().everywhere()).layer(sessions.layer());
    let answer = send(&app, post("/").cookie(&token(&sessions))).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.body.contains("`revocations`"), "{}", answer.body);
    assert_eq!(answer.all("set-cookie"), [""; 0]);
}

#[tokio::test]
async fn logout_of_an_expired_cookie_or_of_no_session_is_204() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let expired = token(&sessions);
    clock.advance(Duration::from_secs(2 * 3600));
    let app = logout().layer(sessions.layer());
    let answer = send(&app, post("/").cookie(&expired)).await;
    assert_eq!((answer.status, answer.all("set-cookie")), (StatusCode::NO_CONTENT, vec![CLEARED]));
    let answer = send(&app, post("/")).await;
    assert_eq!((answer.status, answer.all("set-cookie").len()), (StatusCode::NO_CONTENT, 0));
    let ambiguous = post("/").bearer(&expired).cookie(&expired);
    assert_eq!(send(&app, ambiguous).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn logout_clears_what_the_browser_holds_only_when_asked_to() {
    let sessions = sessions(&ManualClock::default());
    let part = || (Logout::new().clear_site_data(), Redirect::to("/"));
    for app in [route(|| Logout::new().clear_site_data()), route(part)] {
        let answer = send(&app.layer(sessions.layer()), post("/").cookie(&token(&sessions))).await;
        assert_eq!(answer.all("clear-site-data"), [r#""cache", "storage""#]);
        assert_eq!(answer.all("set-cookie"), [CLEARED]);
    }
    let answer = send(&logout().layer(sessions.layer()), post("/").cookie("x")).await;
    assert_eq!(answer.all("clear-site-data"), [""; 0]);
}

#[tokio::test]
async fn logout_that_no_layer_consumed_is_a_500_that_names_it() {
    let sessions = sessions(&ManualClock::default());
    for app in [logout(), logout().layer(sessions.issue_layer())] {
        let answer = send(&app, post("/").cookie(&token(&sessions))).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.body.contains("`Logout`"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_login_that_no_layer_consumed_is_a_500_that_names_it() {
    let sessions = sessions(&ManualClock::default());
    let only_validated = route(login).layer(sessions.validate_layer().optional());
    for app in [route(login), only_validated] {
        let answer = send(&app, post("/")).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.body.contains("`Login<it::support::web::User>`"), "{}", answer.body);
        assert!(answer.body.contains("sessions.issue_layer()"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_logout_needs_no_issue_layer() {
    let sessions = sessions(&ManualClock::default());
    let app = logout().layer(sessions.validate_layer());
    let answer = send(&app, post("/").cookie(&token(&sessions))).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.all("set-cookie").len(), 1);
}

#[tokio::test]
async fn a_login_with_other_claims_than_the_layers_is_a_500() {
    let sessions = sessions(&ManualClock::default());
    let app = route(|| Login::new("alice", ())).layer(sessions.layer());
    let answer = send(&app, post("/")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.all("set-cookie"), [""; 0]);
}

#[tokio::test]
async fn a_login_over_an_unusable_cookie_sets_one_cookie() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let old = token(&sessions);
    clock.advance(Duration::from_secs(2 * 3600));
    for app in [route(login), route(|| login().into_response())] {
        let answer = send(&app.layer(sessions.layer()), post("/").cookie(&old)).await;
        assert!(sessions.validate(answer.cookie_token()).is_ok());
    }
}

#[tokio::test]
async fn a_login_over_a_session_begins_another() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let old = token(&sessions);
    clock.advance(Duration::from_secs(2000));
    let answer = send(&route(login).layer(sessions.layer()), post("/").cookie(&old)).await;
    let (old, new) = (claims_of(&old), claims_of(answer.cookie_token()));
    assert_ne!(old["sid"], new["sid"]);
    assert_eq!(new["auth_time"].as_i64(), old["auth_time"].as_i64().map(|at| at + 2000));
}

#[tokio::test]
async fn a_login_beats_a_logout_in_the_same_answer() {
    let sessions = sessions(&ManualClock::default());
    for app in [route(|| (Logout::new(), login(), "both")), route(|| (login(), Logout::new()))] {
        let answer = send(&app.layer(sessions.layer()), post("/").cookie(&token(&sessions))).await;
        assert!(answer.status.is_success(), "{}", answer.status);
        assert!(sessions.validate(answer.cookie_token()).is_ok());
    }
}
