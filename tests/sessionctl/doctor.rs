//! `doctor` against replicas in this process: each line is seen good and failed.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Clock as _, KeyRing, Revocations, SealingKey, Sessions, Timestamp};

use crate::run::{Run, sessionctl};
use crate::support::stores::{Operation, TestStore};

/// A replica, and where its routes are.
struct Replica {
    url: String,
    clock: ManualClock,
    store: TestStore,
    sessions: Sessions<()>,
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// A replica with the settings that the checklist asks for.
async fn replica(store: TestStore, clock: ManualClock) -> Replica {
    let secret: [u8; 32] = std::array::from_fn(|place| place as u8 * 7 + 3);
    let ring = KeyRing::builder("app").store(store.clone()).clock(clock.clone());
    let ring =
        ring.seal_with([SealingKey::new(secret).expect("a key")]).open().await.expect("a ring");
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    let revocations = revocations.found_now().open().await.expect("revocations");
    let sessions = Sessions::<()>::builder(ring, "https://app.example", "app");
    let sessions = sessions.revocations(revocations).build().expect("sessions");
    let url = serve(sessions.status_router().merge(sessions.jwks_router())).await;
    Replica { url, clock, store, sessions }
}

async fn pair() -> [Replica; 2] {
    let store = TestStore::new();
    let clock = || ManualClock::new(now());
    let one = replica(store.clone(), clock()).await;
    [one, replica(store.sibling(), clock()).await]
}

/// The outcome and the finding of each line.
fn lines(run: &Run) -> BTreeMap<String, (String, String)> {
    let lines = run.json()["lines"].as_array().expect("lines").clone();
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let line = |line: &Value| {
        let outcome = text(line, "outcome");
        let has_fix = ["failed", "warning"].contains(&&*outcome);
        assert_eq!(
            line["fix"].is_string(),
            has_fix && !text(line, "expected").is_empty(),
            "{line}"
        );
        (text(line, "check"), (outcome, text(line, "found")))
    };
    lines.iter().map(line).collect()
}

/// Asks, while the replicas answer.
async fn doctor(arguments: &[&str]) -> Run {
    let arguments: Vec<_> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let run = move || {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let words = sessionctl(&[&["doctor"], &arguments[..]].concat(), "");
        let json = sessionctl(&[&["doctor", "--json"], &arguments[..]].concat(), "");
        assert_eq!(words.status, json.status);
        assert_eq!(
            words.out.lines().count(),
            json.json()["lines"].as_array().expect("lines").len()
        );
        json
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

/// That line has this outcome, and names this.
async fn sees(arguments: &[&str], check: &str, outcome: &str, found: &str) {
    let run = doctor(arguments).await;
    let lines = lines(&run);
    let (is, text) = &lines[check];
    assert!(is == outcome && text.contains(found), "{check}: {is} {text}\n{run:?}");
    assert_eq!(run.status, i32::from(lines.values().any(|line| line.0 == "failed")), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_of_a_good_cluster_is_all_right() {
    let [one, two] = pair().await;
    let jwks = format!("{}/.well-known/jwks.json", one.url);
    let status = format!("{}/health/status", two.url);
    let arguments = [&*one.url, &*status, "--jwks", &jwks];
    let run = doctor(&arguments).await;
    assert_eq!(run.status, 0, "{run:?}");
    for (check, (outcome, found)) in lines(&run) {
        let expected = match &*check {
            "exposure" | "https" => "not_checked",
            // Over plain http.
            "jwks" => "warning",
            _ => "ok",
        };
        assert_eq!(outcome, expected, "{check}: {found}");
    }
    assert_eq!(run.json()["ok"], true);
    let strict = doctor(&[&arguments[..], &["--strict"]].concat()).await;
    assert_eq!((strict.status, &strict.json()["ok"]), (1, &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_sees_replicas_that_are_missing_or_differ() {
    let [one, two] = pair().await;
    sees(&[&one.url], "instances", "failed", "1 given").await;
    sees(&[&one.url, &one.url], "instances", "failed", "1 given").await;
    let down = "http://127.0.0.1:9";
    sees(&[&one.url, down], "reachable", "failed", down).await;
    let other = replica(TestStore::new(), ManualClock::new(now())).await;
    sees(&[&one.url, &two.url, &other.url], "fingerprint", "failed", &other.url).await;

    let without =
        Sessions::<()>::builder(one.sessions.keys().clone(), "https://app.example", "app");
    let without = serve(without.build().expect("sessions").status_router()).await;
    sees(&[&one.url, &without], "revocations", "failed", "none at").await;
    sees(&[&without, &without], "revocations", "warning", "no replica").await;
    let html = serve(Router::new().route("/health/status", get(async || "hello"))).await;
    sees(&[&one.url, &html], "reachable", "failed", "not the document").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_sees_wrong_clocks() {
    let [one, two] = pair().await;
    two.clock.advance(Duration::from_secs(45));
    sees(&[&one.url, &two.url], "clocks", "warning", "ahead of the other replica").await;
    sees(&[&one.url, &two.url, "--clock-skew", "10m"], "clocks", "ok", "of each other").await;
    two.clock.advance(Duration::from_secs(75));
    sees(&[&one.url, &two.url], "clocks", "failed", &format!("{}: 2 min", two.url)).await;
    // The store's clock says whose is wrong.
    two.store.show_time(one.clock.now());
    one.sessions.keys().refresh().await.expect("read");
    two.sessions.keys().refresh().await.expect("read");
    let found = format!("{}: 2 min ahead of the store's clock", two.url);
    sees(&[&one.url, &two.url], "clocks", "failed", &found).await;
    // If all agree, it is this machine's.
    one.clock.advance(Duration::from_secs(120));
    let found = "this machine's clock is";
    two.store.show_time(one.clock.now());
    one.sessions.keys().refresh().await.expect("read");
    two.sessions.keys().refresh().await.expect("read");
    sees(&[&one.url, &two.url], "clocks", "warning", found).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_sees_a_store_that_fails() {
    let [one, two] = pair().await;
    let urls = [&*one.url, &*two.url];
    one.store.fail(&[Operation::Append]);
    one.sessions.revoke_session("s").await.expect_err("not recorded");
    sees(&urls, "writes", "failed", &format!("{}: revocations: ", one.url)).await;
    one.store.up();
    two.store.put("garbage", b"{").await;
    two.sessions.keys().refresh().await.expect("read");
    sees(&urls, "entries", "warning", "garbage").await;
    two.store.down();
    two.sessions.keys().refresh().await.expect_err("down");
    two.sessions.revocations().expect("set").refresh().await.expect_err("down");
    let run = doctor(&urls).await;
    let lines = lines(&run);
    for check in ["reads", "revocations"] {
        assert!(lines[check].0 == "failed" && lines[check].1.contains(&two.url), "{lines:?}");
    }
    assert_eq!(lines["ready"].0, "ok", "the last known keys are good for a day");
    // Days later, on the store that is still down.
    two.clock.advance(Duration::from_secs(3 * 24 * 3600));
    sees(&urls, "ready", "failed", "max_staleness").await;
    sees(&urls, "rotation", "failed", "rotation is overdue").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_sees_paused_issuing_and_unsealed_keys() {
    let [one, two] = pair().await;
    one.sessions.keys().replace_all().await.expect("revoked");
    two.sessions.keys().refresh().await.expect("read");
    sees(&[&one.url, &two.url], "rotation", "warning", "issuing is paused (revoked) until 2").await;
    // Overdue at the same time.
    let overdue = changed(&one, |it| it["ring"]["rotation_overdue"] = json!(true)).await;
    sees(&[&overdue, &two.url], "rotation", "failed", "rotation is overdue").await;

    let store = TestStore::new();
    let unsealed = async || {
        let ring = KeyRing::builder("app").store(store.clone()).dangerous_unsealed().open().await;
        let sessions = Sessions::<()>::builder(ring.expect("a ring"), "https://app.example", "app");
        serve(sessions.build().expect("sessions").status_router()).await
    };
    let [first, second] = [unsealed().await, unsealed().await];
    sees(&[&first, &second], "sealed", "warning", "no replica seals").await;
    sees(&[&first, &one.url], "sealed", "failed", "2 different").await;
}

/// What one version of the crate cannot show is shown by a document that was changed.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_sees_versions_panics_issuers_and_stale_reads() {
    let [one, two] = pair().await;
    let changed = async |change: fn(&mut Value)| changed(&one, change).await;
    let old = changed(|it| it["crate_version"] = json!("0.0.9")).await;
    sees(&[&two.url, &old], "versions", "warning", "0.0.9 at").await;
    let before =
        changed(|it| drop(it.as_object_mut().expect("an object").remove("crate_version"))).await;
    sees(&[&two.url, &before], "versions", "warning", "unknown at").await;
    let panicked = changed(|it| it["ring"]["task_panics"] = json!(3)).await;
    sees(&[&two.url, &panicked], "panics", "warning", "3 panics").await;
    let named = changed(|it| it["ring"]["ring"] = json!("other")).await;
    sees(&[&two.url, &named], "ring", "failed", "other at").await;
    let renamed = changed(|it| it["accepted_issuers"] = json!(["https://new.example"])).await;
    sees(&[&two.url, &renamed], "names", "failed", "https://new.example, audience app at").await;
    let renamed = changed(|it| it["audiences"] = json!(["other"])).await;
    sees(&[&two.url, &renamed], "names", "failed", "https://app.example, audience other at").await;
    let newer = changed(|it| it["version"] = json!(2)).await;
    sees(&[&two.url, &newer], "reachable", "failed", "format 2").await;
    let unfetched =
        changed(|it| it["issuers"] = json!([{ "issuer": "https://idp", "ready": false }])).await;
    sees(&[&two.url, &unfetched], "issuers", "failed", "https://idp").await;
    let unfetched = changed(|it| {
        let ring = json!({ "ring": "r", "fingerprint": "f", "failure": "connection refused" });
        it["issuers"] = json!([{ "issuer": "https://idp", "ready": true, "ring": ring }]);
    })
    .await;
    sees(&[&two.url, &unfetched], "reads", "failed", "https://idp: connection refused").await;
    // A service that only validates: nothing of it rotates.
    let follows = changed(|it| {
        let ring = &mut it["ring"];
        (ring["sealed"], ring["signing_key_id"]) = (Value::Null, Value::Null);
    })
    .await;
    sees(&[&follows, &follows], "rotation", "not_checked", "its keys are those of an issuer").await;
    let unread = changed(|it| it["revocations"]["failure"] = json!("connection refused")).await;
    let run = doctor(&[&two.url, &unread]).await;
    let lines = run.json()["lines"].as_array().expect("lines").clone();
    let line = lines.iter().find(|line| line["check"] == "revocations").expect("a line");
    assert!(line["fix"].as_str().is_some_and(|fix| fix.contains("store check")), "{line}");
    let stale =
        changed(|it| it["revocations"]["refreshed_at"] = json!("2020-01-01T00:00:00Z")).await;
    sees(&[&two.url, &stale], "revocations", "warning", "the bound is").await;
    let stale = changed(|it| it["ring"]["refreshed_at"] = json!("2020-01-01T00:00:00Z")).await;
    sees(&[&two.url, &stale], "reads", "warning", "the bound is").await;
    let evil = changed(|it| it["ring"]["failure"] = json!("\u{1b}[2J\nok")).await;
    let run = sessionctl_words(&[&two.url, &evil]).await;
    assert!(!run.out.contains('\u{1b}') && run.out.contains("FAILED       reads"), "{run:?}");
}

/// The address of a replica whose document is that of another one, changed.
async fn changed(of: &Replica, change: fn(&mut Value)) -> String {
    let mut document = reqwest(&format!("{}/health/status", of.url)).await;
    change(&mut document);
    let ready = get(async || "");
    let app = Router::new().route("/health/status", get(async || Json(document)));
    serve(app.route("/health/ready", ready)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_shows_clocks_first_and_equal_failures_once() {
    let [one, two] = pair().await;
    let changes = |it: &mut Value| it["ring"]["write_failure"] = json!("the disk is full");
    let [full, also_full] = [changed(&one, changes).await, changed(&two, changes).await];
    let run = sessionctl_words(&[&full, &also_full]).await;
    let expected = format!("{full}, {also_full}: keys: the disk is full; expected");
    assert!(run.out.contains(&expected), "{run:?}");
    let names: Vec<_> = run.out.lines().filter_map(|line| line[13..].split(' ').next()).collect();
    assert_eq!(names[..4], ["instances", "reachable", "clocks", "ready"], "{run:?}");
    let issuer = "names        one issuer: https://app.example, audience app\n";
    assert!(run.out.contains(issuer), "{run:?}");
}

async fn sessionctl_words(urls: &[&str; 2]) -> Run {
    let urls = urls.map(str::to_owned);
    let run = move || sessionctl(&["doctor", &urls[0], &urls[1]], "");
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

/// The document of a URL.
async fn reqwest(url: &str) -> Value {
    use http_body_util::BodyExt as _;
    use tower_jwt_session::http_client::{HttpClient as _, JwksClient};
    let provider = rustls::crypto::ring::default_provider();
    let client = JwksClient::with_provider(provider).expect("a client");
    let mut request = http::Request::new(());
    *request.uri_mut() = url.parse().expect("a URL");
    let answer = client.send(request).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_sees_a_bad_jwks_and_an_exposed_status() {
    let [one, two] = pair().await;
    let document = async |document: Value| {
        let app = Router::new().route("/jwks", get(async || Json(document)));
        format!("{}/jwks", serve(app).await)
    };
    let of = async |jwks: &str, outcome: &str, found: &str| {
        sees(&[&one.url, &two.url, "--jwks", jwks], "jwks", outcome, found).await;
    };
    of(&format!("{}/none", one.url), "failed", "404").await;
    of("http://127.0.0.1:9/", "failed", "refused").await;
    of(&document(json!({ "keys": [] })).await, "failed", "is not in the set").await;
    let key_id = one.sessions.keys().status().signing_key_id.expect("signs");
    let leaked = json!({ "keys": [{ "kid": key_id, "kty": "OKP", "d": "c2VjcmV0" }] });
    of(&document(leaked).await, "failed", "private members d").await;
    let uncached = json!({ "keys": [{ "kid": key_id, "kty": "OKP" }] });
    of(&document(uncached).await, "warning", "Cache-Control is none, without max-age").await;

    let public = serve(Router::new().route("/", get(async || "hello"))).await;
    sees(&[&one.url, &two.url, "--public", &public], "exposure", "ok", "none of the three").await;
    sees(&[&one.url, &two.url, "--public", &public], "https", "failed", "plain http").await;
    let exposed = ["--public", &one.url];
    let exposed = [&[&*one.url, &*two.url], &exposed[..]].concat();
    sees(&exposed, "exposure", "failed", "/health/status answered 200").await;
}
