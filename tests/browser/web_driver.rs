//! A browser that a WebDriver server drives (W3C WebDriver): the few commands that the tests need.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A browser with an empty profile. Dropped, it and its driver end.
pub(crate) struct Browser {
    driver: Program,
    session: String,
    _profile: tempfile::TempDir,
}

/// A process that says in a line of its output at which port it listens.
pub(crate) struct Program {
    child: Child,
    pub(crate) port: u16,
}

impl Program {
    /// `before` is what stands before the port.
    pub(crate) fn start(command: &mut Command, before: &str) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut port = None;
        while port.is_none() {
            let mut line = String::new();
            let length = output.read_line(&mut line).expect("text");
            assert_ne!(length, 0, "{command:?} ended, or named no port");
            port = line.split_once(before).and_then(|(_, rest)| {
                let digits = rest.split(|next: char| !next.is_ascii_digit()).next()?;
                digits.parse().ok()
            });
        }
        // It must not block on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { child, port: port.expect("a port") }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Browser {
    /// Starts Chromium, or says what is missing.
    pub(crate) fn start() -> Result<Self, String> {
        for program in ["chromium", "chromedriver"] {
            if Command::new(program).arg("--version").output().is_err() {
                return Err(format!(
                    "no `{program}`: install Debian's chromium and chromium-driver"
                ));
            }
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
            &profile,
        ];
        let options = json!({"browserName": "chrome", "goog:chromeOptions": {"args": arguments}});
        let session = browser.send("POST", "", &json!({"capabilities": {"alwaysMatch": options}}));
        browser.session = format!("/{}", session["sessionId"].as_str().expect("an ID"));
        Ok(browser)
    }

    /// Goes to a page, and waits until it is there.
    pub(crate) fn open(&self, url: &str) {
        self.send("POST", "/url", &json!({"url": url}));
    }

    pub(crate) fn url(&self) -> String {
        self.send("GET", "/url", &Value::Null).as_str().expect("a URL").to_owned()
    }

    /// The text that the page shows.
    pub(crate) fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().expect("text").to_owned()
    }

    /// Runs a script's body in the page, and waits for its promise.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.send("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.send("POST", &format!("{element}/value"), &json!({"text": text}));
    }

    /// Clicks, and waits for the page with this URL that follows.
    pub(crate) fn click_to(&self, selector: &str, url: &str) {
        let element = self.element(selector);
        self.send("POST", &format!("{element}/click"), &json!({}));
        self.wait_for(url);
    }

    pub(crate) fn wait_for(&self, url: &str) {
        let began = Instant::now();
        while self.url() != url {
            assert!(began.elapsed() < Duration::from_secs(10), "at {}, not {url}", self.url());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All cookies for the page.
    pub(crate) fn cookies(&self) -> Vec<Value> {
        self.send("GET", "/cookie", &Value::Null).as_array().expect("a list").clone()
    }

    fn element(&self, selector: &str) -> String {
        let found = json!({"using": "css selector", "value": selector});
        let found = self.send("POST", "/element", &found);
        let id = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
        format!("/element/{}", id.expect("an element"))
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.request(method, path, &body).expect("the driver answers");
        assert!(answer["value"]["error"].is_null(), "{method} {path}: {answer}");
        answer["value"].clone()
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

/// The browser ends before its driver does.
impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            self.request("DELETE", "", "").ok();
        }
    }
}
