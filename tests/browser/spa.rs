//! The page of the example `spa` in Chromium: calls that run at once with a refresh, a logout or a logout of other
//! devices.
//!
//! Without a browser the test says so and passes, unless `REQUIRE_BROWSER` is set.

mod chromium;
mod program;
mod web_driver;

use std::process::Command;

use serde_json::json;

use crate::chromium::Chromium;
use crate::program::Program;
use crate::web_driver::Browser;

/// Counts the requests by path, and can hold an answer back.
const WATCH: &str = "
    window.sent = {};
    const real = window.fetch;
    window.fetch = async (url, options) => {
        const path = new URL(url).pathname;
        sent[path] = (sent[path] ?? 0) + 1;
        if (window.offline === path) throw new TypeError('offline');
        if (window.down === path) return new Response('', { status: 503 });
        const response = await real(url, options);
        if (window.hold === path) {
            window.hold = undefined;
            held();
            await new Promise(go => { window.release = go; });
        }
        return response;
    };
    window.statuses = calls => Promise.all(calls).then(all => all.map(response => response?.status));
    window.me = () => call('/me');
    // As an access token that has expired.
    window.spoil = () => { tokens.access_token = tokens.access_token.slice(0, -1); };
";

#[test]
fn spa_in_chromium_keeps_its_tokens_whatever_runs_at_once() {
    let mut browser = match Chromium::start() {
        Ok(browser) => Browser(Box::new(browser)),
        Err(missing) if std::env::var_os("REQUIRE_BROWSER").is_some() => panic!("{missing}"),
        Err(missing) => return println!("NOT CHECKED: the page of spa in a browser: {missing}"),
    };
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    command.args(["run", "--quiet", "--example", "spa", "--", "any-port"]);
    let page = Program::start(&mut command, "open http://localhost:");
    browser.open(&format!("http://localhost:{}/", page.port));
    browser.run(WATCH);
    let mut run = |script: &str| browser.run(script);

    // Five calls with an invalid token refresh once, and one that is answered late does not refresh again.
    assert_eq!(run("return login('alice').then(it => it.status)"), json!(200));
    run("spoil()");
    assert_eq!(
        run("return statuses([me(), me(), me(), me(), me()])"),
        json!([200, 200, 200, 200, 200])
    );
    assert_eq!(run("return sent['/token']"), json!(1));
    let late = "
        spoil();
        hold = '/me';
        const isHeld = new Promise(go => { window.held = go; });
        const late = me();
        return isHeld.then(() => me()).then(() => { release(); return statuses([late]); })";
    assert_eq!(run(late), json!([200]));
    assert_eq!(run("return sent['/token']"), json!(2));

    // The other devices are logged out, and this one is not, whatever it calls meanwhile.
    let others = "return statuses([logOutOthers(), me(), me(), me(), me(), me(), me()])";
    for _ in 0..5 {
        assert_eq!(run(others), json!([200, 200, 200, 200, 200, 200, 200]));
    }
    run("spoil()");
    assert_eq!(run(others), json!([200, 200, 200, 200, 200, 200, 200]));

    // Without an answer the tokens stay.
    run("spoil(); offline = '/token'");
    assert_eq!(run("return me().then(() => 'answered', error => error.message)"), json!("offline"));
    run("offline = undefined");
    assert_eq!(run("return statuses([me()])"), json!([200]));

    // A refresh that is answered 503 is no 401: the user is logged in.
    run("spoil(); down = '/token'");
    assert_eq!(run("return statuses([me(), me(), logOutOthers()])"), json!([503, 503, 503]));
    run("down = undefined");
    assert_eq!(run("return statuses([me()])"), json!([200]));

    // Another login ends the session before it.
    run("window.before = tokens.refresh_token");
    assert_eq!(run("return statuses([login('alice'), me()])"), json!([200, 200]));
    let refresh = "
        const form = { grant_type: 'refresh_token', refresh_token: before };
        return post('/token', new URLSearchParams(form)).then(response => response.status)";
    assert_eq!(run(refresh), json!(400));

    // A logout is the last word.
    run("spoil()");
    assert_eq!(run("return statuses([me(), logout(), me()]).then(all => all[1])"), json!(200));
    assert_eq!(run("return statuses([me(), logout()])"), json!([401, null]));
    assert_eq!(run("return tokens === undefined"), json!(true));
}
