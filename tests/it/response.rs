//! The health and status documents.

use axum::Router;
use http::StatusCode;
use serde_json::{Value, json};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{ManualClock, fixed_ring};
use tower_jwt_session::{KeyRing, Revocations, Sessions};

use crate::support::stores::TestStore;
use crate::support::web::{get, send};

async fn document(app: &Router, path: &str) -> (StatusCode, Value) {
    let answer = send(app, get(path)).await;
    assert_eq!(answer.all("content-type"), ["application/json"]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

#[tokio::test]
async fn status_router_of_a_ready_replica() {
    let clock = ManualClock::default();
    let store = TestStore::new();
    let keys = KeyRing::builder("app").store(MemoryStore::new()).clock(clock.clone());
    let keys = keys.open().await.unwrap();
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    let revocations = revocations.found_now().open().await.unwrap();
    let sessions = Sessions::<()>::builder(keys.clone(), "https://app.example", "app");
    let sessions = sessions.also_accept_issuer("https://old.example").audiences(["app-2"]);
    let sessions = sessions.revocations(revocations).build().unwrap();
    let app = sessions.status_router();

    let (status, live) = document(&app, "/health/live").await;
    assert_eq!(
        (status, &live["version"], &live["live"]),
        (StatusCode::OK, &1.into(), &true.into())
    );
    let (status, ready) = document(&app, "/health/ready").await;
    assert_eq!((status, &ready["ready"]), (StatusCode::OK, &true.into()));
    assert_eq!((&ready["version"], &ready["time"]), (&1.into(), &"2027-01-15T08:00:00Z".into()));
    assert_eq!(ready["crate_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(ready["ring"]["fingerprint"], keys.status().fingerprint);
    assert_eq!(ready["ring"]["generation"], 0);
    assert_eq!(ready["ring"]["clock_offset"], Value::Null);
    assert_eq!(ready["revocations"]["writes_ok"], true);
    let (_, all) = document(&app, "/health/status").await;
    for document in [&ready, &all] {
        assert_eq!(document["issuer"], "https://app.example");
        let accepted = &document["accepted_issuers"];
        assert_eq!(*accepted, json!(["https://app.example", "https://old.example"]));
        assert_eq!(document["audiences"], json!(["app", "app-2"]));
    }
    assert_eq!(all["ring"]["keys"][0]["state"], "signing");
    assert_eq!(all["ring"]["sealed"], false);
    assert_eq!((&all["version"], &all["revocations"]["sessions"]), (&1.into(), &0.into()));

    store.down();
    sessions.revoke_session("s").await.unwrap_err();
    let (_, ready) = document(&app, "/health/ready").await;
    assert_eq!(ready["revocations"]["writes_ok"], false);
}

#[tokio::test]
async fn status_router_of_a_replica_that_is_not_ready_is_503() {
    let clock = ManualClock::default();
    let store = TestStore::new();
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    let revocations = revocations.found_now().open().await.unwrap();
    let ring = fixed_ring(clock.clone());
    let sessions = Sessions::<()>::builder(ring, "https://app.example", "app");
    let sessions = sessions.revocations(revocations.clone()).build().unwrap();
    store.down();
    clock.advance(std::time::Duration::from_secs(48 * 60 * 60));
    revocations.refresh().await.unwrap_err();
    let (status, ready) = document(&sessions.status_router(), "/health/ready").await;
    assert_eq!((status, &ready["ready"]), (StatusCode::SERVICE_UNAVAILABLE, &false.into()));
    assert!(ready["reasons"][0].as_str().unwrap().contains("max_staleness"), "{ready}");
    assert_eq!(ready["revocations"]["reads_ok"], false);
}
