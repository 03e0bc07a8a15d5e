//! Layers and responses put together in ways that once went wrong.

use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get as on_get, post as on_post};
use http::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use tower_jwt_session::Transport;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{CookieTransport, Login, Logout, Session, Sessions};

use crate::support::recorder::Events;
use crate::support::web::*;

#[derive(Serialize, Deserialize)]
struct Admin {
    level: u8,
}

fn admins(sessions: &Sessions<User>) -> Sessions<Admin> {
    Sessions::builder(sessions.keys().clone(), "https://app.example", "admin")
        .transports([
            Transport::cookie(CookieTransport::new().name("__Host-admin")),
            Transport::bearer(),
        ])
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_logout_clears_the_cookie_of_the_sessions_it_came_from() {
    let users = sessions(&ManualClock::default());
    let admins = admins(&users);
    let end = async |_: Session<User>| Logout::new();
    let app = Router::new().route("/", on_post(end)).layer(admins.layer()).layer(users.layer());
    let answer = send(&app, post("/").cookie(&token(&users))).await;
    assert_eq!(answer.all("set-cookie"), [CLEARED]);
}

#[tokio::test]
async fn an_issue_layer_renews_only_its_own_sessions() {
    let clock = ManualClock::default();
    let low = sessions(&clock);
    let high = Sessions::<User>::builder(low.keys().clone(), "https://app.example", "high")
        .transports([
            Transport::cookie(CookieTransport::new().name("__Host-high")),
            Transport::bearer(),
        ])
        .build()
        .unwrap();
    let app = Router::new()
        .route("/", on_get(async || "hello"))
        .layer(high.issue_layer())
        .layer(low.layer());
    let token = token(&low);
    clock.advance(Duration::from_secs(1801));
    let answer = send(&app, get("/").cookie(&token)).await;
    for field in answer.all("set-cookie") {
        assert!(
            !field.starts_with("__Host-high="),
            "{}",
            claims_of(field.split(';').next().unwrap())
        );
    }
}

#[tokio::test]
async fn a_login_keeps_the_headers_beside_it() {
    let sessions = sessions(&ManualClock::default());
    let handler = async || ([("set-cookie", "theme=dark"), ("x-request-id", "7")], login());
    let app = Router::new().route("/", on_post(handler)).layer(sessions.layer());
    let answer = send(&app, post("/")).await;
    assert_eq!(answer.all("x-request-id"), ["7"]);
    assert_eq!(answer.all("set-cookie").len(), 2);
}

#[tokio::test]
async fn a_login_keeps_the_status_before_it() {
    let sessions = sessions(&ManualClock::default());
    let handler = async || (StatusCode::CREATED, login());
    let app = Router::new().route("/", on_post(handler)).layer(sessions.layer());
    assert_eq!(send(&app, post("/")).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_login_of_another_kind_beside_a_whole_one_is_kept() {
    let users = sessions(&ManualClock::default());
    let admins = admins(&users);
    let both = async || (Login::new("root", Admin { level: 9 }), login());
    for app in [
        Router::new().route("/", on_post(both)).layer(users.layer()).layer(admins.layer()),
        Router::new().route("/", on_post(both)).layer(admins.layer()).layer(users.layer()),
    ] {
        assert_eq!(send(&app, post("/")).await.all("set-cookie").len(), 2);
    }
}

#[tokio::test]
async fn logout_part_without_issue_layer_clears_the_cookie() {
    let sessions = sessions(&ManualClock::default());
    let end = async |_: Session<User>| (Logout::new(), Redirect::to("/"));
    let app = Router::new().route("/", on_post(end)).layer(sessions.validate_layer());
    let answer = send(&app, post("/").cookie(&token(&sessions))).await;
    assert_eq!(answer.all("set-cookie"), [CLEARED]);
}

#[tokio::test]
async fn a_validate_layer_alone_refuses_a_cookie_from_another_site() {
    let sessions = sessions(&ManualClock::default());
    let app = Router::new()
        .route("/", on_post(async |session: Session<User>| session.subject().to_owned()))
        .layer(sessions.validate_layer());
    let cross_site = post("/").header("origin", "https://else.example").cookie(&token(&sessions));
    assert_eq!(send(&app, cross_site).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_websocket_without_the_cookie_opens_over_http_2_too() {
    let sessions = sessions(&ManualClock::default());
    let app = Router::new().fallback(async || "in").layer(sessions.layer());
    let request = Request::builder().method("CONNECT").uri("https://app.example/");
    let answer = send(&app, request.header("origin", "https://else.example")).await;
    assert_eq!(answer.kind(), None);
}

#[tokio::test]
async fn one_answer_sets_one_session_cookie() {
    let sessions = sessions(&ManualClock::default());
    let app = Router::new()
        .route("/", on_post(async || (login(), "welcome")))
        .layer(sessions.validate_layer().optional())
        .layer(sessions.issue_layer());
    let answer = send(&app, post("/").cookie("garbage")).await;
    assert_eq!(answer.all("set-cookie").len(), 1, "{:?}", answer.all("set-cookie"));
    assert_eq!(answer.all("vary").len(), 1);
}

#[test]
fn a_host_prefix_without_secure_is_refused() {
    for name in ["__Host-fixed", "__Secure-session", "__hOST-x"] {
        let cookie = CookieTransport::for_local_development().name(name);
        assert!(
            builder(&ManualClock::default())
                .transports([Transport::cookie(cookie), Transport::bearer()])
                .build()
                .is_err(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_answer_without_a_body_names_no_content_type() {
    use tower::{Layer, ServiceExt, service_fn};
    #[derive(Default)]
    struct Opaque;
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(Opaque))
    });
    let layer = sessions(&ManualClock::default()).validate_layer();
    let service = layer.respond_with(tower_jwt_session::layer::HeadersOnly).layer(inner);
    let answer = service.oneshot(Request::new(())).await.unwrap();
    assert!(!answer.headers().contains_key("content-type"));
}

#[tokio::test]
async fn a_refusal_keeps_the_headers_that_inner_layers_added() {
    let sessions = sessions(&ManualClock::default());
    let mark = axum::middleware::map_response(async |mut response: axum::response::Response| {
        response.headers_mut().insert("x-request-id", http::HeaderValue::from_static("7"));
        response
    });
    let app = Router::new()
        .route("/", on_get(async |_: Session<User>| "in"))
        .layer(mark)
        .layer(sessions.layer());
    assert_eq!(send(&app, get("/")).await.all("x-request-id"), ["7"]);
}

#[test]
fn there_is_a_fixed_key_of_each_algorithm() {
    use tower_jwt_session::Algorithm::*;
    let bad: Vec<_> =
        [HS256, HS384, HS512, ES256, ES384, EdDSA, RS256, RS384, RS512, PS256, PS384, PS512]
            .into_iter()
            .filter(|algorithm| {
                std::panic::catch_unwind(|| tower_jwt_session::testing::fixed_key(*algorithm))
                    .is_err()
            })
            .collect();
    assert_eq!(bad, []);
}

#[tokio::test]
async fn bearer_login_beside_another_response_logs_the_fix() {
    const MESSAGE: &str = "a session could not be issued";
    let clock = ManualClock::default();
    let bearer = builder(&clock).transports([Transport::bearer()]).build().unwrap();
    let both = sessions(&clock);
    let inserted = async || {
        let mut response: axum::response::Response = Default::default();
        login().bearer().insert_into(response.extensions_mut());
        response
    };
    let part = Router::new().route("/", on_post(async || (login(), "in"))).layer(bearer.layer());
    let other = Router::new().route("/", on_post(inserted)).layer(both.layer());
    let scenario = async || {
        for app in [&part, &other] {
            assert_eq!(send(app, post("/")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    let events = Events::of(scenario, |events| events.count(MESSAGE) == 2).await.all();
    let events = events.iter().filter(|event| event.message == MESSAGE);
    let errors: Vec<_> = events.map(|event| event.fields["error"].clone()).collect();
    let [part, other] = &errors[..] else { panic!("{errors:?}") };
    assert!(
        part.contains("return the `Login` by itself, or add `Transport::cookie(..)`"),
        "{part}"
    );
    assert!(other.ends_with("return the `Login` by itself"), "{other}");
}

#[tokio::test]
async fn token_router_without_refresh_tokens_is_an_error_at_once() {
    const MESSAGE: &str = "the token router has no refresh tokens";
    let scenario = async || drop(sessions(&ManualClock::default()).token_router::<()>());
    let events = Events::of(scenario, |events| events.count(MESSAGE) == 1).await;
    assert_eq!(events.count(MESSAGE), 1);
}

#[tokio::test]
async fn logout_by_get_is_warned_of_once() {
    const MESSAGE: &str = "a GET logged a user out";
    let sessions = sessions(&ManualClock::default());
    let cookie = token(&sessions);
    let app = || {
        let out = on_get(async || Logout::new()).post(async || Logout::new());
        Router::new().route("/out", out).layer(sessions.layer())
    };
    let scenario = async || {
        // None of these logs a user out by a link.
        let careful = app();
        for request in [post("/out").cookie(&cookie), get("/out"), get("/out").bearer(&cookie)] {
            send(&careful, request).await;
        }
        let app = app();
        for _ in 0..2 {
            assert_eq!(send(&app, get("/out").cookie(&cookie)).await.all("set-cookie"), [CLEARED]);
        }
    };
    let events = Events::of(scenario, |events| events.count(MESSAGE) == 1).await.all();
    let [event] = &events.iter().filter(|event| event.message == MESSAGE).collect::<Vec<_>>()[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(event.level, tracing::Level::WARN);
    assert!(event.fields["fix"].contains("make its route a POST"), "{event:?}");
}

/// A form's login over plain http on another machine, whose browser says no `Sec-Fetch-Site`.
#[tokio::test]
async fn cookie_that_browsers_drop_is_warned_of_once() {
    const MESSAGE: &str = "a login came from a page by plain http; browsers drop its cookie";
    let app = |cookie: CookieTransport| {
        let transports = [Transport::cookie(cookie), Transport::bearer()];
        let sessions = builder(&ManualClock::default()).transports(transports).build().unwrap();
        let bearer = on_post(async || login().bearer());
        Router::new()
            .route("/in", on_post(async || login()))
            .route("/token", bearer)
            .layer(sessions.layer())
    };
    let from = |path: &str, origin: &str| {
        let host = origin.split("//").nth(1).expect("an authority");
        let request = Request::builder().method("POST").uri(path);
        request.header("host", host).header("origin", origin)
    };
    const PLAIN: &str = "http://192.168.1.7:3000";
    let scenario = async || {
        let careful = app(CookieTransport::new());
        for request in [
            from("/in", "https://app.example"),
            from("/in", "http://localhost:3000"),
            from("/in", "http://127.0.0.1:3000"),
            from("/token", PLAIN),
            // A proxy speaks TLS, and replaced the origin.
            from("/in", PLAIN).header("sec-fetch-site", "same-origin"),
            post("/in"),
        ] {
            assert!(send(&careful, request).await.status.is_success());
        }
        let local = app(CookieTransport::for_local_development());
        send(&local, from("/in", PLAIN)).await;
        let app = app(CookieTransport::new());
        for _ in 0..2 {
            let answer = send(&app, from("/in", PLAIN)).await;
            assert_eq!(answer.all("set-cookie").len(), 1);
        }
    };
    let events = Events::of(scenario, |events| events.count(MESSAGE) == 1).await;
    assert_eq!(events.count(MESSAGE), 1);
}
