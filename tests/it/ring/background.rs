//! The background task: it refreshes by itself, and ends with the ring.

use std::time::Duration;

use tower_jwt_session::KeyRing;
use tower_jwt_session::testing::ManualClock;

use crate::replicas::stores::{Operation, TestStore};
use crate::replicas::{RING, START, policy};

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
