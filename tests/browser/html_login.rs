//! The example `html_login` in Chromium and Firefox, over http on localhost: what a browser makes of the
//! cookie, of the redirects, and of other sites' pages.
//!
//! Without a browser the tests say so and pass, unless `REQUIRE_BROWSER` is set.

mod chromium;
mod firefox;
mod forms;
mod program;
mod web_driver;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::firefox::Firefox;
use crate::program::Program;
use crate::web_driver::Browser;

const COOKIE: &str = "site-development";

/// Each browser with a site of its own; without those that are missing, if none is required.
fn start() -> Vec<(Browser, Site)> {
    let browsers = [
        Chromium::start().map(|it| Browser(Box::new(it))),
        Firefox::start().map(|it| Browser(Box::new(it))),
    ];
    let required = std::env::var_os("REQUIRE_BROWSER").is_some();
    let started = browsers.into_iter().filter_map(|browser| match browser {
        Ok(browser) => Some((browser, Site::start())),
        Err(missing) if required => panic!("{missing}"),
        Err(missing) => {
            println!("NOT CHECKED: the example in a browser: {missing}");
            None
        }
    });
    started.collect()
}

struct Site(Program);

impl Site {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        command.args(["run", "--quiet", "--example", "html_login", "--", "127.0.0.1:0"]);
        Self(Program::start(&mut command, "http://localhost:"))
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.0.port)
    }
}

/// Logs in at the form that the browser shows.
fn log_in(browser: &mut Browser, then: &str) {
    browser.type_into("input[name=name]", "Alice <b>");
    browser.click_to("button", then);
}

fn names(browser: &mut Browser) -> Vec<Value> {
    browser.cookies().iter().map(|cookie| cookie["name"].clone()).collect()
}

#[test]
fn page_without_session_leads_to_the_login_and_back() {
    for (mut browser, site) in start() {
        browser.open(&site.url("/account?tab=orders&q=%26"));
        assert_eq!(browser.url(), site.url("/login?next=%2Faccount%3Ftab%3Dorders%26q%3D%2526"));
        log_in(&mut browser, &site.url("/account?tab=orders&q=%26"));
        assert!(browser.text().contains("Account of Alice <b>"), "{}", browser.text());

        // The browser took the cookie, over plain http.
        let cookies = browser.cookies();
        let [cookie] = &cookies[..] else { panic!("{cookies:?}") };
        let seen =
            ["name", "httpOnly", "secure", "sameSite", "path"].map(|name| cookie[name].clone());
        assert_eq!(seen, [json!(COOKIE), json!(true), json!(false), json!("Lax"), json!("/")]);
        assert_eq!(browser.run("return document.cookie"), json!(""));

        // What a script fetches is no navigation.
        browser.click_to("button", &site.url("/"));
        assert_eq!(names(&mut browser), [""; 0]);
        let status =
            "return fetch('/account').then(answer => answer.status + ' ' + answer.redirected)";
        assert_eq!(browser.run(status), json!("401 false"));
    }
}

#[test]
fn remembered_login_outlives_the_browser_and_gets_a_role_that_changed() {
    for (mut browser, site) in start() {
        let account = site.url("/account");
        browser.open(&site.url("/login?next=/account"));
        log_in(&mut browser, &account);
        assert!(browser.cookies()[0]["expiry"].is_null());
        browser.click_to("button", &site.url("/"));

        browser.open(&site.url("/login?next=/account"));
        browser.run("document.querySelector('input[name=remember]').click()");
        log_in(&mut browser, &account);
        let expiry = browser.cookies()[0]["expiry"].as_u64().expect("an expiry");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        let days = expiry.saturating_sub(now) / (24 * 3600);
        assert!((29..=30).contains(&days), "{days} days");

        assert!(!browser.text().contains("You are an editor."));
        browser.click_to("form[action='/edit'] button", &account);
        browser.open(&account);
        assert!(browser.text().contains("You are an editor."));
        assert_eq!(
            browser.cookies()[0]["expiry"].as_u64().map(|it| it.abs_diff(expiry) < 5),
            Some(true)
        );
    }
}

#[test]
fn next_of_another_site_leads_to_the_root() {
    for (mut browser, site) in start() {
        let other = OtherSite::start("");
        for next in [
            other.url("127.0.0.1"),
            format!("//127.0.0.1:{}/", other.0),
            format!("/\\127.0.0.1:{}/", other.0),
            format!("/%5C127.0.0.1:{}/", other.0),
            format!("/\t/127.0.0.1:{}/", other.0),
            format!("/.//127.0.0.1:{}/", other.0),
        ] {
            browser.open(&site.url("/login"));
            // As a link of an attacker has it.
            let encode = format!("return encodeURIComponent({})", json!(next));
            let next = browser.run(&encode);
            browser.open(&site.url(&format!("/login?next={}", next.as_str().expect("text"))));
            log_in(&mut browser, &site.url("/"));
        }
    }
}

#[test]
fn pages_of_other_sites_and_ports_cannot_act_for_the_user() {
    for (mut browser, site) in start() {
        let logout = site.url("/logout");
        let attack = OtherSite::start(&format!(
            "<form method=post action={logout}><button>You have won</button></form>"
        ));
        browser.open(&site.url("/login?next=/account"));
        log_in(&mut browser, &site.url("/account"));
        // Another port is the same site, which gets the cookie; 127.0.0.1 is another site.
        for host in ["localhost", "127.0.0.1"] {
            browser.open(&attack.url(host));
            // Firefox shows a page of its own for the error.
            let refused = [r#""status":403"#, "about:neterror?e=serverError"];
            browser.click_away("button", &refused);
            browser.open(&attack.url(host));
            let post = format!(
                "return fetch('{logout}', {{method: 'POST', mode: 'no-cors', credentials: 'include'}}).then(answer => answer.type)"
            );
            assert_eq!(browser.run(&post), json!("opaque"));
            // No page of another origin reads an answer.
            let read = format!(
                "return fetch('{}', {{credentials: 'include'}}).then(() => 'read', () => 'refused')",
                site.url("/account")
            );
            assert_eq!(browser.run(&read), json!("refused"));
            browser.open(&site.url("/account"));
            assert!(browser.text().contains("Account of Alice"), "{host}");
            assert_eq!(names(&mut browser), [COOKIE]);
        }
    }
}

/// A site with one page, at its port.
struct OtherSite(u16);

impl OtherSite {
    fn start(page: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let length = page.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let mut line = String::new();
                // The head of a request ends with an empty line.
                while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
                    line.clear();
                }
                reader.get_mut().write_all(answer.as_bytes()).ok();
            }
        });
        Self(port)
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.0)
    }
}
