//! Two replicas over one Redis, which is killed and comes back.

use std::time::{Duration, Instant};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderValue, Request, StatusCode, header},
};
use serde_json::Value;
use tower::ServiceExt;

use crate::{
    arms::database::app::over,
    arms::database::store::RedisSessions,
    store::server::{Programs, Server, ServerKind},
};

const LIFETIME: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(1);

/// Two applications over one Redis; none if that is not installed.
async fn replicas() -> Option<(Server, Router, Router)> {
    if let Err(missing) = Programs::find(ServerKind::Redis) {
        let required = std::env::var_os("REQUIRE_SERVERS").is_some_and(|value| value == "1");
        assert!(!required, "{missing}");
        println!("NOT CHECKED: the arm database: {missing}");
        return None;
    }
    let server = Server::start(ServerKind::Redis, "password").await.expect("Redis");
    let open = |name| {
        let store = RedisSessions::open(&server.url(), "ring", TIMEOUT).expect("a URL");
        over(store, name, LIFETIME).expect("an application")
    };
    let (one, two) = (open("replica-1"), open("replica-2"));
    Some((server, one, two))
}

struct Answer {
    status: StatusCode,
    cookies: Vec<String>,
    json: Value,
}

async fn ask(app: &Router, method: &str, path: &str, session: Option<(&str, &str)>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some((name, value)) = session {
        request = request.header(name, value);
    }
    let body = match path.starts_with("/login") {
        true => Body::from(r#"{"username":"bob","password":"builder"}"#),
        false => Body::empty(),
    };
    let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
    let start = Instant::now();
    let response = app.clone().oneshot(request.expect("a request")).await.expect("an answer");
    assert!(start.elapsed() < 2 * TIMEOUT, "{method} {path} took {:?}", start.elapsed());
    let status = response.status();
    let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
    let cookies = response.headers().get_all(header::SET_COOKIE).iter().map(text).collect();
    let body = to_bytes(response.into_body(), 9999).await.expect("a body");
    Answer { status, cookies, json: serde_json::from_slice(&body).unwrap_or_default() }
}

/// Logs in, and returns the cookie.
async fn log_in(app: &Router) -> String {
    let login = ask(app, "POST", "/login", None).await;
    assert_eq!(login.status, StatusCode::NO_CONTENT);
    let [cookie] = &login.cookies[..] else { panic!("{:?}", login.cookies) };
    for attribute in ["__Host-session=", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().expect("a pair").to_owned()
}

async fn status(app: &Router, name: &str, value: &str) -> u16 {
    ask(app, "GET", "/me", Some((name, value))).await.status.as_u16()
}

async fn round_trips(app: &Router) -> u64 {
    let figures = ask(app, "GET", "/figures", None).await.json;
    figures["store_round_trips"].as_u64().expect("they are counted")
}

#[tokio::test]
async fn a_session_is_everywhere_until_its_logout() {
    let Some((_server, one, two)) = replicas().await else { return };
    let cookie = log_in(&one).await;
    let before = round_trips(&two).await;
    let me = ask(&two, "GET", "/me", Some(("cookie", &cookie))).await;
    assert_eq!((me.status, &me.json["subject"]), (StatusCode::OK, &"bob".into()));
    assert_eq!(round_trips(&two).await, before + 1, "one round trip for each request");

    let logout = ask(&two, "POST", "/logout", Some(("cookie", &cookie))).await;
    assert_eq!(logout.status, StatusCode::NO_CONTENT);
    let cleared = |it: &String| it.contains("Max-Age=0") && it.contains("Secure");
    assert!(logout.cookies.iter().any(cleared), "{:?}", logout.cookies);
    assert_eq!(status(&one, "cookie", &cookie).await, 401);

    let login = ask(&one, "POST", "/login?transport=bearer", None).await;
    assert!(login.cookies.is_empty());
    let token = format!("Bearer {}", login.json["access_token"].as_str().expect("a token"));
    assert_eq!(status(&two, "authorization", &token).await, 200);
    assert_eq!(status(&two, "authorization", "Bearer nonsense").await, 401);
    let logout = ask(&two, "POST", "/logout", Some(("authorization", &token))).await;
    assert_eq!(logout.status, StatusCode::NO_CONTENT);
    assert_eq!(status(&one, "authorization", &token).await, 401);
}

#[tokio::test]
async fn a_login_changes_the_identifier_and_all_end_together() {
    let Some((_server, one, two)) = replicas().await else { return };
    let old = log_in(&one).await;
    let again = ask(&two, "POST", "/login", Some(("cookie", &old))).await;
    let new = again.cookies[0].split(';').next().expect("a pair").to_owned();
    assert_eq!(status(&one, "cookie", &old).await, 401);
    let other = log_in(&one).await;
    for cookie in [&new, &other] {
        assert_eq!(status(&two, "cookie", cookie).await, 200);
    }
    let logout = ask(&two, "POST", "/logout-everywhere", Some(("cookie", &new))).await;
    assert_eq!(logout.status, StatusCode::NO_CONTENT);
    for cookie in [&new, &other] {
        assert_eq!(status(&one, "cookie", cookie).await, 401);
    }
}

#[tokio::test]
async fn without_redis_nobody_is_in_and_nothing_hangs() {
    let Some((mut server, one, _)) = replicas().await else { return };
    let cookie = log_in(&one).await;
    server.kill();
    for _ in 0..3 {
        assert_eq!(status(&one, "cookie", &cookie).await, 503);
        assert_eq!(ask(&one, "POST", "/login", None).await.status.as_u16(), 500);
        let logout = ask(&one, "POST", "/logout", Some(("cookie", &cookie))).await;
        assert_eq!((logout.status.as_u16(), logout.cookies.len()), (503, 0));
    }
    let ready = ask(&one, "GET", "/health/ready", None).await;
    assert_eq!(ready.status, StatusCode::OK, "every replica would be taken out");
    server.restart().await.expect("it starts again");
    assert_eq!(status(&one, "cookie", &cookie).await, 200, "Redis has kept it");
}
