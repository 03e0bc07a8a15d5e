//! The background task: it refreshes by itself, and ends with the ring.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tower_jwt_session::store::{MemoryStore, Store, StoreProperties};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{KeyRing, RotationPolicy};

use crate::support::delegate::delegate;
use crate::support::replicas::{RING, START, policy};
use crate::support::stores::{Operation, TestStore, nothing_at_rest};

async fn hasty(store: &TestStore) -> KeyRing {
    let policy = policy().refresh_interval(Duration::from_millis(1));
    let builder = KeyRing::builder(RING).store(store.clone()).rotation(policy);
    builder.clock(ManualClock::new(START)).open().await.expect("opens")
}

/// Waits for what the background does, and not for ever.
async fn until(condition: impl Fn() -> bool) {
    let happens = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), happens).await.expect("it happens");
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn a_ring_follows_its_store_by_itself() {
    let store = TestStore::new();
    let ring = hasty(&store).await;
    let other = hasty(&store.sibling()).await;
    let key_id = ring.status().keys[1].key_id.clone();
    other.revoke(&key_id).await.expect("the store is up");
    until(|| ring.status().fingerprint == other.status().fingerprint).await;
}

#[tokio::test]
async fn the_background_outlives_a_failing_store() {
    let store = TestStore::new();
    let ring = hasty(&store).await;
    store.down();
    until(|| ring.status().failure.is_some()).await;
    store.up();
    until(|| ring.status().failure.is_none()).await;
}

#[tokio::test]
async fn the_background_ends_with_the_last_clone_of_the_ring() {
    let store = TestStore::new();
    let ring = hasty(&store).await;
    let clone = ring.clone();
    assert_eq!(tasks(), 1);
    drop(ring);
    store.forget_calls();
    until(|| !store.calls(Operation::Load).is_empty()).await;
    assert_eq!(tasks(), 1, "a clone is left");
    drop(clone);
    until(|| tasks() == 0).await;
}

/// A store whose release can be seen, as that of a database's connections.
#[derive(Debug, Default)]
struct Connected {
    content: MemoryStore,
    connection: Arc<()>,
}

impl Store for Connected {
    delegate!(content: load insert remove);

    fn properties(&self) -> StoreProperties {
        nothing_at_rest()
    }
}

/// By a clock on which no time passes unless every task waits for it.
#[tokio::test(start_paused = true)]
async fn rotating_ring_dropped_releases_its_store_at_once() {
    let (store, began) = (Connected::default(), Instant::now());
    let connection = Arc::downgrade(&store.connection);
    let policy = RotationPolicy::new();
    let ring = KeyRing::builder(RING).store(store).rotation(policy).open().await.expect("opens");
    let clone = ring.clone();
    // The task waits for its next read now.
    tokio::task::yield_now().await;
    drop(ring);
    tokio::task::yield_now().await;
    assert!(connection.upgrade().is_some(), "a clone is left");
    drop(clone);
    tokio::task::yield_now().await;
    assert!(connection.upgrade().is_none(), "the store is still held");
    assert_eq!((tasks(), began.elapsed()), (0, Duration::ZERO));
}

#[tokio::test]
async fn directory_ring_dropped_ends_its_task_at_once() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let key = include_str!("../../keys/pem/ed25519.pem");
    std::fs::write(place.path().join("a.pem"), key).expect("writes");
    let ring = KeyRing::directory(place.path()).open().await.expect("opens");
    tokio::task::yield_now().await;
    tokio::time::pause();
    let began = Instant::now();
    assert_eq!(tasks(), 1);
    drop(ring);
    tokio::task::yield_now().await;
    assert_eq!((tasks(), began.elapsed()), (0, Duration::ZERO));
}
