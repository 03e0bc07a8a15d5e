//! Browsers that navigate to a page without a session are sent to the login page.

use std::time::Duration;

use axum::response::Html;
use axum::routing::get as on_get;
use axum::{Json, Router};
use bytes::Bytes;
use http::request::{Builder, Parts};
use http::{Request, Response, StatusCode};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Rejection, RejectionKind, ReturnTo, Session, Sessions};

use crate::support::recorder::Events;
use crate::support::web::*;

/// What Chromium accepts when it navigates.
const PAGES: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

fn with_login_page() -> Sessions<User> {
    builder(&ManualClock::default()).login_page("/login").build().unwrap()
}

/// A page guarded by the extractor at `/mine`, one by the strict layer at `/strict`.
fn app(sessions: &Sessions<User>) -> Router {
    let strict = Router::new().route("/strict", on_get(async || "in"));
    Router::new()
        .route("/mine", on_get(async |session: Session<User>| session.subject().to_owned()))
        .route("/login", on_get(async |next: ReturnTo| Html(next.to_string())))
        .merge(strict.route_layer(sessions.validate_layer()))
        .layer(sessions.layer())
}

fn navigation(path: &str) -> Builder {
    get(path)
        .header("accept", PAGES)
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document")
}

#[tokio::test]
async fn navigation_without_session_is_sent_to_the_login_page() {
    let sessions = with_login_page();
    for path in ["/mine", "/strict"] {
        for request in [
            navigation(&format!("{path}?a=1&b=%26")),
            // Over plain http, browsers send no fetch metadata.
            get(&format!("{path}?a=1&b=%26")).header("accept", PAGES),
        ] {
            let answer = send(&app(&sessions), request).await;
            assert_eq!((answer.status, &*answer.body), (StatusCode::SEE_OTHER, ""));
            let next = format!("next=%2F{}%3Fa%3D1%26b%3D%2526", &path[1..]);
            assert_eq!(answer.all("location"), [format!("/login?{next}")]);
            assert_eq!(answer.all("cache-control"), ["no-store"]);
            assert_eq!(answer.all("vary"), ["accept, sec-fetch-mode, sec-fetch-dest"]);
            assert!(answer.all("www-authenticate").is_empty());
            assert!(answer.all("content-type").is_empty());
            assert_eq!(answer.kind(), Some(RejectionKind::Missing));
            // And back.
            let login = send(&app(&sessions), navigation(answer.all("location")[0])).await;
            assert_eq!((login.status, login.body), (StatusCode::OK, format!("{path}?a=1&b=%26")));
        }
        let head = Request::head(path).header("host", "app.example").header("accept", "text/html");
        assert_eq!(send(&app(&sessions), head).await.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn session_that_has_ended_is_redirected_and_its_cookie_cleared() {
    let clock = ManualClock::default();
    let sessions = builder(&clock).login_page("/login").build().unwrap();
    let token = token(&sessions);
    let request = |path| navigation(path).cookie(&token);
    assert_eq!(send(&app(&sessions), request("/mine")).await.body, "alice");
    clock.advance(Duration::from_secs(2 * 3600));
    for path in ["/mine", "/strict"] {
        let answer = send(&app(&sessions), request(path)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert_eq!(answer.all("location"), [format!("/login?next=%2F{}", &path[1..])]);
        assert_eq!(answer.all("set-cookie"), [CLEARED]);
        assert_eq!(answer.all("cache-control"), ["no-store"]);
        assert_eq!(answer.kind(), Some(RejectionKind::Expired));
    }
}

#[tokio::test]
async fn request_that_is_no_navigation_gets_the_401() {
    let sessions = with_login_page();
    for path in ["/mine", "/strict"] {
        for request in [
            get(path),
            get(path).header("accept", "*/*"),
            get(path).header("accept", "application/json"),
            get(path).header("accept", "text/html;q=0, */*"),
            get(path).header("accept", "text/html; Q=0.000"),
            get(path).header("accept", "text/*, text/html;q=0.0"),
            get(path).header("accept", r#"application/json;a=", text/html, ", */*"#),
            get(path).header("accept", "text/htmlx, xtext/html"),
            get(path).header("accept", PAGES).header("sec-fetch-mode", "cors"),
            get(path).header("accept", PAGES).header("sec-fetch-mode", "same-origin"),
            get(path).header("accept", PAGES).header("sec-fetch-mode", "websocket"),
            navigation(path).header("sec-fetch-mode", "cors"),
            get(path).header("accept", PAGES).header("sec-fetch-dest", "image"),
            get(path)
                .header("accept", PAGES)
                .header("sec-fetch-mode", "navigate")
                .header("sec-fetch-dest", "object"),
        ] {
            let shown = format!("{request:?}");
            let answer = send(&app(&sessions), request).await;
            assert_eq!(
                (answer.status, &*answer.body),
                (StatusCode::UNAUTHORIZED, UNAUTHORIZED),
                "{shown}"
            );
            assert_eq!(answer.all("www-authenticate"), ["Bearer"]);
            assert!(answer.all("location").is_empty());
        }
    }
    let routes = Router::new().route("/", axum::routing::post(async |_: Session<User>| "in"));
    let answer = send(&routes.layer(sessions.layer()), post("/").header("accept", PAGES)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn accept_that_names_html_is_a_navigation() {
    let app = app(&with_login_page());
    for accept in [
        "text/html",
        "TEXT/HTML;charset=utf-8",
        "application/json, text/html;q=0.1",
        "text/*",
        "text/*;q=0, text/html;level=1",
        r#"a/b;x="\", text/plain;q=0", text/html"#,
    ] {
        let answer = send(&app, get("/mine").header("accept", accept)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{accept}");
    }
    let twice = get("/mine").header("accept", "image/png").header("accept", "text/html");
    assert_eq!(send(&app, twice).await.status, StatusCode::SEE_OTHER);
    for dest in ["document", "iframe", "frame"] {
        let request = get("/mine").header("accept", PAGES).header("sec-fetch-dest", dest);
        assert_eq!(send(&app, request).await.status, StatusCode::SEE_OTHER, "{dest}");
    }
}

#[tokio::test]
async fn forbidden_ambiguous_and_cross_site_are_not_redirected() {
    let sessions = with_login_page();
    let strict = sessions.validate_layer().authorize(|_| false);
    let app = Router::new().route("/", on_get(async || "in")).layer(strict);
    let answer = send(&app, navigation("/").cookie(&token(&sessions))).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.all("vary").is_empty());
    let answer = send(&app, navigation("/").cookie("a").bearer("b")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let upgrade = get("/").header("upgrade", "websocket").header("origin", "null").cookie("x");
    assert_eq!(send(&app, upgrade.header("accept", PAGES)).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn login_too_long_ago_is_sent_to_the_login_page_with_max_age() {
    let clock = ManualClock::default();
    let sessions = builder(&clock).login_page("/login?lang=de").build().unwrap();
    let recent = sessions.validate_layer().max_auth_age(Duration::from_secs(300));
    let app = Router::new()
        .route("/pay", on_get(async || "paid"))
        .route_layer(recent)
        .layer(sessions.layer());
    let token = token(&sessions);
    assert_eq!(send(&app, navigation("/pay").cookie(&token)).await.body, "paid");
    clock.advance(Duration::from_secs(600));
    let answer = send(&app, navigation("/pay").cookie(&token)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.all("location"), ["/login?lang=de&next=%2Fpay&max_age=300"]);
    // The session is still valid.
    assert!(answer.all("set-cookie").is_empty());
}

#[tokio::test]
async fn login_page_itself_is_never_redirected() {
    let sessions = builder(&ManualClock::default()).login_page("/login?a=b").build().unwrap();
    let pages = || {
        Router::new().route("/login", on_get(async || "in")).route("/login/", on_get(async || "in"))
    };
    for app in [
        pages().layer(sessions.validate_layer()),
        Router::new().nest(
            "/login",
            Router::new().route("/", on_get(async |_: Session<User>| "in")).layer(sessions.layer()),
        ),
    ] {
        for path in ["/login", "/login?next=%2Fmine"] {
            let answer = send(&app, navigation(path)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    let answer = send(&pages().layer(sessions.validate_layer()), navigation("/login/")).await;
    assert_eq!(answer.all("location"), ["/login?a=b&next=%2Flogin%2F"]);
}

/// Once for each layer: nobody can log in.
#[tokio::test]
async fn login_page_that_requires_a_session_is_logged_as_a_mistake() {
    const REQUIRES: &str = "the login page requires a session";
    let scenario = async || {
        let sessions = with_login_page();
        let login = || Router::new().route("/login", on_get(async || "in"));
        let handler = on_get(async |_: Session<User>| "in");
        let strict = login().route("/mine", on_get(async || "in")).layer(sessions.validate_layer());
        let by_handler = Router::new().route("/login", handler).layer(sessions.layer());
        for app in [strict, by_handler] {
            for _ in 0..2 {
                send(&app, navigation("/login?next=%2Fmine")).await;
            }
        }
        // None of these is a mistake.
        let app = login().layer(sessions.layer());
        for request in [navigation("/login"), navigation("/login").cookie("x"), get("/login")] {
            send(&app, request).await;
        }
        let app = login().route_layer(sessions.validate_layer());
        send(&app, get("/login")).await;
        send(&app, navigation("/mine")).await;
    };
    let events = Events::of(scenario, |events| events.count(REQUIRES) == 2).await;
    let all = events.all();
    let all: Vec<_> = all.iter().filter(|event| event.message == REQUIRES).collect();
    let mistakes =
        all.iter().map(|event| (&*event.fields["login_page"], &*event.fields["mistake"]));
    let expected = [
        "\"`validate_layer` is around it: put the layer around the other routes only\"",
        "\"its handler takes `Session`: take `Option<Session>`\"",
    ];
    assert_eq!(mistakes.collect::<Vec<_>>(), expected.map(|mistake| ("/login", mistake)));
    assert!(all.iter().all(|event| event.level == tracing::Level::ERROR));
}

/// Once for each layer: browsers that it sends there see a 404.
#[tokio::test]
async fn login_page_without_a_route_is_logged_as_a_mistake() {
    const NOT_FOUND: &str = "the login page is not found";
    let scenario = async || {
        let sessions = with_login_page();
        let pages = || {
            Router::new()
                .route("/mine", on_get(async |_: Session<User>| "in"))
                .route("/log-in", on_get(async || "a form"))
        };
        let app = pages().layer(sessions.layer());
        let nested = Router::new().nest("/app", pages().layer(sessions.layer()));
        for path in ["/mine", "/log-in", "/other", "/login/x"] {
            send(&app, navigation(path)).await;
        }
        send(&app, post("/login")).await;
        // Another page than `/login`.
        send(&nested, navigation("/app/login")).await;
        let there = pages().route("/login", on_get(async || "a form")).layer(sessions.layer());
        send(&there, navigation("/login?next=%2Fmine")).await;
        for _ in 0..2 {
            let answer = send(&app, navigation("/login?next=%2Fmine")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND);
        }
    };
    let events = Events::of(scenario, |events| events.count(NOT_FOUND) == 1).await;
    let all = events.all();
    let all: Vec<_> = all.iter().filter(|event| event.message == NOT_FOUND).collect();
    let [event] = &all[..] else { panic!("{all:?}") };
    assert_eq!((event.level, &*event.fields["login_page"]), (tracing::Level::ERROR, "/login"));
}

#[tokio::test]
async fn nested_routers_send_back_to_the_path_that_the_browser_sees() {
    let sessions = with_login_page();
    let strict = || Router::new().route("/strict", on_get(async || "in"));
    let inner = || {
        strict()
            .route_layer(sessions.validate_layer())
            .route("/", on_get(async |_: Session<User>| "in"))
    };
    let outside =
        Router::new().nest("/shop", Router::new().nest("/admin", inner())).layer(sessions.layer());
    let inside =
        Router::new().nest("/shop/", Router::new().nest("/admin", inner().layer(sessions.layer())));
    for app in [outside, inside] {
        for (path, next) in [
            ("/shop/admin/strict?a=1", "/login?next=%2Fshop%2Fadmin%2Fstrict%3Fa%3D1"),
            ("/shop/admin?a=1", "/login?next=%2Fshop%2Fadmin%3Fa%3D1"),
        ] {
            assert_eq!(send(&app, navigation(path)).await.all("location"), [next]);
        }
    }
    // The value of a capture is unknown.
    let app = Router::new().nest("/{tenant}", inner()).layer(sessions.layer());
    assert_eq!(send(&app, navigation("/a/strict")).await.all("location"), ["/login"]);
}

#[tokio::test]
async fn path_that_is_not_safe_to_return_to_is_left_out() {
    let sessions = with_login_page();
    let app = Router::new().fallback(async |_: Session<User>| "in").layer(sessions.layer());
    let long = format!("/{}", "a".repeat(2048));
    for path in ["//else.example", "/%2Felse.example", "/a/../..//else.example", &long] {
        assert_eq!(send(&app, navigation(path)).await.all("location"), ["/login"], "{path}");
    }
    let path = format!("/{}", "a".repeat(2047));
    let expected = format!("/login?next=%2F{}", &path[1..]);
    assert_eq!(send(&app, navigation(&path)).await.all("location"), [expected]);
    // The authority of the target, which is the client's, is no part of it.
    let absolute = Request::get("https://else.example/mine").header("accept", PAGES);
    assert_eq!(send(&app, absolute).await.all("location"), ["/login?next=%2Fmine"]);
}

#[tokio::test]
async fn validate_layer_has_a_login_page_of_its_own() {
    for sessions in [with_login_page(), sessions(&ManualClock::default())] {
        let admin = sessions.validate_layer().login_page("/admin/login").unwrap();
        let app = Router::new()
            .route("/admin", on_get(async || "in"))
            .route_layer(admin)
            .layer(sessions.layer());
        let answer = send(&app, navigation("/admin")).await;
        assert_eq!(answer.all("location"), ["/admin/login?next=%2Fadmin"]);
    }
}

#[test]
fn login_page_that_is_no_path_of_this_site_is_refused() {
    for path in
        ["", "login", "https://app.example/login", "//login", r"/\login", "/a/../login", "/login#a"]
    {
        let errors = [
            builder(&ManualClock::default()).login_page(path).build().unwrap_err(),
            sessions(&ManualClock::default()).validate_layer().login_page(path).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.setting(), Some("login_page"), "{error}");
            assert_eq!(error.value(), Some(&*format!("{path:?}")));
            assert!(error.help().unwrap().contains("`/login`"), "{error}");
        }
    }
}

#[tokio::test]
async fn respond_sees_the_redirect_and_its_reason() {
    let page = |answer: Response<Bytes>, request: Option<&Parts>| {
        let kind = answer.extensions().get::<Rejection>().map(Rejection::kind);
        assert_eq!((kind, request.unwrap().uri.path()), (Some(RejectionKind::Missing), "/mine"));
        let status = answer.status();
        answer.map(|_| axum::body::Body::from(format!("to {status}")))
    };
    let sessions = with_login_page();
    let app = Router::new()
        .route("/mine", on_get(async |_: Session<User>| Json(7)))
        .layer(sessions.layer().respond_with(page));
    let answer = send(&app, navigation("/mine")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::SEE_OTHER, "to 303 See Other"));
    assert_eq!(answer.all("location"), ["/login?next=%2Fmine"]);
}

#[tokio::test]
async fn return_to_is_extractor_and_response() {
    let log_in = async |next: ReturnTo| (login(), next);
    let sessions = with_login_page();
    let app = Router::new().route("/login", axum::routing::post(log_in)).layer(sessions.layer());
    for (path, location) in [
        ("/login?next=%2Fb%C3%BCcher", "/b%C3%BCcher"),
        ("/login?next=//else.example", "/"),
        ("/login", "/"),
    ] {
        let answer = send(&app, post(path)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert_eq!(answer.all("location"), [location]);
        assert!(!answer.cookie_token().is_empty());
    }
}
