//! A browser that a test drives (W3C WebDriver): the few commands that the tests need.

use serde_json::{Value, json};

/// The way to a browser.
pub(crate) trait Driver {
    /// Sends a command: its name, and its method and path over HTTP.
    fn send(&mut self, command: (&str, &str, &str), parameters: Value) -> Value;
}

/// A browser with an empty profile.
pub(crate) struct Browser(pub(crate) Box<dyn Driver>);

impl Browser {
    /// Goes to a page, and waits until it is there.
    pub(crate) fn open(&mut self, url: &str) {
        self.0.send(("Navigate", "POST", "/url"), json!({"url": url}));
    }

    /// Runs a script's body in the page, and waits for its promise.
    pub(crate) fn run(&mut self, script: &str) -> Value {
        let script = json!({"script": script, "args": []});
        self.0.send(("ExecuteScript", "POST", "/execute/sync"), script)
    }
}
