//! The guard against cross-site requests, which stands where sessions travel in a cookie.

use axum::Router;
use axum::routing::{any, get as on_get, post as on_post};
use http::request::Builder;
use http::{Method, Request, StatusCode};
use tower_http::cors::{Any, CorsLayer};
use tower_jwt_session::Transport;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{CookieTransport, Logout, RejectionKind, Session, Sessions};

use crate::support::recorder::Events;
use crate::support::web::*;

fn guarded() -> Sessions<User> {
    let cookie = CookieTransport::new().trusted_origin("https://admin.example");
    builder(&ManualClock::default())
        .transports([Transport::cookie(cookie), Transport::bearer()])
        .build()
        .unwrap()
}

fn app(sessions: &Sessions<User>) -> Router {
    Router::new()
        .route("/", any(async || "in"))
        .route("/login", on_post(async || login()))
        .route("/method", any(async |method: Method| method.to_string()))
        .layer(sessions.layer())
}

async fn passes(request: Builder) -> bool {
    let answer = send(&app(&guarded()), request).await;
    match answer.kind() {
        Some(RejectionKind::CrossSite) => false,
        None => answer.status.is_success(),
        other => panic!("{other:?}"),
    }
}

fn request(method: &str) -> Builder {
    Request::builder().method(method).uri("/").header("host", "app.example")
}

/// A WebSocket's opening (RFC 6455, section 4.1).
fn websocket(origin: &str) -> Builder {
    get("/").header("connection", "Upgrade").header("upgrade", "websocket").header("origin", origin)
}

#[tokio::test]
async fn cross_site_request_with_any_credential_is_refused() {
    let sessions = guarded();
    for (name, value) in [
        ("cookie", format!("__Host-fixed={}", token(&sessions))),
        ("cookie", "__Host-fixed=garbage".into()),
        ("cookie", "theme=dark".into()),
        ("authorization", "Basic YTpi".into()),
    ] {
        for fields in [
            &[("origin", "https://else.example")][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "https://sub.app.example")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://app.example")],
            &[("origin", "null")],
        ] {
            let request = fields
                .iter()
                .fold(post("/"), |request, (name, value)| request.header(*name, *value));
            let answer = send(&app(&sessions), request.header(name, &value)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{fields:?}");
            assert_eq!(answer.body, r#"{"type":"about:blank","title":"Forbidden","status":403}"#);
            assert_eq!(answer.all("content-type"), ["application/problem+json"]);
            assert_eq!(answer.all("cache-control"), ["no-store"]);
            // Nobody is challenged, and no other site can log a user out.
            assert_eq!(answer.headers.len(), 2, "{:?}", answer.headers);
            assert_eq!(answer.kind(), Some(RejectionKind::CrossSite));
        }
    }
}

#[tokio::test]
async fn cross_site_request_without_credentials_is_anonymous_and_sets_no_cookie() {
    let sessions = guarded();
    let inner = async |session: Option<Session<User>>| {
        ([("set-cookie", "a=b"), ("clear-site-data", "*")], session.is_some().to_string())
    };
    let app = Router::new().route("/", on_post(inner)).layer(sessions.layer());
    for field in [("origin", "https://else.example"), ("sec-fetch-site", "cross-site")] {
        let answer = send(&app, post("/").header(field.0, field.1)).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "false"));
        assert_eq!((answer.all("set-cookie"), answer.all("clear-site-data")), (vec![], vec![]));
    }
    let answer = send(&app, post("/").header("origin", "https://app.example")).await;
    assert_eq!((answer.all("set-cookie"), answer.all("clear-site-data")), (vec!["a=b"], vec!["*"]));
}

#[tokio::test]
async fn bearer_login_from_another_site_is_not_the_guards() {
    let sessions = guarded();
    let routes = || {
        Router::new()
            .route("/token", on_post(async || login().bearer()))
            .route("/login", on_post(async || (login(), "welcome")))
    };
    let from_else = |path| post(path).header("origin", "https://else.example");
    let whole = routes().layer(sessions.layer());
    let issue_alone = routes().layer(sessions.issue_layer());
    let apart = routes().layer(sessions.issue_layer()).layer(sessions.validate_layer().optional());
    for app in [whole, issue_alone, apart] {
        let answer = send(&app, from_else("/token")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.body.starts_with(r#"{"access_token":"ey"#), "{}", answer.body);
        assert!(answer.all("set-cookie").is_empty());
        // A login by cookie is, in every layer.
        let answer = send(&app, from_else("/login")).await;
        assert_eq!(answer.kind(), Some(RejectionKind::CrossSite));
        assert_eq!(answer.body, r#"{"type":"about:blank","title":"Forbidden","status":403}"#);
        assert!(answer.all("set-cookie").is_empty());
        let with_another = from_else("/login").header("cookie", "theme=dark");
        assert_eq!(send(&app, with_another).await.kind(), Some(RejectionKind::CrossSite));
        assert_eq!(send(&app, post("/login")).await.all("set-cookie").len(), 1);
    }
}

#[tokio::test]
async fn another_site_cannot_log_a_user_out() {
    let logout = async || Logout::new().clear_site_data();
    let sessions = guarded();
    let app = Router::new().route("/logout", on_post(logout)).layer(sessions.layer());
    // Browsers leave out the cookie, which is `SameSite=Lax`.
    for request in [post("/logout"), post("/logout").cookie(&token(&sessions))] {
        let answer = send(&app, request.header("origin", "https://else.example")).await;
        assert_eq!(answer.kind(), Some(RejectionKind::CrossSite));
        assert_eq!(answer.headers.len(), 2, "{:?}", answer.headers);
    }
}

#[tokio::test]
async fn another_site_cannot_log_a_user_in() {
    let app = app(&guarded());
    for field in [("origin", "https://else.example"), ("sec-fetch-site", "cross-site")] {
        let answer = send(&app, post("/login").header(field.0, field.1)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.all("set-cookie"), [""; 0]);
    }
    let own = post("/login").header("origin", "https://app.example");
    assert_eq!(send(&app, own).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn every_method_that_may_change_something_is_guarded() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "TRACE"] {
        let cross_site = request(method).header("origin", "https://else.example");
        assert!(!passes(cross_site.header("cookie", "theme=dark")).await, "{method}");
        assert!(passes(request(method).header("origin", "https://app.example")).await, "{method}");
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert!(passes(request(method).header("origin", "https://else.example")).await, "{method}");
    }
}

#[tokio::test]
async fn the_own_origin_and_clients_that_are_no_browsers_pass() {
    let token = token(&guarded());
    for request in [
        post("/").header("origin", "https://app.example"),
        post("/").header("sec-fetch-site", "same-origin"),
        post("/").header("sec-fetch-site", "none"),
        post("/"),
    ] {
        assert!(passes(request.cookie(&token)).await);
    }
}

#[tokio::test]
async fn a_trusted_origin_passes_and_nothing_like_it() {
    let token = token(&guarded());
    let from = |origin: &str| {
        post("/").header("sec-fetch-site", "cross-site").header("origin", origin).cookie(&token)
    };
    assert!(passes(from("https://admin.example")).await);
    for origin in [
        "http://admin.example",
        "https://admin.example:8443",
        "https://admin.example.else.example",
        "https://Admin.example",
        "https://x.admin.example",
        "null",
        "",
    ] {
        assert!(!passes(from(origin)).await, "{origin}");
    }
}

#[tokio::test]
async fn another_port_or_a_longer_host_is_another_origin() {
    for origin in ["https://app.example:8443", "https://app.example.else.example", "app.example"] {
        let request = post("/").header("origin", origin).header("cookie", "theme=dark");
        assert!(!passes(request).await, "{origin}");
    }
}

/// A `POST` for a host, by a browser that sends no `Sec-Fetch-Site`.
fn from(host: &str, origin: &str) -> Builder {
    Request::post("/").header("host", host).header("origin", origin)
}

#[tokio::test]
async fn the_own_origin_is_compared_without_case_and_default_ports() {
    let token = token(&guarded());
    for (host, origin) in [
        ("app.example:443", "https://app.example"),
        ("app.example", "https://app.example:443"),
        ("App.Example", "https://app.example"),
        ("app.example", "https://APP.example"),
        ("app.example:", "https://app.example"),
        ("app.example:8443", "https://app.example:8443"),
        ("[2001:db8::1]:443", "https://[2001:db8::1]"),
        ("[2001:DB8::1]", "https://[2001:db8::1]"),
        ("localhost:3000", "http://localhost:3000"),
        ("127.0.0.1:80", "http://127.0.0.1"),
        ("[::1]:3000", "http://[::1]:3000"),
        ("app.localhost", "http://app.localhost:80"),
    ] {
        assert!(passes(from(host, origin).cookie(&token)).await, "{host} {origin}");
        assert!(passes(from(host, origin)).await, "{host} {origin}");
        // The host in the target counts, which HTTP/2 calls `:authority`.
        let target = |authority: &str, host: &str| {
            let target = Request::post(format!("https://{authority}/")).header("origin", origin);
            target.header("host", host).cookie(&token)
        };
        assert!(passes(target(host, "else.example")).await, "{host} {origin}");
        assert!(!passes(target("else.example", host)).await, "{host} {origin}");
    }
    for (host, origin) in [
        ("app.example:80", "https://app.example"),
        ("app.example:443", "https://app.example:8443"),
        ("app.example:443", "https://app.example.else.example"),
        ("app.example.", "https://app.example"),
        ("user@app.example", "https://app.example"),
        ("app.example", "https://user@app.example"),
        ("app.example:44x", "https://app.example"),
        ("app.example:99999", "https://app.example:99999"),
        ("app.example", "ftp://app.example"),
        ("app.example", "https://app.example/"),
        ("app.example", "//app.example"),
        ("app.example", "app.example"),
        ("[2001:db8::1]", "https://[2001:db8::2]"),
        ("", "https://"),
    ] {
        assert!(!passes(from(host, origin).cookie(&token)).await, "{host} {origin}");
        let without = from(host, origin).header("cookie", "theme=dark");
        assert!(!passes(without).await, "{host} {origin}");
    }
    // Nothing is folded where browsers say where it comes from.
    let cross = from("app.example", "https://app.example").header("sec-fetch-site", "cross-site");
    assert!(!passes(cross.cookie(&token)).await);
    let twice = from("app.example", "https://app.example").header("host", "else.example");
    assert!(!passes(twice.cookie(&token)).await);
}

#[tokio::test]
async fn secure_cookie_from_plain_http_page_is_cross_site() {
    let from = |sessions: &Sessions<User>, cookie: &str, origin: &str| {
        let request = from("app.example", origin);
        let cookie = format!("{cookie}={}", token(sessions));
        (request.header("cookie", cookie), app(sessions))
    };
    let secure = guarded();
    let (request, app) = from(&secure, "__Host-fixed", "http://app.example");
    assert_eq!(send(&app, request).await.kind(), Some(RejectionKind::CrossSite));
    // Trusted by name, it passes; so does a request whose scheme nobody knows.
    let cookie = CookieTransport::new().trusted_origin("http://app.example");
    let trusting = builder(&ManualClock::default())
        .transports([Transport::cookie(cookie), Transport::bearer()])
        .build()
        .unwrap();
    let (request, app) = from(&trusting, "__Host-fixed", "http://app.example");
    assert_eq!(send(&app, request).await.status, StatusCode::OK);
    assert!(passes(self::from("app.example", "http://app.example")).await);
    let cookie = CookieTransport::for_local_development().name("dev");
    let plain = builder(&ManualClock::default())
        .transports([Transport::cookie(cookie), Transport::bearer()])
        .build()
        .unwrap();
    let (request, app) = from(&plain, "dev", "http://app.example");
    assert_eq!(send(&app, request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn trusted_origin_in_any_case_or_with_default_port_matches() {
    for (written, sent) in [
        ("https://Admin.example", "https://admin.example"),
        ("HTTPS://admin.example", "https://admin.example"),
        ("https://admin.example:443", "https://admin.example"),
        ("https://admin.example:0443", "https://admin.example"),
        ("http://admin.example:80", "http://admin.example"),
        ("https://admin.example:8443", "https://admin.example:8443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://[2001:DB8:0::1]:443", "https://[2001:db8::1]"),
        ("https://[::ffff:1.2.3.4]", "https://[::ffff:102:304]"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
    ] {
        let cookie = CookieTransport::new().trusted_origin(written);
        let sessions = builder(&ManualClock::default())
            .transports([Transport::cookie(cookie), Transport::bearer()])
            .build()
            .unwrap();
        for site in [None, Some("cross-site")] {
            let request = from("app.example", sent).cookie(&token(&sessions));
            let request =
                site.into_iter().fold(request, |r, site| r.header("sec-fetch-site", site));
            assert_eq!(send(&app(&sessions), request).await.status, StatusCode::OK, "{written}");
        }
    }
}

#[tokio::test]
async fn a_bearer_request_never_meets_the_guard() {
    let sessions = guarded();
    for token in [token(&sessions), "garbage".into()] {
        let cross_site = post("/").header("origin", "https://else.example").bearer(&token);
        assert!(passes(cross_site.header("sec-fetch-site", "cross-site")).await);
    }
    assert!(passes(websocket("https://else.example").bearer("x")).await);
}

#[tokio::test]
async fn bearer_beside_cookie_keeps_the_guard() {
    let token = token(&guarded());
    let from_elsewhere = || post("/").header("origin", "https://else.example");
    for request in [
        from_elsewhere().cookie(&token).bearer("x"),
        from_elsewhere().bearer("x").bearer("y"),
        from_elsewhere().cookie(&token).cookie(&token),
        from_elsewhere().cookie(&token).header("authorization", "Basic YTpi"),
        websocket("https://else.example").cookie(&token).bearer("x"),
    ] {
        assert!(!passes(request).await);
    }
}

#[tokio::test]
async fn cookie_only_guard_ignores_authorization_header() {
    let cookie =
        builder(&ManualClock::default()).transports([Transport::cookie(CookieTransport::new())]);
    let sessions = cookie.build().unwrap();
    let cross_site = post("/").header("origin", "https://else.example").bearer("x");
    let answer = send(&app(&sessions), cross_site.cookie(&token(&sessions))).await;
    assert_eq!(answer.kind(), Some(RejectionKind::CrossSite));
}

#[tokio::test]
async fn websocket_with_cookie_opens_from_trusted_origins_only() {
    let token = token(&guarded());
    assert!(passes(websocket("https://app.example").cookie(&token)).await);
    assert!(passes(websocket("https://admin.example").cookie(&token)).await);
    for origin in ["https://else.example", "null", "https://app.example.else.example"] {
        assert!(!passes(websocket(origin).cookie(&token)).await, "{origin}");
        // Even a cookie that is no good: the answer says nothing about it.
        assert!(!passes(websocket(origin).cookie("garbage")).await, "{origin}");
    }
    let without = get("/").header("upgrade", "websocket").cookie(&token);
    assert!(passes(without).await, "no browser leaves out the origin");
}

#[tokio::test]
async fn a_websocket_without_the_cookie_opens_from_anywhere() {
    assert!(passes(websocket("https://else.example")).await);
    assert!(passes(websocket("https://else.example").header("cookie", "theme=dark")).await);
}

#[tokio::test]
async fn a_websocket_over_http_2_is_checked_as_over_http_1() {
    // RFC 8441: an extended CONNECT, whose target has the authority.
    let sessions = guarded();
    let connect = |origin: &str| {
        let target = Request::builder().method("CONNECT").uri("https://app.example/");
        target.header("origin", origin).cookie(&token(&sessions))
    };
    let answer = send(&app(&sessions), connect("https://else.example")).await;
    assert_eq!(answer.kind(), Some(RejectionKind::CrossSite));
    let answer = send(&app(&sessions), connect("https://app.example")).await;
    assert_ne!(answer.kind(), Some(RejectionKind::CrossSite));
}

#[tokio::test]
async fn the_method_is_the_clients_after_the_check() {
    let sessions = guarded();
    let upgrade = get("/method").header("upgrade", "websocket").cookie(&token(&sessions));
    assert_eq!(send(&app(&sessions), upgrade).await.body, "GET");
}

#[tokio::test]
async fn a_cors_layer_around_answers_preflights_and_marks_refusals() {
    let cors = CorsLayer::new().allow_origin(Any).allow_methods([Method::PUT]);
    let app = app(&guarded()).layer(cors);
    let preflight = request("OPTIONS").header("origin", "https://else.example");
    let answer = send(&app, preflight.header("access-control-request-method", "PUT")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.all("access-control-allow-methods"), ["PUT"]);
    let cross_site = post("/").header("origin", "https://else.example").cookie("x");
    let answer = send(&app, cross_site).await;
    assert_eq!(answer.kind(), Some(RejectionKind::CrossSite));
    assert_eq!(answer.all("access-control-allow-origin"), ["*"]);
}

#[tokio::test]
async fn a_refused_request_reaches_no_handler() {
    let handler = async || -> &'static str { panic!("reached") };
    let app = Router::new().route("/", on_post(handler)).route("/ws", on_get(handler));
    let app = app.layer(guarded().layer());
    let cross_site = post("/").header("origin", "https://else.example").cookie("x");
    assert_eq!(send(&app, cross_site).await.status, StatusCode::FORBIDDEN);
    let upgrade = get("/ws").header("upgrade", "websocket").header("origin", "null").cookie("x");
    assert_eq!(send(&app, upgrade).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn validate_layer_alone_guards_cookies_as_the_whole_layer_does() {
    let sessions = guarded();
    let routes = || {
        Router::new().route("/", on_post(async || "in")).route("/login", on_post(async || login()))
    };
    let from_else = |path| post(path).header("origin", "https://else.example");
    let (strict, optional) = (sessions.validate_layer(), sessions.validate_layer().optional());

    let answer = send(&routes().layer(strict.clone()), from_else("/")).await;
    assert_eq!(answer.kind(), Some(RejectionKind::Missing));
    assert_eq!(
        send(&routes().layer(optional.clone()), from_else("/")).await.status,
        StatusCode::OK
    );
    for layer in [strict, optional.clone()] {
        let with_cookie = from_else("/").cookie(&token(&sessions));
        let answer = send(&routes().layer(layer), with_cookie).await;
        assert_eq!(answer.kind(), Some(RejectionKind::CrossSite));
    }

    // It has found that there is no session; a login is still the guard's to refuse.
    let app = routes().layer(sessions.layer()).layer(optional);
    let answer = send(&app, from_else("/login")).await;
    assert_eq!(answer.kind(), Some(RejectionKind::CrossSite));
    assert!(answer.all("set-cookie").is_empty());
    assert_eq!(send(&app, post("/login")).await.all("set-cookie").len(), 1);
}

/// A browser sends the cookie to a trusted origin of the same site, and from another site never.
#[tokio::test]
async fn log_of_a_refusal_names_the_fix_that_helps() {
    const MESSAGE: &str = "a request comes from another origin";
    let of = |site: &str, origin: &str| {
        let request = request("POST").header("cookie", "theme=dark");
        request.header("sec-fetch-site", site).header("origin", origin)
    };
    let scenario = async || {
        let app = app(&guarded());
        for (site, origin) in [
            ("same-site", "https://sub.app.example"),
            ("cross-site", "https://else.example"),
            ("cross-site", "tauri://localhost"),
        ] {
            assert_eq!(send(&app, of(site, origin)).await.status, StatusCode::FORBIDDEN);
        }
    };
    let events = Events::of(scenario, |events| events.count(MESSAGE) == 3).await.all();
    let events = events.iter().filter(|event| event.message == MESSAGE);
    let fixes: Vec<_> = events.map(|event| event.fields["fix"].clone()).collect();
    let [same_site, other_site, app] = &fixes[..] else { panic!("{fixes:?}") };
    assert!(same_site.contains(r#"`.trusted_origin(\"https://sub.app.example\")`"#), "{same_site}");
    assert!(other_site.contains("by names of one site, or use bearer tokens"), "{other_site}");
    assert!(app.contains(r#"`.trusted_origin(\"tauri://localhost\")`"#), "{app}");
}
