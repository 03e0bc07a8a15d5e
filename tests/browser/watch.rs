//! The cluster's page to watch, in Chromium: the tour runs to its end, each button does what it says, and the
//! counters are the server's.
//!
//! Without a browser the test says so and passes, unless `REQUIRE_BROWSER` is set. With `WRITE_PICTURE` it writes
//! the README's picture anew.

mod chromium;
mod devtools;
mod program;
mod web_driver;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chromium::Chromium;
use crate::program::Program;
use crate::web_driver::Browser;

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/cluster/page/watch.png");
/// With all of them the build is the one that other tests have.
const FEATURES: &str = "--all-features";

/// The clusters and their page.
struct Page(Program);

impl Page {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        command.args(["run", "--quiet", FEATURES, "--example", "cluster", "--", "watch"]);
        command.args(["--port", "0"]);
        Self(Program::start(&mut command, "http://127.0.0.1:"))
    }

    fn url(&self, query: &str) -> String {
        format!("http://127.0.0.1:{}/{query}", self.0.port)
    }

    /// Sends a request past the browser: the status and the body.
    fn send(&self, method: &str, path: &str, header: &str) -> (u16, String) {
        let port = self.0.port;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{header}\r\n"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head[9..12].parse().expect("a status"), body.to_owned())
    }

    fn figures(&self) -> Value {
        let (_, body) = self.send("GET", "/figures.json", "");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// The lane of an arm.
    fn lane(&self, arm: &str) -> Value {
        let figures = self.figures();
        let lanes = figures["lanes"].as_array().expect("lanes").iter();
        let mut lanes = lanes.filter(|lane| lane["arm"] == arm);
        lanes.next().unwrap_or_else(|| panic!("no lane {arm}")).clone()
    }

    /// How many replicas of each lane are in a state.
    fn count(&self, state: &str) -> BTreeSet<usize> {
        let figures = self.figures();
        let count = |lane: &Value| {
            let replicas = lane["replicas"].as_array().expect("replicas").iter();
            replicas.filter(|replica| state.is_empty() || replica["state"] == state).count()
        };
        figures["lanes"].as_array().expect("lanes").iter().map(count).collect()
    }
}

fn eventually(what: &str, seconds: u64, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Clicks a button as soon as that is possible.
fn press(browser: &mut Browser, button: &str) {
    let script = format!(
        "const button = document.getElementById('do-{button}'); \
         if (button.disabled) return false; button.click(); return true"
    );
    eventually(&format!("`{button}` can be clicked"), 10, || browser.run(&script) == true);
}

/// Clicks a button, and waits until that is done in every lane.
fn click(browser: &mut Browser, page: &Page, button: &str) {
    press(browser, button);
    std::thread::sleep(Duration::from_millis(100));
    eventually(&format!("`{button}` is done"), 30, || page.figures()["running"].is_null());
}

#[test]
fn watch_in_chromium_shows_what_happens() {
    let mut browser = match Chromium::start() {
        Ok(browser) => Browser(Box::new(browser)),
        Err(missing) if std::env::var_os("REQUIRE_BROWSER").is_some() => panic!("{missing}"),
        Err(missing) => return println!("NOT CHECKED: the page to watch in a browser: {missing}"),
    };
    let page = Page::start();
    devtools::resize(&mut browser, 1280, 800);
    picture(&mut browser, &page);
    tour(&mut browser, &page);
    layout(&mut browser);
    buttons(&mut browser, &page);
    guards(&page);
    own_session(&mut browser, &page);
    // What the lanes answered to the page's own session is no fault of the page.
    let of_page = |line: &String| !line.contains("/you/");
    let errors: Vec<_> = devtools::errors(&mut browser).into_iter().filter(of_page).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// The moment after a kill: users of the arm `sticky` are out, and none of `stateless`.
fn picture(browser: &mut Browser, page: &Page) {
    // No user is shown between two replicas.
    devtools::prefer(browser, "prefers-reduced-motion", "reduce");
    browser.open(&page.url("?scene=3"));
    eventually("users of the lane sticky are out", 30, || {
        let out = |arm| {
            let users = page.lane(arm)["users"].as_array().expect("users").clone();
            users.iter().filter(|user| **user == -1).count()
        };
        out("sticky") > 2 && out("stateless") == 0
    });
    // Every user notices within a second, and is out for two.
    std::thread::sleep(Duration::from_millis(600));
    let picture = devtools::picture(browser);
    assert_eq!(picture[16..24], [0, 0, 5, 0, 0, 0, 3, 32], "1280 x 800");
    if std::env::var_os("WRITE_PICTURE").is_some() {
        std::fs::write(PICTURE, picture).expect("the picture");
    }
    let kept = std::fs::metadata(PICTURE).expect("the README's picture").len();
    assert!(kept < 150_000, "{PICTURE} has {kept} bytes");
}

fn tour(browser: &mut Browser, page: &Page) {
    browser.open(&page.url("?speed=10"));
    let mut scenes = BTreeSet::new();
    eventually("the tour ends", 60, || {
        let scene = browser.run("return document.body.dataset.scene ?? ''");
        scenes.insert(scene.as_str().expect("a scene").to_owned());
        scenes.contains("free")
    });
    for scene in 1..=8 {
        assert!(scenes.contains(&scene.to_string()), "scene {scene} was not shown: {scenes:?}");
    }
    let (stateless, memory) = (page.lane("stateless"), page.lane("memory"));
    assert_eq!((&stateless["lost"], &stateless["refused"]), (&0.into(), &0.into()), "{stateless}");
    assert!(memory["lost"].as_u64() > Some(0), "{memory}");
}

/// Nothing is cut off, and all can be reached with the keyboard.
fn layout(browser: &mut Browser) {
    let width = "return document.documentElement.scrollWidth";
    assert!(browser.run(width).as_u64() <= Some(1280));
    devtools::resize(browser, 390, 844);
    assert!(browser.run(width).as_u64() <= Some(390));
    devtools::resize(browser, 1280, 800);

    let page = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(page);
    devtools::prefer(browser, "prefers-color-scheme", "dark");
    assert_ne!(browser.run(page), light, "there is a dark page");
    devtools::prefer(browser, "prefers-color-scheme", "light");

    let usable = "return [...document.querySelectorAll('button:enabled')].map(button => button.id)";
    let usable = browser.run(usable).as_array().expect("buttons").clone();
    assert!(usable.len() > 20, "{usable:?}");
    browser.run("document.activeElement.blur()");
    let (mut reached, mut outlined) = (Vec::new(), true);
    for _ in 0..60 {
        devtools::press_tab(browser);
        let focus = browser.run(
            "const style = getComputedStyle(document.activeElement); \
             return [document.activeElement.id, style.outlineStyle]",
        );
        if focus[0].as_str().is_some_and(|id| usable.contains(&id.into())) {
            outlined &= focus[1] == "solid";
            reached.push(focus[0].clone());
        }
    }
    reached.truncate(usable.len());
    assert_eq!(reached, usable, "in the order of the page");
    assert!(outlined, "the focus is visible");
}

fn buttons(browser: &mut Browser, page: &Page) {
    page.send("POST", "/do/reset", "");
    let all = |count| BTreeSet::from([count]);
    assert_eq!(page.count("alive"), all(3));
    for (button, state) in
        [("kill", "dead"), ("stop", "stopped"), ("drain", "drained"), ("fail-health", "unhealthy")]
    {
        click(browser, page, button);
        eventually(state, 5, || page.count(state) == all(1));
        let shown = format!("return document.querySelectorAll('[data-state={state}]').length");
        let lanes = page.figures()["lanes"].as_array().map(Vec::len);
        eventually("the page shows it", 5, || {
            browser.run(&shown).as_u64() == lanes.map(|count| count as u64)
        });
        click(browser, page, "start");
        eventually("all are back", 5, || page.count("alive") == all(3));
    }
    click(browser, page, "add");
    eventually("four replicas", 5, || page.count("alive") == all(4));
    click(browser, page, "remove");
    assert_eq!(page.count(""), all(3));

    let ids = |page: &Page| {
        let replicas = page.lane("stateless")["replicas"].as_array().expect("replicas").clone();
        replicas.iter().map(|replica| replica["id"].clone()).collect::<Vec<_>>()
    };
    let before = ids(page);
    press(browser, "roll");
    eventually("it rolls", 5, || page.figures()["running"] == "roll");
    let (status, body) = page.send("POST", "/do/kill", "");
    assert_eq!((status, &*body), (409, "`roll` is not done yet."));
    let disabled = "return document.getElementById('do-kill').disabled";
    eventually("no other button can be clicked", 5, || browser.run(disabled) == true);
    eventually("it has rolled", 30, || page.figures()["running"].is_null());
    assert!(before.iter().zip(ids(page)).all(|(old, new)| *old != new), "{before:?}");
    click(browser, page, "clock");
    assert!(page.lane("memory")["says"].as_str().expect("a sentence").contains("clock"));
    click(browser, page, "start");

    click(browser, page, "spike");
    eventually("five replicas", 5, || page.count("alive") == all(5));

    let signing = |page: &Page| {
        let keys = page.figures()["keys"].as_array().expect("keys").clone();
        keys.into_iter().find(|key| key["state"] == "signing").expect("one signs")["kid"].clone()
    };
    let before = signing(page);
    click(browser, page, "rotate-keys");
    assert_eq!(page.lane("sticky")["possible"], false);
    eventually("another key signs", 15, || signing(page) != before);
    let before = signing(page);
    click(browser, page, "revoke-key");
    eventually("the key is revoked", 5, || {
        let keys = page.figures()["keys"].as_array().expect("keys").clone();
        keys.iter().any(|key| key["kid"] == before && key["state"] == "revoked")
    });

    click(browser, page, "kill-store");
    assert_eq!(page.lane("stateless")["store"], "down");
    click(browser, page, "start-store");
    click(browser, page, "empty-store");
    assert_eq!(page.lane("stateless")["store"], "up");
    if page.figures()["lanes"].as_array().expect("lanes").iter().any(|it| it["arm"] == "database") {
        click(browser, page, "slow-store");
        assert_eq!(page.lane("database")["store"], "slow");
        click(browser, page, "start-store");
        click(browser, page, "fail-over-store");
        assert_eq!(page.lane("database")["store"], "up");
    } else {
        println!("NOT CHECKED: slow-store, fail-over-store: there is no redis-server");
    }
    for button in ["log-out-everywhere", "replay"] {
        click(browser, page, button);
        let lane = page.lane("stateless");
        assert!(lane["says"].as_str().expect("a sentence").contains("logged out"), "{lane}");
    }
    counters(browser, page);
}

/// The page shows the server's numbers.
fn counters(browser: &mut Browser, page: &Page) {
    let shown = "return [...document.querySelectorAll('.lane')].map(lane => ['lost', 'refused', \
                 'accepted'].map(name => Number(lane.querySelector('.' + name).textContent.replaceAll(',', ''))))";
    eventually("the page and the server agree", 10, || {
        let figures = page.figures();
        let lanes = figures["lanes"].as_array().expect("lanes").iter();
        let lanes = lanes.map(|lane| {
            ["lost", "refused", "accepted"].map(|name| lane[name].clone()).to_vec().into()
        });
        browser.run(shown) == Value::Array(lanes.collect())
    });
}

/// Other sites are refused.
fn guards(page: &Page) {
    let (status, _) = page.send("POST", "/do/kill", "Origin: http://evil.example\r\n");
    assert_eq!(status, 403);
    assert_eq!(page.send("POST", "/do/nothing", "").0, 404);
}

fn own_session(browser: &mut Browser, page: &Page) {
    page.send("POST", "/do/reset", "");
    click(browser, page, "you-log-in");
    // The lane memory may lose it at any time.
    let arms = "const arms = setting.arms.map(it => it.arm).filter(arm => arm !== 'memory'); ";
    let me = format!(
        "{arms} return Promise.all(arms.map(arm => fetch(`/you/${{arm}}/me`).then(it => it.status)))"
    );
    let all = |status: u64| move |it: &Value| *it == status;
    let statuses = |browser: &mut Browser| browser.run(&me).as_array().expect("a list").clone();
    eventually("the page is logged in", 10, || statuses(browser).iter().all(all(200)));
    click(browser, page, "you-log-out");
    eventually("the page is logged out", 10, || statuses(browser).iter().all(all(401)));
    std::thread::sleep(Duration::from_secs(3));
    assert!(statuses(browser).iter().all(all(401)), "it does not log in by itself");
    click(browser, page, "you-replay");
    let lane = page.lane("stateless");
    assert_eq!(lane["says"], "Your copied cookie: 0 of 3 replicas accept it.");
}
