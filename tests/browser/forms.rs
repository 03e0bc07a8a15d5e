//! Pages with forms, as a user has them: texts, fields, clicks and cookies.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::web_driver::Browser;

impl Browser {
    pub(crate) fn url(&mut self) -> String {
        let url = self.0.send(("GetCurrentURL", "GET", "/url"), json!({}));
        url.as_str().expect("a URL").to_owned()
    }

    /// The text that the page shows.
    pub(crate) fn text(&mut self) -> String {
        self.run("return document.body.innerText").as_str().expect("text").to_owned()
    }

    pub(crate) fn type_into(&mut self, selector: &str, text: &str) {
        let id = self.element(selector);
        let path = format!("/element/{id}/value");
        self.0.send(("ElementSendKeys", "POST", &path), json!({"id": id, "text": text}));
    }

    /// Clicks, and waits for the page with this URL that follows.
    pub(crate) fn click_to(&mut self, selector: &str, url: &str) {
        let id = self.element(selector);
        let path = format!("/element/{id}/click");
        self.0.send(("ElementClick", "POST", &path), json!({"id": id}));
        self.wait_for(url);
    }

    /// Clicks, and waits until the page is left, and the next one shows one of these texts or has it in
    /// its URL: for an answer that the browser may show as an error page.
    pub(crate) fn click_away(&mut self, selector: &str, expected: &[&str]) {
        let before = self.url();
        self.run(&format!("setTimeout(() => document.querySelector('{selector}').click())"));
        // A browser that takes another process for the next page begins there with an empty one.
        wait_while("the next page", || {
            Some(self.url()).filter(|url| *url == before || url == "about:blank")
        });
        wait_while(&expected.join(" or "), || {
            let page = self.run("return document.documentURI + document.body?.innerText");
            let page = page.as_str().expect("text").to_owned();
            Some(page).filter(|page| !expected.iter().any(|text| page.contains(text)))
        });
    }

    fn wait_for(&mut self, expected: &str) {
        wait_while(expected, || Some(self.url()).filter(|url| url != expected));
    }

    /// All cookies for the page.
    pub(crate) fn cookies(&mut self) -> Vec<Value> {
        let cookies = self.0.send(("GetCookies", "GET", "/cookie"), json!({}));
        cookies.as_array().expect("a list").clone()
    }

    fn element(&mut self, selector: &str) -> String {
        let found = json!({"using": "css selector", "value": selector});
        let found = self.0.send(("FindElement", "POST", "/element"), found);
        let id = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
        id.expect("an element").to_owned()
    }
}

/// Waits while something else than expected is found.
fn wait_while(expected: &str, mut found: impl FnMut() -> Option<String>) {
    let began = Instant::now();
    while let Some(other) = found() {
        assert!(began.elapsed() < Duration::from_secs(10), "expected {expected}, found {other}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
