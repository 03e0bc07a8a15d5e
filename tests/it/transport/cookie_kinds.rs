//! Cookies for other places than one https host: local development, frames, sub-domains.

use axum::Router;
use axum::routing::{get as on_get, post as on_post};
use http::request::Builder;
use http::{Request, StatusCode};
use tower_http::cors::CorsLayer;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    BuildError, CookieTransport, Login, RejectionKind, Session, Sessions, Transport,
};

use crate::support::web::*;

fn try_of(cookie: CookieTransport) -> Result<Sessions<User>, BuildError> {
    let transports = [Transport::cookie(cookie), Transport::bearer()];
    builder(&ManualClock::default()).transports(transports).build()
}

fn of(cookie: CookieTransport) -> Sessions<User> {
    try_of(cookie).unwrap()
}

fn app(sessions: &Sessions<User>) -> Router {
    let who = async |session: Option<Session<User>>| {
        session.map_or("no one".to_owned(), |session| session.subject().to_owned())
    };
    Router::new()
        .route("/", on_get(who).post(who))
        .route("/login", on_post(async || (login(), "welcome")))
        .route("/token", on_post(async || login().bearer()))
        .layer(sessions.layer())
}

fn log_in(host: &str) -> Builder {
    Request::post("/login").header("host", host)
}

#[tokio::test]
async fn local_cookie_has_neither_prefix_nor_secure() {
    let sessions = of(CookieTransport::for_local_development());
    let answer = send(&app(&sessions), log_in("localhost:3000")).await;
    let [field] = answer.all("set-cookie")[..] else { panic!("{:?}", answer.headers) };
    let (pair, attributes) = field.split_once("; ").unwrap();
    assert!(pair.starts_with("fixed-development=ey"), "{field}");
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/");
    let request = Request::get("/").header("host", "localhost:3000").header("cookie", pair);
    assert_eq!(send(&app(&sessions), request).await.body, "alice");
    let named = of(CookieTransport::for_local_development().name("dev").same_site_strict());
    let answer = send(&app(&named), log_in("localhost")).await;
    assert!(answer.all("set-cookie")[0].ends_with("; HttpOnly; SameSite=Strict; Path=/"));
}

#[tokio::test]
async fn local_cookie_is_set_on_this_machine_alone() {
    let sessions = of(CookieTransport::for_local_development());
    let app = app(&sessions).layer(sessions.issue_layer());
    for host in [
        "localhost",
        "LocalHost:3000",
        "app.localhost:8080",
        "127.0.0.1",
        "127.1.2.3:3000",
        "[::1]",
        "[::1]:3000",
    ] {
        let answer = send(&app, log_in(host)).await;
        assert_eq!(answer.all("set-cookie").len(), 1, "{host}");
        // In HTTP/2, the host is in the target.
        let target = Request::post(format!("http://{host}/login")).header("host", "app.example");
        assert_eq!(send(&app, target).await.status, StatusCode::OK, "{host}");
    }
    for host in [
        "app.example",
        "localhost.example",
        "notlocalhost",
        "localhost:x",
        "user@localhost",
        "192.168.0.7:3000",
        "128.0.0.1",
        "127.0.0.1.example",
        "[::2]",
        "0.0.0.0",
        "",
    ] {
        let answer = send(&app, log_in(host)).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{host}");
        // Clients do not see why.
        assert_eq!(
            answer.body,
            r#"{"type":"about:blank","title":"Internal Server Error","status":500}"#
        );
        assert!(answer.all("set-cookie").is_empty());
        // A bearer token has no host.
        let bearer = Request::post("/token").header("host", host);
        assert_eq!(send(&app, bearer).await.status, StatusCode::OK, "{host}");
    }
    assert_eq!(send(&app, Request::post("/login")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    let twice = log_in("localhost").header("host", "localhost");
    assert_eq!(send(&app, twice).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    // A proxy that replaces the host does not hide the page's.
    let proxied = log_in("localhost:3000").header("origin", "https://app.example");
    let proxied = proxied.header("sec-fetch-site", "same-origin");
    assert_eq!(send(&app, proxied).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    let own = log_in("localhost:3000").header("origin", "http://localhost:3000");
    assert_eq!(send(&app, own).await.status, StatusCode::OK);
    // A login over the layer that issues alone.
    let alone = Router::new().route("/login", on_post(async || (login(), "welcome")));
    let alone = alone.layer(sessions.issue_layer());
    assert_eq!(send(&alone, log_in("localhost")).await.status, StatusCode::OK);
    let answer = send(&alone, log_in("app.example")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn local_cookie_and_a_callback_work_from_the_providers_page() {
    let cookie = CookieTransport::for_local_development().callback_path("/login");
    let from = |host| {
        log_in(host).header("origin", "https://id.example").header("sec-fetch-site", "cross-site")
    };
    let app = app(&of(cookie));
    assert_eq!(send(&app, from("localhost:3000")).await.all("set-cookie").len(), 1);
    assert_eq!(send(&app, from("app.example")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

/// A page of Vite's server, whose scripts call the service on another port of the same machine.
#[tokio::test]
async fn page_on_another_port_is_let_in_by_name_and_cors() {
    let vite = "http://localhost:5173";
    let trusting = of(CookieTransport::for_local_development().trusted_origin(vite));
    let cors = CorsLayer::new()
        .allow_origin(http::HeaderValue::from_static("http://localhost:5173"))
        .allow_methods([http::Method::GET, http::Method::POST])
        .allow_credentials(true);
    let app = app(&trusting).layer(cors);
    let fetch = |path: &str, origin: &str| {
        let request = Request::post(path).header("host", "localhost:3000").header("origin", origin);
        request.header("sec-fetch-site", "same-site").header("sec-fetch-mode", "cors")
    };
    let answer = send(&app, fetch("/login", vite)).await;
    assert_eq!(answer.all("access-control-allow-credentials"), ["true"]);
    let pair = answer.all("set-cookie")[0].split(';').next().unwrap().to_owned();
    let answer = send(&app, fetch("/", vite).header("cookie", &pair)).await;
    assert_eq!((&*answer.body, answer.all("access-control-allow-origin")), ("alice", vec![vite]));
    let other = fetch("/", "http://localhost:9999").header("cookie", &pair);
    assert_eq!(send(&app, other).await.kind(), Some(RejectionKind::CrossSite));
}

#[tokio::test]
async fn cookie_in_frames_is_partitioned_and_ignored_for_what_other_pages_load() {
    let sessions = of(CookieTransport::new().dangerous_in_frames());
    let app = app(&sessions);
    let answer = send(&app, post("/login")).await;
    let attributes = answer.all("set-cookie")[0].split_once("; ").unwrap().1;
    assert_eq!(attributes, "HttpOnly; SameSite=None; Partitioned; Secure; Path=/");
    let token = token(&sessions);
    let with = |request: Builder, site: &str, mode: &str, dest: &str| {
        let request = request.header("sec-fetch-site", site).header("sec-fetch-mode", mode);
        request.header("sec-fetch-dest", dest).cookie(&token)
    };
    for (site, mode, dest, who) in [
        // The frame itself, and what its page asks for.
        ("cross-site", "navigate", "iframe", "alice"),
        ("cross-site", "navigate", "document", "alice"),
        ("same-origin", "cors", "empty", "alice"),
        ("same-origin", "no-cors", "image", "alice"),
        ("none", "navigate", "document", "alice"),
        // What other sites' pages load.
        ("cross-site", "no-cors", "image", "no one"),
        ("cross-site", "no-cors", "script", "no one"),
        ("cross-site", "cors", "empty", "no one"),
        ("same-site", "no-cors", "script", "no one"),
    ] {
        let answer = send(&app, with(get("/"), site, mode, dest)).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, who), "{site} {mode} {dest}");
    }
    for request in [
        with(post("/"), "cross-site", "navigate", "iframe"),
        with(post("/"), "cross-site", "cors", "empty"),
        with(get("/").header("upgrade", "websocket"), "cross-site", "websocket", "empty"),
    ] {
        assert_eq!(send(&app, request).await.kind(), Some(RejectionKind::CrossSite));
    }
    // Of browsers that say nothing, what changes something and WebSockets are refused by their origin.
    let old = |request: Builder| request.header("origin", "https://else.example").cookie(&token);
    assert_eq!(send(&app, old(post("/"))).await.kind(), Some(RejectionKind::CrossSite));
    let upgrade = old(get("/").header("upgrade", "websocket"));
    assert_eq!(send(&app, upgrade).await.kind(), Some(RejectionKind::CrossSite));
    // Without the setting, browsers do the same by `SameSite=Lax`.
    let lax = self::app(&self::of(CookieTransport::new()));
    assert_eq!(send(&lax, with(get("/"), "cross-site", "cors", "empty")).await.body, "alice");
}

#[tokio::test]
async fn cookie_of_a_domain_is_shared_and_cleared_with_it() {
    let sessions = of(CookieTransport::new().dangerous_share_with_subdomains("example.com"));
    let app = app(&sessions);
    let answer = send(&app, post("/login")).await;
    let [field] = answer.all("set-cookie")[..] else { panic!("{:?}", answer.headers) };
    let (pair, attributes) = field.split_once("; ").unwrap();
    assert!(pair.starts_with("__Secure-fixed=ey"), "{field}");
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com");
    assert_eq!(send(&app, get("/").header("cookie", pair)).await.body, "alice");
    let answer = send(&app, get("/").header("cookie", "__Secure-fixed=garbage")).await;
    let cleared =
        "__Secure-fixed=; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com; Max-Age=0";
    assert_eq!(answer.all("set-cookie"), [cleared]);
    // A page of another host of the domain is not trusted.
    let other = post("/").header("sec-fetch-site", "same-site").header("cookie", pair);
    assert_eq!(send(&app, other).await.kind(), Some(RejectionKind::CrossSite));
}

#[test]
fn domain_that_browsers_or_this_crate_refuse_is_named() {
    for domain in [
        "",
        "com",
        "localhost",
        ".example.com",
        "example.com.",
        "Example.com",
        "127.0.0.1",
        "[::1]",
        "example.com:443",
        "https://example.com",
        "*.example.com",
        "bücher.example",
        "a..b",
        "a;b.example",
    ] {
        let cookie = CookieTransport::new().dangerous_share_with_subdomains(domain);
        let error = try_of(cookie).unwrap_err();
        assert_eq!(error.setting(), Some("dangerous_share_with_subdomains"), "{error}");
        assert_eq!(error.value(), Some(&*format!("{domain:?}")));
    }
    for name in ["session", "__Host-session"] {
        let cookie =
            CookieTransport::new().dangerous_share_with_subdomains("example.com").name(name);
        let error = try_of(cookie).unwrap_err();
        assert_eq!(error.setting(), Some("cookie name"), "{error}");
        assert!(error.help().unwrap().contains("`__Secure-`"), "{error}");
    }
}

#[test]
fn cookie_settings_that_contradict_each_other_are_refused() {
    let local = CookieTransport::for_local_development;
    for (cookie, setting) in [
        (local().dangerous_in_frames(), "for_local_development"),
        (local().dangerous_share_with_subdomains("example.com"), "for_local_development"),
        (CookieTransport::new().same_site_strict().dangerous_in_frames(), "same_site_strict"),
    ] {
        let error = try_of(cookie).unwrap_err();
        assert_eq!(error.setting(), Some(setting), "{error}");
        assert!(error.value().unwrap().starts_with("set beside"), "{error}");
    }
}

#[tokio::test]
async fn login_that_continues_a_session_is_checked_like_any_login() {
    let sessions = of(CookieTransport::for_local_development());
    let change = sessions.clone();
    let handler = async move |session: Session<User>| -> (Login<User>, &'static str) {
        (change.reissue(&session, User { role: "writer".into() }), "changed")
    };
    let app = Router::new().route("/", on_post(handler)).layer(sessions.layer());
    let cookie = format!("fixed-development={}", token(&sessions));
    for (host, status) in
        [("localhost", StatusCode::OK), ("app.example", StatusCode::INTERNAL_SERVER_ERROR)]
    {
        let request = Request::post("/").header("host", host).header("cookie", &cookie);
        assert_eq!(send(&app, request).await.status, status, "{host}");
    }
}
