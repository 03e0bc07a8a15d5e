//! Users who are logged in by `axum-login` when the shop moves.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::header::{HOST, SET_COOKIE};
use axum::http::{Request, StatusCode};
use tower_jwt_session::testing;

use crate::support::{ADA, Client, DAY, Shops, assert_shows, location};

/// A browser that was logged in before, with a cart, and its cookie.
async fn logged_in(before: &Router) -> (Client, String) {
    let mut browser = Client::new(before.clone());
    browser.post_form("/cart", &[("item", "crab")]).await;
    browser.post_form("/login", &ADA).await;
    let cookie = format!("id={}", browser.cookie("id").expect("a session"));
    (browser, cookie)
}

/// The same browser, whose next request is answered by this version.
async fn at(app: &Router, cookie: &str, path: &str) -> (Client, StatusCode) {
    let mut browser = testing::Client::new(app.clone());
    let request = Request::get(path).header("cookie", cookie).header("accept", "text/html");
    let status = browser.send(request.body("").unwrap()).await.status();
    (browser, status)
}

async fn answers(app: &Router, cookie: &str) -> StatusCode {
    at(app, cookie, "/account").await.1
}

const AGAIN: StatusCode = StatusCode::TEMPORARY_REDIRECT;
const LOGIN_PAGE: StatusCode = StatusCode::SEE_OTHER;
const OK: StatusCode = StatusCode::OK;

#[tokio::test]
async fn first_request_becomes_a_login_that_keeps_the_cart() {
    let shops = Shops::open().await;
    let (_, cookie) = logged_in(&shops.before).await;
    let (browser, status) = at(&shops.moving, &cookie, "/account").await;
    assert_eq!(status, AGAIN);
    let token = browser.cookie("__Host-shop").expect("a login");
    let both = format!("{cookie}; __Host-shop={token}");
    assert_eq!(answers(&shops.moving, &both).await, OK);
    // The replicas that have not moved yet still know the user; those of the end state know the login.
    assert_eq!(answers(&shops.before, &both).await, OK);
    assert_eq!(answers(&shops.after, &both).await, OK);
    assert_eq!(answers(&shops.after, &cookie).await, LOGIN_PAGE, "it needs the version between");
}

#[tokio::test]
async fn several_tabs_at_once_become_logins() {
    let shops = Shops::open().await;
    let (_, cookie) = logged_in(&shops.before).await;
    assert_eq!(answers(&shops.moving, &cookie).await, AGAIN);
    assert_eq!(answers(&shops.moving, &cookie).await, AGAIN);
}

/// 31 seconds after the first request with the new cookie, if there was one.
async fn half_a_minute_passes(shops: &Shops, browser: &Client) {
    let id = browser.cookie("id").unwrap().parse().unwrap();
    let session = tower_sessions::Session::new(Some(id), Arc::new(shops.carts.clone()), None);
    if let Some(adopted) = session.get::<i64>("adopted").await.unwrap() {
        session.insert("adopted", adopted - 31).await.unwrap();
        session.save().await.unwrap();
    }
}

#[tokio::test]
async fn old_session_becomes_a_login_only_once() {
    let shops = Shops::open().await;
    let (browser, cookie) = logged_in(&shops.before).await;
    let (adopted, status) = at(&shops.moving, &cookie, "/account").await;
    assert_eq!(status, AGAIN);
    let both = format!("{cookie}; __Host-shop={}", adopted.cookie("__Host-shop").expect("a login"));
    assert_eq!(answers(&shops.moving, &both).await, OK);
    assert_eq!(answers(&shops.moving, &cookie).await, AGAIN, "a request of the same time");
    half_a_minute_passes(&shops, &browser).await;
    assert_eq!(answers(&shops.moving, &cookie).await, LOGIN_PAGE);
    assert_eq!(answers(&shops.moving, &both).await, OK);
}

#[tokio::test]
async fn login_that_fails_is_tried_again_later() {
    let shops = Shops::open().await;
    let (browser, cookie) = logged_in(&shops.before).await;
    shops.clock.advance(15 * DAY);
    assert_eq!(answers(&shops.moving, &cookie).await, StatusCode::SERVICE_UNAVAILABLE);
    half_a_minute_passes(&shops, &browser).await;
    testing::refresh(&shops.shop.sessions).await;
    assert_eq!(answers(&shops.moving, &cookie).await, AGAIN);
}

#[tokio::test]
async fn client_that_drops_the_new_cookie_is_redirected_once() {
    let shops = Shops::open().await;
    let (_, cookie) = logged_in(&shops.before).await;
    for (path, again) in
        [("/account", "/account?repeated=1"), ("/account?x=1", "/account?x=1&repeated=1")]
    {
        let request = Request::get(path).header("cookie", &cookie).body("").unwrap();
        let answer = Client::new(shops.moving.clone()).send(request).await;
        assert_eq!((answer.status(), location(&answer)), (AGAIN, again));
        assert_eq!(at(&shops.moving, &cookie, again).await.1, LOGIN_PAGE);
    }
}

#[tokio::test]
async fn id_of_another_type_is_logged() {
    let shops = Shops::open().await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let session = tower_sessions::Session::new(None, Arc::new(shops.carts.clone()), None);
    let data = serde_json::json!({ "user_id": 17, "auth_hash": b"ada's password" });
    session.insert("axum-login.data", data).await.unwrap();
    session.save().await.unwrap();
    let _guard = tracing::subscriber::set_default(subscriber);
    let cookie = format!("id={}", session.id().unwrap());
    assert_eq!(answers(&shops.moving, &cookie).await, LOGIN_PAGE);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("cannot read the session of axum-login"), "{log}");
    assert!(log.contains("invalid type: integer `17`, expected a string"), "{log}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn form_is_sent_again_with_its_body() {
    let shops = Shops::open().await;
    let (_, cookie) = logged_in(&shops.before).await;
    let request = Request::post("/password?x=1").header("cookie", &cookie);
    let mut browser = Client::new(shops.moving);
    let answer = browser.send(request.body("password=new").unwrap()).await;
    assert_eq!((answer.status(), location(&answer)), (AGAIN, "/password?x=1&repeated=1"));
}

#[tokio::test]
async fn path_of_another_site_is_no_place_to_go() {
    let shops = Shops::open().await;
    let (_, cookie) = logged_in(&shops.before).await;
    let request = Request::get("//evil.example/").header("cookie", &cookie);
    let request = request.header(HOST, "app.example").body("").unwrap();
    let answer = Client::new(shops.moving).send(request).await;
    assert_eq!((answer.status(), location(&answer)), (AGAIN, "/"));
}

#[tokio::test]
async fn logout_after_the_move_ends_the_old_session_too() {
    let shops = Shops::open().await;
    let (_, cookie) = logged_in(&shops.before).await;
    let (mut browser, _) = at(&shops.moving, &cookie, "/").await;
    let token = browser.cookie("__Host-shop").expect("a login");
    let both = format!("{cookie}; __Host-shop={token}");
    let request = Request::post("/logout").header("cookie", &both);
    assert!(browser.send(request.body("").unwrap()).await.headers().contains_key(SET_COOKIE));
    assert_eq!(answers(&shops.moving, &both).await, LOGIN_PAGE);
    assert_ne!(answers(&shops.before, &cookie).await, OK);
}

#[tokio::test]
async fn changed_password_ends_sessions_of_before() {
    let shops = Shops::open().await;
    let (_, cookie) = logged_in(&shops.before).await;
    shops.shop.users.set_password("17", "new").await.unwrap();
    assert_eq!(answers(&shops.moving, &cookie).await, LOGIN_PAGE);
}

#[tokio::test]
async fn logout_at_a_replica_of_before_ends_no_new_login() {
    let shops = Shops::open().await;
    let (_, cookie) = logged_in(&shops.before).await;
    let (browser, _) = at(&shops.moving, &cookie, "/").await;
    let token = browser.cookie("__Host-shop").expect("a login");
    let request = Request::post("/logout").header("cookie", &cookie);
    let answer = Client::new(shops.before.clone()).send(request.body("").unwrap()).await;
    assert_eq!(location(&answer), "/login");
    assert_ne!(answers(&shops.before, &cookie).await, OK);
    assert_eq!(answers(&shops.moving, &format!("__Host-shop={token}")).await, OK);
}

/// Until the deployment is complete, a balancer has to send requests with the new cookie to the new version.
#[tokio::test]
async fn replicas_of_before_know_no_login_of_the_new_ones() {
    let shops = Shops::open().await;
    let mut browser = Client::new(shops.moving.clone());
    browser.post_form("/login", &ADA).await;
    let cookie = format!("id={}", browser.cookie("id").expect("messages"));
    assert_ne!(answers(&shops.before, &cookie).await, OK);
    assert_shows(&mut browser, "/account", &["Account of ada"]).await;
}
