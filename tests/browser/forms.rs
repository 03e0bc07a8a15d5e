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

    /// Clicks, and waits until the page is left: for an answer that the browser may show as an error page.
    pub(crate) fn click_away(&mut self, selector: &str) {
        let before = self.url();
        self.run(&format!("setTimeout(() => document.querySelector('{selector}').click())"));
        self.wait_until(|url| url != before, "still");
    }

    fn wait_for(&mut self, url: &str) {
        self.wait_until(|at| at == url, url);
    }

    fn wait_until(&mut self, is_there: impl Fn(&str) -> bool, expected: &str) {
        let began = Instant::now();
        loop {
            let url = self.url();
            if is_there(&url) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "at {url}, expected {expected}");
            std::thread::sleep(Duration::from_millis(20));
        }
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
