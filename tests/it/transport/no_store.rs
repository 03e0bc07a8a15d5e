//! Caches: a response that sets or clears a cookie, or carries a token, is stored by none, whatever
//! the handler says to them.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get as on_get, post as on_post};
use http::{Request, StatusCode};
use tower::{Layer, ServiceExt, service_fn};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Logout, Session, Sessions};

use crate::support::web::*;

/// What a handler may say to caches.
const CACHED: [(&str, &str); 10] = [
    ("cache-control", "public, max-age=600"),
    ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
    ("cdn-cache-control", "max-age=600"),
    ("cloudflare-cdn-cache-control", "max-age=600"),
    ("vercel-cdn-cache-control", "max-age=600"),
    ("netlify-cdn-cache-control", "max-age=600"),
    ("surrogate-control", "max-age=600"),
    ("edge-control", "max-age=600"),
    ("x-accel-expires", "600"),
    ("x-served-by", "handler"),
];

async fn cached(mut response: Response) -> Response {
    for (name, value) in CACHED {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

/// Routes that set the cookie in every way, and say to caches that they may store it.
fn routes(sessions: &Sessions<User>) -> Router {
    let by_hand = sessions.clone();
    Router::new()
        .route("/", on_get(async || "page"))
        .route("/mine", on_get(async |session: Session<User>| session.subject().to_owned()))
        .route("/login", on_post(async || login()))
        .route("/login-part", on_post(async || (login(), "welcome")))
        .route("/bearer", on_post(async || login().bearer()))
        .route("/logout", on_post(async |_: Session<User>| Logout::new()))
        .route("/logout-part", on_post(async |_: Session<User>| (Logout::new(), "bye")))
        .route(
            "/logout-inserted",
            on_post(async |_: Session<User>| {
                let mut response = "bye".into_response();
                Logout::new().insert_into(response.extensions_mut());
                response
            }),
        )
        .route(
            "/by-hand",
            on_post(async move || {
                let token = by_hand.issue(&login()).unwrap();
                ([("set-cookie", by_hand.set_cookie(&token).unwrap())], "welcome")
            }),
        )
        .layer(map_response(cached))
}

fn assert_stored_by_none(answer: &Answer, how: &str) {
    assert_eq!(answer.all("cache-control"), ["no-store"], "{how}");
    for (name, _) in &CACHED[1..9] {
        assert_eq!(answer.all(name), [""; 0], "{how}: {name}");
    }
}

#[tokio::test]
async fn response_with_cookie_or_token_is_never_cached() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let expired = token(&sessions);
    clock.advance(Duration::from_secs(2 * 3600));
    let old = token(&sessions);
    clock.advance(Duration::from_secs(1801));
    let fresh = token(&sessions);
    let optional = || sessions.validate_layer().optional();
    for (layers, app) in [
        ("all", routes(&sessions).layer(sessions.layer())),
        ("apart", routes(&sessions).layer(sessions.issue_layer()).layer(optional())),
        ("issue outside", routes(&sessions).layer(optional()).layer(sessions.issue_layer())),
        ("twice", routes(&sessions).layer(sessions.layer()).layer(sessions.layer())),
    ] {
        let mut requests = vec![
            post("/login"),
            post("/login-part"),
            post("/by-hand"),
            post("/logout").cookie(&fresh),
            post("/logout-part").cookie(&fresh),
            post("/logout-inserted").cookie(&fresh),
            // An invalid cookie is cleared, by the layer or for the extractor.
            get("/").cookie(&expired),
            get("/mine").cookie(&expired),
        ];
        if layers != "issue outside" {
            requests.push(get("/").cookie(&old));
        }
        for (n, request) in requests.into_iter().enumerate() {
            let how = format!("{layers}, {n}");
            let answer = send(&app, request).await;
            assert_eq!(answer.all("set-cookie").len(), 1, "{how}");
            assert_stored_by_none(&answer, &how);
            // The rest of what the handler says stays.
            assert_eq!(answer.all("x-served-by"), ["handler"], "{how}");
        }
        for request in [post("/bearer"), get("/mine")] {
            assert_stored_by_none(&send(&app, request).await, layers);
        }
        // Other responses are the handler's.
        let answer = send(&app, get("/").cookie(&fresh)).await;
        assert_eq!((answer.status, answer.all("set-cookie").len()), (StatusCode::OK, 0));
        for (name, value) in CACHED {
            assert_eq!(answer.all(name), [value], "{layers}");
        }
    }
}

#[tokio::test]
async fn a_layer_that_only_validates_keeps_a_logout_out_of_caches() {
    let sessions = sessions(&ManualClock::default());
    for app in [
        routes(&sessions).layer(sessions.validate_layer()),
        routes(&sessions).layer(sessions.validate_layer().optional()),
    ] {
        for path in ["/logout", "/logout-part", "/logout-inserted", "/by-hand"] {
            let answer = send(&app, post(path).cookie(&token(&sessions))).await;
            assert_eq!(answer.all("set-cookie").len(), 1, "{path}");
            assert_stored_by_none(&answer, path);
        }
    }
}

#[tokio::test]
async fn a_service_without_axum_keeps_its_logins_out_of_caches() {
    let sessions = sessions(&ManualClock::default());
    let service = service_fn(async |request: Request<Body>| {
        let mut response = cached(Response::new(Body::empty())).await;
        match request.uri().path() {
            "/inserted" => login().insert_into(response.extensions_mut()),
            _ => login().replace(response.extensions_mut()),
        }
        Ok::<_, Infallible>(response)
    });
    let service = sessions.layer().layer(service);
    for path in ["/inserted", "/replaced"] {
        let request = post(path).body(Body::empty()).unwrap();
        let answer = Answer::of(service.clone().oneshot(request).await.unwrap()).await;
        assert!(sessions.validate(answer.cookie_token()).is_ok());
        assert_stored_by_none(&answer, path);
    }
}
