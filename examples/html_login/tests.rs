//! The example as browsers use it.

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, header};
use tower::ServiceExt as _;

use super::*;

/// A browser's request, with its cookie.
async fn send(app: &Router, method: &str, to: &str, cookie: &str, form: &str) -> Response<Body> {
    let request = Request::builder().method(method).uri(to).header(header::HOST, "localhost:3000");
    let request = request.header(header::ACCEPT, "text/html").header(header::COOKIE, cookie);
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let request = request.body(Body::from(form.to_owned())).expect("a request");
    app.clone().oneshot(request).await.expect("an answer")
}

async fn log_in(app: &Router, form: &str) -> String {
    set_cookie(&send(app, "POST", "/login", "", &format!("{form}&next=%2Faccount")).await)
}

fn set_cookie(answer: &Response<Body>) -> String {
    answer.headers()["set-cookie"].to_str().expect("a cookie").to_owned()
}

async fn account(app: &Router, cookie: &str) -> String {
    let answer = send(app, "GET", "/account", cookie, "").await;
    let page = to_bytes(answer.into_body(), 10_000).await.expect("a page");
    String::from_utf8(page.to_vec()).expect("text")
}

#[tokio::test]
async fn login_returns_to_the_page_that_was_asked_for() {
    let app = app().await.expect("the site");
    let answer = send(&app, "GET", "/account?tab=orders", "", "").await;
    assert_eq!(answer.headers()["location"], "/login?next=%2Faccount%3Ftab%3Dorders");
    let form = "name=Alice&next=%2Faccount%3Ftab%3Dorders";
    let answer = send(&app, "POST", "/login", "", form).await;
    assert_eq!(answer.headers()["location"], "/account?tab=orders");
    assert!(account(&app, &set_cookie(&answer)).await.contains("Account of Alice"));
}

#[tokio::test]
async fn cookie_outlives_the_browser_only_if_the_user_asks_for_it() {
    let app = app().await.expect("the site");
    assert!(!log_in(&app, "name=Bob").await.contains("Max-Age"));
    assert!(log_in(&app, "name=Bob&remember=on").await.contains("Max-Age=2592000"));
}

#[tokio::test]
async fn role_changes_in_every_session_of_the_user() {
    let app = app().await.expect("the site");
    let [here, elsewhere] = [log_in(&app, "name=Carol").await, log_in(&app, "name=Carol").await];
    let here = set_cookie(&send(&app, "POST", "/edit", &here, "").await);
    assert!(account(&app, &here).await.contains("You are an editor"));
    // That request has the old role, and its response a token with the new one.
    let elsewhere = set_cookie(&send(&app, "GET", "/account", &elsewhere, "").await);
    assert!(account(&app, &elsewhere).await.contains("You are an editor"));
}

#[tokio::test]
async fn logout_elsewhere_keeps_this_browser_logged_in() {
    let app = app().await.expect("the site");
    let [here, elsewhere] = [log_in(&app, "name=Dave").await, log_in(&app, "name=Dave").await];
    let here = set_cookie(&send(&app, "POST", "/others", &here, "").await);
    assert!(account(&app, &here).await.contains("Account of Dave"));
    assert!(!account(&app, &elsewhere).await.contains("Account of Dave"));
}
