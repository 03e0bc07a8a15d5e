//! What visitors of the shop see, in each version.

use axum::http::StatusCode;

use crate::support::{ADA, BOB, Client, Shops, assert_shows, location};

const OK: StatusCode = StatusCode::OK;
const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;

#[tokio::test]
async fn visitor_fills_a_cart_and_reads_messages_once() {
    for (_, mut browser) in Shops::open().await.visitors() {
        assert_shows(&mut browser, "/", &["Hello visitor", "Cart: nothing"]).await;
        assert_eq!(location(&browser.post_form("/cart", &[("item", "crab")]).await), "/");
        assert_shows(&mut browser, "/", &["Added crab", "Cart: crab"]).await;
        assert!(!super::support::text(&browser.visit("/").await).contains("Added"));
    }
}

#[tokio::test]
async fn login_leads_back_and_keeps_the_cart() {
    for (version, mut browser) in Shops::open().await.visitors() {
        browser.post_form("/cart", &[("item", "crab")]).await;
        let anonymous = browser.cookie("id").expect("a cart").to_owned();
        let next = "/account?gift=1&wrap=2";
        assert_shows(&mut browser, next, &["Log in", "/account?gift=1&amp;wrap=2"]).await;
        let wrong = [ADA[0], ("password", "wrong"), ("next", next)];
        let answer = browser.post_form("/login", &wrong).await;
        assert_eq!(location(&answer), "/login?next=%2Faccount%3Fgift%3D1%26wrap%3D2", "{version}");
        assert_shows(&mut browser, location(&answer), &["Invalid credentials"]).await;
        let answer = browser.post_form("/login", &[ADA[0], ADA[1], ("next", next)]).await;
        assert_eq!(location(&answer), next, "{version}");
        assert_shows(&mut browser, next, &["Welcome, ada", "Account of ada, who buys crab"]).await;
        assert_ne!(browser.cookie("id"), Some(&*anonymous), "{version}: session fixation");
    }
}

#[tokio::test]
async fn logout_ends_the_login_its_copies_and_the_cart() {
    for (_, mut browser) in Shops::open().await.visitors() {
        browser.post_form("/login", &ADA).await;
        browser.post_form("/cart", &[("item", "crab")]).await;
        let mut copy = browser.clone();
        assert_eq!(location(&browser.post("/logout").await), "/login");
        assert_shows(&mut browser, "/login", &["You have logged out"]).await;
        assert_shows(&mut browser, "/", &["Hello visitor", "Cart: nothing"]).await;
        assert_shows(&mut copy, "/account", &["Log in"]).await;
    }
}

#[tokio::test]
async fn role_counts_from_the_next_request() {
    for version in ["before", "moving", "after"] {
        let [mut ada, mut bob] = two(version, &ADA, &BOB).await;
        assert_eq!(bob.visit("/staff").await.status(), FORBIDDEN, "{version}");
        assert_eq!(ada.visit("/staff").await.status(), OK, "{version}");
        ada.post_form("/staff", &[("name", "bob")]).await;
        assert_shows(&mut ada, "/staff", &["bob is staff now"]).await;
        assert_eq!(bob.visit("/staff").await.status(), OK, "{version}");
    }
}

#[tokio::test]
async fn new_password_ends_the_other_sessions() {
    for version in ["before", "moving", "after"] {
        let [mut here, mut elsewhere] = two(version, &ADA, &ADA).await;
        let answer = here.post_form("/password", &[("password", "new")]).await;
        assert_eq!(location(&answer), "/account", "{version}");
        assert_shows(&mut here, "/account", &["Your password was changed", "of ada"]).await;
        assert_shows(&mut elsewhere, "/account", &["Log in"]).await;
    }
}

/// Two browsers of one shop that have logged in.
async fn two(version: &str, one: &[(&str, &str)], other: &[(&str, &str)]) -> [Client; 2] {
    let visitors = Shops::open().await.visitors();
    let (_, browser) = visitors.into_iter().find(|(name, _)| *name == version).unwrap();
    let mut browsers = [browser.clone(), browser];
    browsers[0].post_form("/login", one).await;
    browsers[1].post_form("/login", other).await;
    browsers
}
