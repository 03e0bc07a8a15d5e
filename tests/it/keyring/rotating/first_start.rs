//! A first start, on an empty directory: what is logged, and what a login is answered meanwhile.

use std::time::Duration;

use axum::Router;
use axum::routing::get as on_get;
use http::StatusCode;
use tempfile::TempDir;
use tokio::time::sleep;
use tower_jwt_session::store::FileStore;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{KeyRing, Login, Revocations, Sessions};
use tracing::Level;

use crate::support::recorder::Events;
use crate::support::replicas::START;
use crate::support::web::{get, send};

const WAIT: Duration = Duration::from_secs(3);
const WAITING: &str = "waiting for live replicas before founding";

fn store() -> (TempDir, FileStore, ManualClock) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = FileStore::open(directory.path().join("keys")).expect("opens");
    (directory, store, ManualClock::new(START))
}

async fn keys(store: FileStore, clock: ManualClock) -> KeyRing {
    KeyRing::builder("site").store(store).clock(clock).open().await.expect("opens")
}

#[tokio::test(start_paused = true)]
async fn log_of_a_first_start_warns_of_unsealed_keys_alone() {
    let scenario = async || {
        let (_directory, store, clock) = store();
        let keys = keys(store.clone(), clock.clone()).await;
        let revocations = Revocations::builder("site").store(store).clock(clock);
        let revocations = revocations.open().await.expect("opens");
        while keys.ready().is_err() || revocations.ready().is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let unsealed = "private keys are unsealed in the store";
    let is_complete = |events: &Events| events.count(WAITING) == 2 && events.count(unsealed) == 1;
    let events = Events::of(scenario, is_complete).await;
    let warnings = events.warnings();
    let texts: Vec<_> = warnings.iter().map(|event| &*event.message).collect();
    assert_eq!(texts, [unsealed]);
    let fix = &warnings[0].fields["fix"];
    assert!(fix.starts_with("\"none if this service alone can read the store"), "{fix}");
    let all = events.all();
    let infos = all.iter().filter(|it| it.level == Level::INFO && it.message != "audit event");
    let infos: Vec<_> = infos.collect();
    assert_eq!(infos.len(), 2, "of the keys and of the revocations: {infos:?}");
    for event in infos {
        assert_eq!((&*event.message, &*event.fields["wait"]), (WAITING, "3s"));
        assert!(event.fields["fix"].contains("`found_now` skips"), "{event:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn login_before_the_ring_is_founded_says_why_and_when_to_try_again() {
    let (_directory, store, clock) = store();
    let keys = keys(store, clock).await;
    let sessions = Sessions::builder(keys.clone(), "https://app.example", "app").build();
    let sessions: Sessions<()> = sessions.expect("sessions");
    let app = Router::new().route("/in", on_get(async || Login::new("alice", ())));
    let app = app.layer(sessions.layer());
    let waits = async |expected: &str| {
        let answer = send(&app, get("/in")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.all("retry-after"), [expected]);
        assert!(!keys.status().rotation_overdue);
        sessions.issue(&Login::new("alice", ())).expect_err("no key").to_string()
    };
    let at_once = waits("3").await;
    let why =
        "no key of ring \"site\" may sign now: the store does not hold the ring: waiting since ";
    assert!(at_once.starts_with(why), "{at_once}");
    assert!(
        at_once.ends_with("first start of a service, and only then, set `found_now`"),
        "{at_once}"
    );
    assert!(
        at_once.contains("anew at a time not yet known (3s after the wait can begin)"),
        "{at_once}"
    );
    sleep(WAIT / 2).await;
    let later = waits("2").await;
    assert!(later.contains("anew at 2027-01-15T08:00:0"), "{later}");
    while keys.ready().is_err() {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(send(&app, get("/in")).await.status, StatusCode::NO_CONTENT);
}
