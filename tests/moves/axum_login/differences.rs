//! What differs after the move: each row of the guide's table of differences.

use axum::http::header::SET_COOKIE;
use axum::http::{Request, StatusCode};

use tower_jwt_session::testing;

use crate::support::{ADA, Client, DAY, Shops, assert_shows, location};

#[tokio::test]
async fn next_leads_to_no_other_site_after_the_move() {
    let shops = Shops::open().await;
    for (app, expected) in [(shops.before, "https://evil.example"), (shops.after, "/")] {
        let form = [ADA[0], ADA[1], ("next", "https://evil.example")];
        assert_eq!(location(&Client::new(app).post_form("/login", &form).await), expected);
    }
}

#[tokio::test]
async fn scripts_get_a_401_in_place_of_the_login_page() {
    let shops = Shops::open().await;
    let statuses = [StatusCode::TEMPORARY_REDIRECT, StatusCode::UNAUTHORIZED];
    for (app, status) in [shops.before, shops.after].into_iter().zip(statuses) {
        let mut script = Client::new(app);
        assert_eq!(script.get("/account").await.status(), status);
        assert_eq!(script.post_form("/password", &[("password", "new")]).await.status(), status);
    }
}

#[tokio::test]
async fn another_site_logs_nobody_out_after_the_move() {
    let shops = Shops::open().await;
    let statuses = [StatusCode::SEE_OTHER, StatusCode::FORBIDDEN];
    for (app, status) in [shops.before, shops.after].into_iter().zip(statuses) {
        let mut browser = Client::new(app);
        browser.post_form("/login", &ADA).await;
        let request = Request::post("/logout").header("sec-fetch-site", "cross-site");
        assert_eq!(browser.send(request.body("").unwrap()).await.status(), status);
    }
}

#[tokio::test]
async fn reading_prolongs_a_login_after_the_move() {
    let shops = Shops::open().await;
    let mut browser = Client::new(shops.after).clock(&shops.clock);
    browser.post_form("/login", &ADA).await;
    for _ in 0..3 {
        browser.advance(DAY * 3 / 4);
        shops.revocations.refresh().await.unwrap();
        assert_shows(&mut browser, "/", &["Hello ada"]).await;
    }
    browser.advance(2 * DAY + DAY / 24);
    testing::refresh(&shops.shop.sessions).await;
    assert_shows(&mut browser, "/", &["Hello visitor"]).await;
    // Before, reading a page does not.
    let mut browser = Client::new(shops.before);
    browser.post_form("/login", &ADA).await;
    browser.visit("/").await;
    assert!(!browser.visit("/").await.headers().contains_key(SET_COOKIE));
}

/// `OnInactivity(d)` is `idle_lifetime(2 * d)`: a request in the first half renews nothing.
#[tokio::test]
async fn day_without_a_request_never_ends_a_login() {
    let shops = Shops::open().await;
    for hours in [0, 11, 23] {
        let mut browser = Client::new(shops.after.clone()).clock(&shops.clock);
        browser.post_form("/login", &ADA).await;
        for time in [hours * DAY / 24, DAY] {
            browser.advance(time);
            testing::refresh(&shops.shop.sessions).await;
            assert_shows(&mut browser, "/", &["Hello ada"]).await;
        }
    }
}

/// The cart has its new ID, and its cookie is on the answer.
#[tokio::test]
async fn login_that_fails_keeps_the_cart() {
    let shops = Shops::open().await;
    let mut browser = Client::new(shops.after).clock(&shops.clock);
    shops.clock.advance(15 * DAY);
    browser.post_form("/cart", &[("item", "crab")]).await;
    let status = browser.post_form("/login", &ADA).await.status();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_shows(&mut browser, "/", &["Hello visitor", "Cart: crab"]).await;
    testing::refresh(&shops.shop.sessions).await;
    browser.post_form("/login", &ADA).await;
    assert_shows(&mut browser, "/", &["Hello ada", "Cart: crab"]).await;
}

#[tokio::test]
async fn login_ends_with_the_browser_after_the_move() {
    let shops = Shops::open().await;
    for (app, greeting) in [(shops.before, "Hello ada"), (shops.after, "Hello visitor")] {
        let mut browser = Client::new(app);
        browser.post_form("/login", &ADA).await;
        browser.restart_browser();
        assert_shows(&mut browser, "/", &[greeting]).await;
    }
}
