//! Renewal: a cookie session past half of its life gets a new token on the way out.

use std::time::Duration;

use axum::Router;
use axum::routing::{get as on_get, post as on_post};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Login, Logout, Session, Sessions};

use crate::support::web::*;

const HALF: Duration = Duration::from_secs(1800);
const SECOND: Duration = Duration::from_secs(1);

fn app(sessions: &Sessions<User>) -> Router {
    let end = async |_: Session<User>| Logout::new();
    Router::new()
        .route("/", on_get(async || "hello"))
        .route("/cached", on_get(async || ([("cache-control", "public, max-age=60")], "page")))
        .route("/failing", on_get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route("/login", on_post(async || login()))
        .route("/logout", on_post(end))
        .layer(sessions.layer())
}

#[tokio::test]
async fn a_session_is_renewed_past_half_of_its_life_and_not_before() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = app(&sessions);
    let token = sessions.issue(&login().scope("read")).unwrap();
    clock.advance(HALF);
    let answer = send(&app, get("/").cookie(token.as_str())).await;
    assert_eq!((&*answer.body, answer.headers.get("set-cookie")), ("hello", None));

    clock.advance(SECOND);
    let answer = send(&app, get("/").cookie(token.as_str())).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "hello"));
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.all("vary"), ["cookie"]);
    let (old, new) = (claims_of(token.as_str()), claims_of(answer.cookie_token()));
    for name in ["iss", "sub", "aud", "sid", "auth_time", "scope", "role"] {
        assert_eq!(old[name], new[name], "{name}");
        assert!(!new[name].is_null(), "{name}");
    }
    assert_ne!(old["jti"], new["jti"]);
    assert_eq!(new["iat"].as_i64(), old["iat"].as_i64().map(|at| at + 1801));
    assert_eq!(new["exp"].as_i64(), old["exp"].as_i64().map(|at| at + 1801));

    // The renewed one is young again.
    let answer = send(&app, get("/").cookie(answer.cookie_token())).await;
    assert_eq!(answer.headers.get("set-cookie"), None);
}

#[tokio::test]
async fn validate_layer_alone_renews_past_half_and_not_before() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let alone = |layer| Router::new().route("/", on_get(async || "hello")).layer(layer);
    let strict = alone(sessions.validate_layer());
    let optional = alone(sessions.validate_layer().optional());
    let only = alone(sessions.validate_only_layer());
    let token = sessions.issue(&login().scope("read")).unwrap();
    clock.advance(HALF);
    for app in [&strict, &optional] {
        let answer = send(app, get("/").cookie(token.as_str())).await;
        assert_eq!((&*answer.body, answer.headers.get("set-cookie")), ("hello", None));
    }
    clock.advance(SECOND);
    for app in [&strict, &optional] {
        let answer = send(app, get("/").cookie(token.as_str())).await;
        assert_eq!((&*answer.body, answer.all("cache-control")), ("hello", vec!["no-store"]));
        let (old, new) = (claims_of(token.as_str()), claims_of(answer.cookie_token()));
        for name in ["sub", "sid", "auth_time", "scope", "role"] {
            assert_eq!(old[name], new[name], "{name}");
        }
        assert_eq!(new["iat"].as_i64(), old["iat"].as_i64().map(|at| at + 1801));
        let answer = send(app, get("/").bearer(token.as_str())).await;
        assert_eq!(answer.headers.get("set-cookie"), None);
    }
    let answer = send(&only, get("/").cookie(token.as_str())).await;
    assert_eq!((&*answer.body, answer.headers.get("set-cookie")), ("hello", None));
}

/// A request every half hour, behind the strict layer alone.
#[tokio::test]
async fn active_user_behind_validate_layer_stays_logged_in() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = Router::new()
        .route("/", on_get(async || "hello"))
        .route("/logout", on_post(async || Logout::new()))
        .layer(sessions.validate_layer());
    let mut token = token(&sessions);
    for _ in 0..12 {
        clock.advance(HALF + SECOND);
        let answer = send(&app, get("/").cookie(&token)).await;
        assert_eq!(answer.status, StatusCode::OK);
        token = answer.cookie_token().to_owned();
    }
    // A logout beats the renewal here, too.
    clock.advance(HALF + SECOND);
    let answer = send(&app, post("/logout").cookie(&token)).await;
    assert_eq!(answer.all("set-cookie"), [CLEARED]);
}

#[tokio::test]
async fn of_nested_layers_one_renews() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let token = token(&sessions);
    clock.advance(HALF + SECOND);
    let route = || Router::new().route("/", on_get(async || "hello"));
    for app in [
        route().layer(sessions.validate_layer()).layer(sessions.layer()),
        route().layer(sessions.issue_layer()).layer(sessions.validate_layer()),
        route().layer(sessions.validate_layer()).layer(sessions.validate_layer()),
    ] {
        let answer = send(&app, get("/").cookie(&token)).await;
        assert_eq!((&*answer.body, answer.all("set-cookie").len()), ("hello", 1));
    }
}

#[tokio::test]
async fn a_renewed_answer_is_in_no_shared_cache() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let token = token(&sessions);
    clock.advance(HALF + SECOND);
    let answer = send(&app(&sessions), get("/cached").cookie(&token)).await;
    assert!(!answer.cookie_token().is_empty());
    assert_eq!(answer.all("cache-control"), ["no-store"]);
}

#[tokio::test]
async fn no_renewal_reaches_past_the_absolute_lifetime() {
    let clock = ManualClock::default();
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let sessions = builder(&clock).absolute_lifetime(hours(2)).build().unwrap();
    let app = app(&sessions);
    let mut token = token(&sessions);
    let end = claims_of(&token)["auth_time"].as_i64().unwrap() + 7200;
    let mut renewals = 0;
    for _ in 0..119 {
        clock.advance(Duration::from_secs(60));
        let answer = send(&app, get("/").cookie(&token)).await;
        if answer.headers.contains_key("set-cookie") {
            token = answer.cookie_token().to_owned();
            renewals += 1;
        }
        assert!(claims_of(&token)["exp"].as_i64().unwrap() <= end);
    }
    assert_eq!((renewals, claims_of(&token)["exp"].as_i64()), (2, Some(end)));
    // In the leeway it is still accepted, and gains nothing.
    clock.advance(Duration::from_secs(119));
    let answer = send(&app, get("/").cookie(&token)).await;
    assert_eq!(answer.headers.get("set-cookie"), None);
    clock.advance(SECOND);
    assert_eq!(send(&app, get("/").cookie(&token)).await.all("set-cookie"), [CLEARED]);
}

#[tokio::test]
async fn a_login_beats_a_renewal() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let token = token(&sessions);
    clock.advance(HALF + SECOND);
    let answer = send(&app(&sessions), post("/login").cookie(&token)).await;
    let (old, new) = (claims_of(&token), claims_of(answer.cookie_token()));
    assert_ne!(old["sid"], new["sid"]);
}

#[tokio::test]
async fn a_logout_beats_a_renewal() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let token = token(&sessions);
    clock.advance(HALF + SECOND);
    let answer = send(&app(&sessions), post("/logout").cookie(&token)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.all("set-cookie"), [CLEARED]);
}

#[tokio::test]
async fn a_handler_that_sets_the_cookie_itself_is_left_alone() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let token = token(&sessions);
    clock.advance(HALF + SECOND);
    let own = "__Host-fixed=mine; Secure; Path=/";
    let app = |field: &'static str| {
        let handler = async move || ([("set-cookie", field)], "hello");
        Router::new().route("/", on_get(handler)).layer(sessions.layer())
    };
    assert_eq!(send(&app(own), get("/").cookie(&token)).await.all("set-cookie"), [own]);
    // Nor is it taken away where the request's was no good.
    assert_eq!(send(&app(own), get("/").cookie("garbage")).await.all("set-cookie"), [own]);
    // Another cookie is another matter.
    let other = "__Host-fixed-2=theirs; Secure; Path=/";
    let answer = send(&app(other), get("/").cookie(&token)).await;
    assert_eq!(answer.all("set-cookie").len(), 2);
    assert_eq!(answer.all("set-cookie")[0], other);
}

#[tokio::test]
async fn a_bearer_session_is_never_renewed() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let token = token(&sessions);
    clock.advance(HALF + SECOND);
    let answer = send(&app(&sessions), get("/").bearer(&token)).await;
    assert_eq!((answer.status, answer.headers.len()), (StatusCode::OK, 1));
    assert_eq!(answer.headers.get("set-cookie"), None);
}

#[tokio::test]
async fn a_failing_handler_does_not_cost_the_renewal() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let token = token(&sessions);
    clock.advance(HALF + SECOND);
    let answer = send(&app(&sessions), get("/failing").cookie(&token)).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.cookie_token().is_empty());
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_session_as_it_was() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    // As a cookie it is too large, which only the renewal finds out.
    let large = Login::new("alice", User { role: "x".repeat(3800) });
    let token = sessions.issue(&large).unwrap();
    clock.advance(HALF + SECOND);
    let answer = send(&app(&sessions), get("/").cookie(token.as_str())).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "hello"));
    assert_eq!(answer.headers.get("set-cookie"), None);
}

#[tokio::test]
async fn session_expiring_during_the_handler_is_renewed() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let token = token(&sessions);
    let slow = {
        let clock = clock.clone();
        async move |_: HeaderMap| clock.advance(HALF + SECOND)
    };
    let app = Router::new().route("/", on_get(slow)).layer(sessions.layer());
    clock.advance(HALF + SECOND);
    let answer = send(&app, get("/").cookie(&token)).await;
    let renewed = claims_of(answer.cookie_token());
    assert_eq!(renewed["iat"].as_i64(), claims_of(&token)["iat"].as_i64().map(|at| at + 3602));
}

#[tokio::test]
async fn a_token_without_session_id_gets_it_by_its_first_renewal() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let token = signed(&header(), &claims(&clock, json!({"sid": null})));
    clock.advance(HALF + SECOND);
    let answer = send(&app(&sessions), get("/").cookie(&token)).await;
    assert_eq!(claims_of(answer.cookie_token())["sid"], json!("token"));
}

/// Its absolute lifetime would begin anew with each renewal.
#[tokio::test]
async fn session_without_login_time_is_neither_renewed_nor_reissued() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let token = signed(&header(), &claims(&clock, json!({"auth_time": null})));
    clock.advance(HALF + SECOND);
    let answer = send(&app(&sessions), get("/").cookie(&token)).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "hello"));
    assert_eq!(answer.headers.get("set-cookie"), None);
    let session = sessions.validate(&token).unwrap();
    let again = sessions.reissue(&session, User { role: "admin".into() });
    assert!(
        matches!(sessions.issue(&again), Err(error) if error.kind() == tower_jwt_session::OperationErrorKind::InvalidClaims && error.to_string().contains("no `auth_time`"))
    );
}
