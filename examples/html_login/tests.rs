//! The example as browsers use it.

use axum::http::StatusCode;
use tower_jwt_session::testing::{self, Client, ManualClock};

use super::*;

/// Two replicas on one store and one clock.
async fn replicas(clock: &ManualClock) -> [Sessions<User>; 2] {
    let store = MemoryStore::new();
    let open = async || sessions(store.clone(), CookieTransport::new(), clock.clone()).await;
    [open().await.expect("a replica"), open().await.expect("a replica")]
}

/// A browser of the site.
async fn browser() -> Client<Router> {
    let [one, _] = replicas(&ManualClock::default()).await;
    Client::new(app(one))
}

/// The page that the browser shows after the login.
async fn log_in(browser: &mut Client<Router>, fields: &[(&str, &str)]) -> String {
    let fields = [fields, &[("next", "/account")]].concat();
    text(&browser.submit("/login", &fields).await)
}

async fn account(browser: &mut Client<Router>) -> String {
    text(&browser.visit("/account").await)
}

fn text(page: &axum::http::Response<axum::body::Bytes>) -> String {
    assert_eq!(page.status(), StatusCode::OK);
    String::from_utf8(page.body().to_vec()).expect("text")
}

#[tokio::test]
async fn login_returns_to_the_page_that_was_asked_for() {
    let mut browser = browser().await;
    let form = text(&browser.visit("/account?tab=orders").await);
    assert!(form.contains(r#"name=next value="/account?tab=orders""#), "{form}");
    let fields = [("name", "Alice"), ("next", "/account?tab=orders")];
    assert!(text(&browser.submit("/login", &fields).await).contains("Account of Alice"));
    let home = text(&browser.submit("/login", &[("name", "Alice")]).await);
    assert!(home.contains("Your account"), "a form without `next`: {home}");
}

#[tokio::test]
async fn session_outlives_the_browser_only_if_the_user_asks_for_it() {
    for (remember, page) in [(None, "Remember me"), (Some(("remember", "on")), "Account of Bob")] {
        let clock = ManualClock::default();
        let [one, _] = replicas(&clock).await;
        let mut browser = Client::new(app(one.clone())).clock(&clock);
        let fields: Vec<_> = [("name", "Bob")].into_iter().chain(remember).collect();
        assert!(log_in(&mut browser, &fields).await.contains("Account of Bob"));
        browser.restart_browser();
        assert!(account(&mut browser).await.contains(page));
        testing::pass(&clock, MONTH / 2, &[&one]).await;
        assert!(account(&mut browser).await.contains(page));
        testing::pass(&clock, MONTH / 2, &[&one]).await;
        assert!(account(&mut browser).await.contains("Remember me"));
    }
}

#[tokio::test]
async fn role_changes_in_every_session_of_the_user() {
    let mut here = browser().await;
    log_in(&mut here, &[("name", "Carol")]).await;
    let mut elsewhere = here.clone();
    elsewhere.forget();
    log_in(&mut elsewhere, &[("name", "Carol")]).await;
    assert!(text(&here.submit("/edit", &[]).await).contains("You are an editor"));
    // This request has the old role, and its response a token with the new one.
    account(&mut elsewhere).await;
    assert!(account(&mut elsewhere).await.contains("You are an editor"));
}

#[tokio::test]
async fn logout_elsewhere_holds_on_every_replica() {
    let [one, other] = replicas(&ManualClock::default()).await;
    let [mut here, mut elsewhere] = [&one, &other].map(|it| Client::new(app(it.clone())));
    for browser in [&mut here, &mut elsewhere] {
        log_in(browser, &[("name", "Dave")]).await;
    }
    assert!(text(&here.submit("/others", &[]).await).contains("Account of Dave"));
    testing::refresh(&other).await;
    assert!(account(&mut elsewhere).await.contains("Remember me"));
    assert!(account(&mut here).await.contains("Account of Dave"));
}
