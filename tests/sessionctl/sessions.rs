//! `sessions …` records as the service's own calls do: live replicas refuse, and a wrong place stays as it was.

use std::time::{Duration, SystemTime};

use axum::{Router, routing::get as on_get};
use serde_json::{Value, json};
use tower_jwt_session::store::FileStore;
use tower_jwt_session::{
    KeyRing, Login, Renewal, Revocations, RotationPolicy, Sessions, Timestamp,
};

use crate::run::{Run, files, sessionctl, sessionctl_with};
use crate::support::web::{get, send};

const ISSUER: &str = "https://app.example";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Two replicas of one service, on a directory.
struct Service {
    directory: tempfile::TempDir,
    replicas: [Sessions<()>; 2],
}

impl Service {
    async fn open(policy: RotationPolicy) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let replica = async || {
            let store = FileStore::open(directory.path().join("store")).expect("a store");
            let keys = KeyRing::builder("app").store(store.clone()).found_now();
            let keys = keys.rotation(policy.clone()).open().await.expect("a ring");
            let revocations = Revocations::builder("app").store(store).found_now();
            let revocations = revocations.open().await.expect("revocations");
            let sessions = Sessions::builder(keys, ISSUER, "app")
                .also_accept_issuer("https://old.example")
                .revocations(revocations.clone())
                .on_renewal(async |_| Ok(Renewal::Keep))
                .build()
                .expect("sessions");
            revocations.refresh().await.expect("written");
            sessions
        };
        let replicas = [replica().await, replica().await];
        Self { replicas, directory }
    }

    fn login(&self, subject: &str) -> String {
        self.replicas[0].issue(&Login::new(subject, ())).expect("issued").as_str().to_owned()
    }

    /// Whether both replicas accept a token, once they have read the store.
    async fn accepts(&self, token: &str) -> bool {
        let mut accepted = Vec::new();
        for replica in &self.replicas {
            replica.revocations().expect("set").refresh().await.expect("read");
            accepted.push(replica.validate(token).is_ok());
        }
        assert_eq!(accepted[0], accepted[1], "the replicas differ");
        accepted[0]
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let store = format!("file:{}", self.directory.path().join("store").display());
        let place = ["--store", &store, "--ring", "app"];
        sessionctl(&[&["sessions"], arguments, &place].concat(), "")
    }

    fn done(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(run.status, 0, "{run:?}");
        let report = run.json();
        assert_eq!(report["read_back"], true);
        report
    }

    /// Runs it, and checks that it fails and has changed nothing.
    fn refused(&self, arguments: &[&str], status: i32, text: &str) {
        let before = files(self.directory.path());
        let run = self.run(arguments);
        assert!(run.status == status && run.err.contains(text), "{arguments:?}: {run:?}");
        assert!(files(self.directory.path()) == before, "{arguments:?} wrote to the store");
    }
}

fn kept_for(report: &Value) -> Duration {
    let until: Timestamp = serde_json::from_value(report["kept_until"].clone()).expect("a time");
    until - Timestamp::from(SystemTime::now())
}

fn is_about(found: Duration, expected: Duration) -> bool {
    found <= expected && found + Duration::from_secs(60) > expected
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_revoke_ends_one_session_at_every_replica() {
    let service = Service::open(RotationPolicy::new()).await;
    let [ended, other] = ["alice", "alice"].map(|subject| service.login(subject));
    let id = service.replicas[0].validate(&ended).expect("valid").session_id().to_owned();
    let report = service.done(&["revoke", &id]);
    assert_eq!((&report["recorded"], &report["records"]), (&json!("session"), &json!(1)));
    // As the service itself: S and L of a day, the leeway, and four clocks.
    let expected = DAY * 2 + Duration::from_secs(5 * 60);
    assert!(is_about(kept_for(&report), expected), "{report}");
    assert!(!service.accepts(&ended).await && service.accepts(&other).await);
    // Again is safe.
    service.done(&["revoke", &id]);

    service.refused(&["revoke", &ended], 2, "found a token, expected the session's ID");
    service.refused(&["revoke", "sub|1"], 2, "give its name with --issuer");
    service.refused(&["revoke", "alice"], 2, "`sessionctl sessions revoke-subject alice`");
    // An ID of another issuer is recorded under its name.
    service.done(&["revoke", "sub|1", "--issuer", ISSUER]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_revoke_subject_asks_and_spares_later_logins() {
    let service = Service::open(RotationPolicy::new()).await;
    let [ended, other] = ["alice", "bob"].map(|subject| service.login(subject));
    let command = ["revoke-subject", "alice", "--issuer", ISSUER];
    service.refused(&command, 2, "nobody can confirm");
    let run = service.run(&command);
    assert!(run.err.contains("ALL sessions of the subject \"alice\""), "{run:?}");
    assert!(service.accepts(&ended).await);
    let report =
        service.done(&[&command[..], &["--yes", "--issuer", "https://old.example"]].concat());
    assert_eq!((&report["recorded"], &report["records"]), (&json!("subject"), &json!(2)));
    assert!(!service.accepts(&ended).await && service.accepts(&other).await);
    assert!(service.accepts(&service.login("alice")).await);
    service.refused(&["revoke-subject", "alice"], 2, "--issuer is missing or empty");
    service.refused(&["revoke-subject", "--issuer", ISSUER], 2, "SUB");
    service.refused(&["revoke-subject", "", "--issuer", ISSUER], 2, "the subject is empty");
}

/// A misspelled name is recorded like any other: the tool says how to find out.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_revoke_subject_takes_the_names_from_a_token_or_the_environment() {
    let service = Service::open(RotationPolicy::new()).await;
    let [alice, bob] = ["alice", "bob"].map(|subject| service.login(subject));
    let run = service.run(&["revoke-subject", "Alice", "--issuer", ISSUER, "--yes"]);
    assert!(run.status == 0 && run.out.contains(&format!("whether {ISSUER} and this")), "{run:?}");
    assert!(run.out.contains("`sessionctl doctor`; `sessionctl token explain`"), "{run:?}");
    assert!(service.accepts(&alice).await);

    let store = format!("file:{}", service.directory.path().join("store").display());
    let variables = [("STORE", &*store), ("RING", "app"), ("ISSUER", ISSUER)];
    let of_token = ["sessions", "revoke-subject", "--of-token"];
    let asked = sessionctl_with(&variables, &of_token, &format!("Bearer {alice}"));
    assert!(asked.status == 2 && asked.err.contains("subject \"alice\" of"), "{asked:?}");
    assert!(service.accepts(&alice).await, "nobody confirmed");
    let run = |input: &str, arguments: &[&str]| {
        let arguments = [&["--json", "--yes", "sessions"], arguments].concat();
        sessionctl_with(&variables, &arguments, input)
    };
    let done = run(&format!("Cookie: __Host-app={alice}"), &of_token[1..]);
    assert_eq!(done.status, 0, "{done:?}");
    assert_eq!(done.json()["issuers"], json!([ISSUER]));
    assert!(!service.accepts(&alice).await && service.accepts(&bob).await);

    // From a file: standard input is there to confirm.
    let carol = service.login("carol");
    let file = service.directory.path().join("token.txt");
    std::fs::write(&file, format!("Bearer {carol}\n")).expect("written");
    let of_file = ["revoke-subject", "--of-token", file.to_str().expect("UTF-8")];
    let done = run("", &of_file);
    assert!(done.status == 0 && done.json()["subject"] == "carol", "{done:?}");
    assert!(!service.accepts(&carol).await);
    let none = run("", &["revoke-subject", "--of-token", "/none"]);
    assert!(none.status == 2 && none.err.contains("--of-token /none"), "{none:?}");

    for input in ["", "garbage", "eyJ.eyJ.x"] {
        assert_eq!(run(input, &of_token[1..]).status, 2, "{input:?}");
    }
    let both = run(&bob, &["revoke-subject", "bob", "--of-token"]);
    assert!(both.status == 2 && both.err.contains("cannot be used with"), "{both:?}");
    assert!(service.accepts(&bob).await);
    let done = run("", &["revoke-subject", "bob"]);
    assert!(done.status == 0 && done.json()["issuers"] == json!([ISSUER]), "{done:?}");
    assert!(!service.accepts(&bob).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_revoke_before_ends_everyone_up_to_a_time() {
    let service = Service::open(RotationPolicy::new()).await;
    let token = service.login("alice");
    service.refused(&["revoke-before", "now"], 2, "nobody can confirm");
    service.refused(&["revoke-before", "+5m", "--yes"], 2, "expected one no later than now");
    service.refused(&["revoke-before", "noon", "--yes"], 2, "expected a time such as");
    service.done(&["revoke-before", "-1h", "--yes"]);
    assert!(service.accepts(&token).await);
    let run = service.run(&["revoke-before", "now", "--yes"]);
    assert!(run.status == 0 && run.err.contains("ALL users"), "{run:?}");
    assert!(run.out.contains("recorded   1 of 1 records, read back from app"), "{run:?}");
    assert!(
        run.out.contains("refresh_bound: 21.5s") && run.out.contains("kept       until"),
        "{run:?}"
    );
    assert!(!service.accepts(&token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_reload_claims_renews_the_next_request() {
    let service = Service::open(RotationPolicy::new()).await;
    let app = Router::new().route("/", on_get(async || "hello"));
    let app = app.layer(service.replicas[1].layer());
    let token = service.login("alice");
    let cookie = format!("__Host-app={token}");
    let renewed = async || {
        let answer = send(&app, get("/").header("cookie", &cookie)).await;
        assert_eq!(answer.status, 200);
        !answer.all("set-cookie").is_empty()
    };
    assert!(!renewed().await);
    let report = service.done(&["reload-claims", "alice", "--issuer", ISSUER]);
    assert_eq!(report["recorded"], "stale_claims");
    assert!(service.accepts(&token).await, "nobody is logged out");
    assert!(renewed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_kept_as_long_as_the_recorded_lifetime_needs() {
    let service = Service::open(RotationPolicy::new().max_token_lifetime(DAY * 30)).await;
    let report = service.done(&["revoke-subject", "alice", "--issuer", ISSUER, "--yes"]);
    let expected = DAY * 31 + Duration::from_secs(5 * 60);
    assert!(is_about(kept_for(&report), expected), "{report}");
    let needs = || {
        let names = files(service.directory.path()).into_iter();
        let names = names.map(|(path, _)| path.file_name().expect("a file").to_owned());
        names.filter(|name| name.to_string_lossy().starts_with("kept-")).collect::<Vec<_>>()
    };
    let before = needs();
    assert_eq!(before.len(), 1, "{before:?}");
    // A service whose keys are elsewhere: what its replicas need is recorded, too.
    let place = ["--revocations", "app", "--max-token-lifetime", "1h"];
    let report = service.done(&[&["revoke-before", "-2d", "--yes"], &place[..]].concat());
    assert!(is_about(kept_for(&report), expected), "{report}");
    assert_eq!(needs(), before, "no need of the tool is recorded");
}

/// One in 64 begins so.
#[test]
fn session_id_that_begins_with_a_hyphen_is_read_as_one() {
    let run = sessionctl(&["sessions", "revoke", "-GqnNq9kQ1m5r2W0bYx3Lg", "--ring", "app"], "");
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.err.contains("--store is missing"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_in_a_wrong_place_change_nothing() {
    let service = Service::open(RotationPolicy::new()).await;
    let subject = ["revoke-subject", "alice", "--issuer", ISSUER, "--yes"];
    let of = |more: &[&'static str]| [&subject[..], more].concat();
    service.refused(&of(&["--revocations", "other"]), 1, "found no revocations of the name other");
    let store = format!("file:{}", service.directory.path().join("store").display());
    for (ring, text) in
        [("other", "--ring; the directory holds app"), (".x", "the first not a dot")]
    {
        let before = files(service.directory.path());
        let place = ["--store", &store, "--ring", ring];
        let run = sessionctl(&[&["sessions"], &subject[..], &place].concat(), "");
        assert!(run.status != 0 && run.err.contains(text), "{run:?}");
        assert!(files(service.directory.path()) == before, "it wrote to the store");
    }
    // Keys of another version, or damaged.
    let entries = service.directory.path().join("store/app");
    for entry in std::fs::read_dir(entries).expect("a ring") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("key-")) {
            std::fs::write(path, "{}").expect("written");
        }
    }
    service.refused(&of(&[]), 1, "none is a key that can be read: key-");
    let none = service.directory.path().join("none");
    let place = ["--store", &format!("file:{}", none.display()), "--ring", "app"];
    let run = sessionctl(&[&["sessions"], &subject[..], &place].concat(), "");
    assert!(run.status == 1 && run.err.contains("nothing was made") && !none.exists(), "{run:?}");
}
