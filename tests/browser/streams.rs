//! The page of the example `streams` in Chromium: both streams end at the logout.
//!
//! Without a browser the test says so and passes, unless `REQUIRE_BROWSER` is set.

mod chromium;
mod program;
mod web_driver;

use std::process::Command;
use std::time::{Duration, Instant};

use crate::chromium::Chromium;
use crate::program::Program;
use crate::web_driver::Browser;

#[test]
fn streams_in_chromium_end_at_the_logout() {
    let mut browser = match Chromium::start() {
        Ok(browser) => Browser(Box::new(browser)),
        Err(missing) if std::env::var_os("REQUIRE_BROWSER").is_some() => panic!("{missing}"),
        Err(missing) => return println!("NOT CHECKED: streams in a browser: {missing}"),
    };
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    command.args(["run", "--quiet", "--example", "streams", "--", "127.0.0.1:0"]);
    let site = Program::start(&mut command, "http://localhost:");
    browser.open(&format!("http://localhost:{}/", site.port));

    browser.run("document.getElementById('login').click()");
    shows(&mut browser, "Server-sent events open");
    shows(&mut browser, "WebSocket open");
    shows(&mut browser, "tick 0");
    browser.run("document.forms[0].requestSubmit()");
    shows(&mut browser, "echo: hello");

    browser.run("document.getElementById('logout').click()");
    shows(&mut browser, "POST /logout: 204");
    shows(&mut browser, "Server-sent events ended by the server");
    shows(&mut browser, "WebSocket closed by the server: 1008 session revoked");
}

/// Waits until the page shows a text, whatever is between its words.
fn shows(browser: &mut Browser, expected: &str) {
    let began = Instant::now();
    loop {
        let text = browser.run("return document.body.innerText");
        let text = text.as_str().expect("text").split_whitespace().collect::<Vec<_>>().join(" ");
        if text.contains(expected) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "no `{expected}` in: {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
