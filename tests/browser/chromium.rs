//! Chromium, driven by its WebDriver server over HTTP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::Program;
use crate::web_driver::Driver;

/// Dropped, the browser and its driver end.
pub(crate) struct Chromium {
    driver: Program,
    session: String,
    _profile: TempDir,
}

impl Chromium {
    /// Starts Chromium with an empty profile, or says what is missing.
    pub(crate) fn start() -> Result<Self, String> {
        for program in ["chromium", "chromedriver"] {
            Program::require(program, "chromium and chromium-driver")?;
        }
        let driver =
            Program::start(Command::new("chromedriver").arg("--port=0"), "successfully on port ");
        let profile = tempfile::tempdir().expect("a directory");
        let mut browser = Self { driver, session: String::new(), _profile: profile };
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // Letters that are all alike make small pictures.
            "--disable-font-subpixel-positioning",
            &profile,
        ];
        let options = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let session = json!({"capabilities": {"alwaysMatch": options}});
        let session = browser.send(("NewSession", "POST", ""), session);
        browser.session = format!("/{}", session["sessionId"].as_str().expect("an ID"));
        Ok(browser)
    }

    fn request(&self, method: &str, path: &str, body: &str) -> io::Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.driver.port))?;
        let (session, length) = (&self.session, body.len());
        write!(
            stream,
            "{method} /session{session}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().map_err(io::Error::other)?;
                }
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    }
}

impl Driver for Chromium {
    fn send(&mut self, (_, method, path): (&str, &str, &str), parameters: Value) -> Value {
        let body = if method == "GET" { String::new() } else { parameters.to_string() };
        let mut answer = self.request(method, path, &body).expect("the driver answers");
        assert!(answer["value"]["error"].is_null(), "{method} {path}: {answer}");
        answer["value"].take()
    }
}

/// The browser ends before its driver does.
impl Drop for Chromium {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            self.request("DELETE", "", "").ok();
        }
    }
}
