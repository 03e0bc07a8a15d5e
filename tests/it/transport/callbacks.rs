//! Paths to which other sites may send requests, and the origins of apps and extensions.

use axum::Router;
use axum::routing::{get as on_get, post as on_post};
use http::StatusCode;
use http::request::Builder;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{CookieTransport, RejectionKind, Session, Sessions, Transport};

use crate::support::web::*;

fn of(cookie: CookieTransport) -> Sessions<User> {
    let transports = [Transport::cookie(cookie), Transport::bearer()];
    builder(&ManualClock::default()).transports(transports).build().unwrap()
}

/// A page's form at another site, posted by the user's browser.
fn form_post(path: &str) -> Builder {
    post(path).header("origin", "https://id.example").header("sec-fetch-site", "cross-site")
}

#[tokio::test]
async fn callback_from_another_site_has_no_session_and_may_log_in() {
    let sessions = of(CookieTransport::new().callback_path("/login/callback"));
    let who = async |session: Option<Session<User>>| {
        session.map_or("no one".to_owned(), |session| session.subject().to_owned())
    };
    let routes = || {
        Router::new()
            .route(
                "/",
                on_post(async |who: Option<Session<User>>| (login(), who.is_some().to_string())),
            )
            .route("/mine", on_post(async |_: Session<User>| "in"))
    };
    let app = Router::new()
        .nest("/login/callback", routes())
        .route("/login/callbacks", on_post(who))
        .route("/login", on_post(who))
        .layer(sessions.layer());
    let token = token(&sessions);
    // Also where a cookie of the session and others arrive, as from browsers without `SameSite`.
    for request in [
        form_post("/login/callback"),
        form_post("/login/callback?a=b").header("cookie", "state=7"),
        form_post("/login/callback").cookie(&token),
        form_post("/login/callback").cookie("garbage"),
        form_post("/login/callback").cookie(&token).cookie(&token),
        form_post("/login/callback").cookie(&token).header("authorization", "Basic YTpi"),
    ] {
        let answer = send(&app, request).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "false"));
        assert!(!answer.cookie_token().is_empty());
    }
    // From the own site it has its session.
    let own = post("/login/callback").header("sec-fetch-site", "same-origin").cookie(&token);
    assert_eq!(send(&app, own).await.body, "true");
    for path in ["/login", "/login/callbacks", "/login/callback/mine", "/login/%63allback"] {
        let answer = send(&app, form_post(path).cookie(&token)).await;
        assert_eq!(answer.kind(), Some(RejectionKind::CrossSite), "{path}");
    }
}

#[tokio::test]
async fn callback_path_holds_inside_of_nested_routers_and_for_apart_layers() {
    let sessions = of(CookieTransport::new().callback_path("/login/callback"));
    let routes = || Router::new().route("/callback", on_post(async || (login(), "welcome")));
    let token = token(&sessions);
    for routes in [
        routes().layer(sessions.layer()),
        routes().layer(sessions.issue_layer()),
        routes().layer(sessions.issue_layer()).layer(sessions.validate_layer().optional()),
    ] {
        let app = Router::new().nest("/login", routes);
        let answer = send(&app, form_post("/login/callback").cookie(&token)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.all("set-cookie").len(), 1);
    }
    // The strict layer sees no session.
    let mine = Router::new()
        .route("/login/callback", on_post(async || "in"))
        .layer(sessions.validate_layer());
    let answer = send(&mine, form_post("/login/callback").cookie(&token)).await;
    assert_eq!(answer.kind(), Some(RejectionKind::Missing));
    assert!(answer.all("set-cookie").is_empty());
}

#[test]
fn callback_path_that_is_no_path_is_refused() {
    for path in ["", "callback", "https://app.example/callback", "//x", "/a?b", "/a#b", "/a/../b"] {
        let cookie = CookieTransport::new().callback_path(path);
        let transports = [Transport::cookie(cookie)];
        let error = builder(&ManualClock::default()).transports(transports).build().unwrap_err();
        assert_eq!(error.setting(), Some("callback_path"), "{error}");
        assert_eq!(error.value(), Some(&*format!("{path:?}")));
    }
}

#[tokio::test]
async fn trusted_app_or_extension_passes_and_nothing_like_it() {
    for (written, sent) in [
        ("capacitor://localhost", "capacitor://localhost"),
        ("ionic://localhost", "ionic://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("app://shop", "app://shop"),
        (
            "Chrome-Extension://abcdefghijklmnopabcdefghijklmnop",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        ),
        (
            "moz-extension://7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "moz-extension://7c9e6679-7425-40de-944b-e07fc1f90ae7",
        ),
    ] {
        let sessions = of(CookieTransport::new().trusted_origin(written));
        let app = Router::new().route("/", on_get(async || "in").post(async || "in"));
        let app = app.layer(sessions.layer());
        let from = |request: Builder, origin: &str| {
            let request = request.header("origin", origin).cookie(&token(&sessions));
            request.header("sec-fetch-site", "cross-site")
        };
        assert_eq!(send(&app, from(post("/"), sent)).await.status, StatusCode::OK, "{written}");
        let upgrade = from(get("/").header("upgrade", "websocket"), sent);
        assert_eq!(send(&app, upgrade).await.status, StatusCode::OK, "{written}");
        let (longer, upper) = (format!("{sent}x"), sent.to_uppercase());
        for origin in [&*longer, &upper, "capacitor://else", "https://localhost", "null"] {
            let answer = send(&app, from(post("/"), origin)).await;
            assert_eq!(answer.kind(), Some(RejectionKind::CrossSite), "{written} {origin}");
        }
        let twice = from(post("/"), sent).header("origin", sent);
        assert_eq!(send(&app, twice).await.kind(), Some(RejectionKind::CrossSite));
    }
    for origin in [
        "capacitor://",
        "capacitor://localhost:80",
        "tauri://localhost/",
        "chrome-extension://*",
        "chrome://x",
    ] {
        let transports = [Transport::cookie(CookieTransport::new().trusted_origin(origin))];
        let error = builder(&ManualClock::default()).transports(transports).build().unwrap_err();
        assert_eq!(error.setting(), Some("trusted_origin"), "{error}");
    }
}
