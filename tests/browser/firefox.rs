//! Firefox, driven by its own protocol Marionette, which has the commands of WebDriver.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::Program;
use crate::web_driver::Driver;

/// Dropped, the browser ends.
pub(crate) struct Firefox {
    browser: Child,
    stream: BufReader<TcpStream>,
    _profile: tempfile::TempDir,
}

/// Answers that are JSON are shown as text.
const SETTINGS: &str = r#"user_pref("marionette.port", 0);
user_pref("devtools.jsonview.enabled", false);
"#;

impl Firefox {
    /// Starts Firefox with an empty profile, or says what is missing.
    pub(crate) fn start() -> Result<Self, String> {
        Program::require("firefox-esr", "firefox-esr")?;
        let profile = tempfile::tempdir().expect("a directory");
        fs::write(profile.path().join("user.js"), SETTINGS).expect("a file");
        let mut command = Command::new("firefox-esr");
        command.args(["--headless", "--marionette", "--no-remote", "--profile"]);
        command.arg(profile.path()).env("HOME", profile.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let browser = command.spawn().expect("it starts");
        let (port, began) = (profile.path().join("MarionetteActivePort"), Instant::now());
        let port = loop {
            let found = fs::read_to_string(&port).ok().and_then(|port| port.trim().parse().ok());
            match found {
                Some(port) => break port,
                None if began.elapsed() > Duration::from_secs(60) => panic!("Firefox has no port"),
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let stream = TcpStream::connect::<(_, u16)>(("127.0.0.1", port)).expect("a connection");
        let mut browser = Self { browser, stream: BufReader::new(stream), _profile: profile };
        browser.read().expect("a greeting");
        browser.send(("NewSession", "", ""), json!({}));
        Ok(browser)
    }

    /// A message is its length in bytes, a colon, and JSON.
    fn read(&mut self) -> io::Result<Value> {
        let mut length = Vec::new();
        self.stream.read_until(b':', &mut length)?;
        let length = str::from_utf8(&length).map_err(io::Error::other)?;
        let length = length.trim_end_matches(':').parse().map_err(io::Error::other)?;
        let mut message = vec![0; length];
        self.stream.read_exact(&mut message)?;
        Ok(serde_json::from_slice(&message)?)
    }
}

impl Driver for Firefox {
    fn send(&mut self, (name, ..): (&str, &str, &str), parameters: Value) -> Value {
        let message = json!([0, 1, format!("WebDriver:{name}"), parameters]).to_string();
        write!(self.stream.get_mut(), "{}:{message}", message.len()).expect("the browser reads");
        let mut answer = self.read().expect("the browser answers");
        assert!(answer[2].is_null(), "{name}: {answer}");
        match answer[3].get_mut("value") {
            Some(value) => value.take(),
            None => answer[3].take(),
        }
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        self.browser.kill().ok();
        self.browser.wait().ok();
    }
}
