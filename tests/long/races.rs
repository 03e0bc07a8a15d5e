//! Two replicas that both find the next key due, again and again: one key per generation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Barrier;
use tower_jwt_session::store::{
    FileStore, Loaded, MemoryStore, Store, StoreFuture, StoreProperties,
};

use crate::support::counted::Counted;
use crate::support::delegate::delegate;
use crate::support::replicas::{Replica, START, assert_converged, policy, seconds};
use crate::support::stores::nothing_at_rest;

const TRIALS: u64 = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_rotators_in_memory_make_one_key_per_generation() {
    let store = MemoryStore::new();
    race(|| store.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_rotators_in_a_directory_make_one_key_per_generation() {
    let place = tempfile::tempdir().expect("a temporary directory");
    race(|| FileStore::open(place.path().join("keys")).expect("opens")).await;
}

async fn race<S: Store>(store: impl Fn() -> S) {
    let meeting = Arc::new(Meeting { barrier: Barrier::new(2), begun: AtomicBool::new(false) });
    let lost = Arc::new(AtomicUsize::new(0));
    let racing = || {
        let store = Racing { store: store(), meeting: Arc::clone(&meeting) };
        Counted { store, lost: Arc::clone(&lost) }
    };
    // The background comes too late to meddle.
    let policy = policy().refresh_interval(seconds(3600)).signing_period(seconds(24 * 3600));
    let one = Replica::open_with(racing(), policy.clone(), START).await;
    let two = Replica::open_with(racing(), policy.clone(), START).await;
    two.refresh().await;
    one.refresh().await;
    meeting.begun.store(true, Ordering::Relaxed);
    for trial in 0..TRIALS {
        // The moment at which both find the next key due.
        let generation = trial + 2;
        let now = one.times(generation - 1).signs_from - policy.full_lead();
        let refreshes = [&one, &two].map(|replica| {
            replica.clock.set(now);
            let ring = replica.ring.clone();
            tokio::spawn(async move { ring.refresh().await })
        });
        for refresh in refreshes {
            refresh.await.expect("ends").expect("the store is up");
        }
        assert_converged(&[&one, &two]);
        let status = one.ring.status();
        assert!(status.skipped.is_empty(), "trial {trial}: {:?}", status.skipped);
        let generations = one.generations();
        assert_eq!(generations.last(), Some(&generation), "trial {trial}");
        assert!(generations.is_sorted_by(|a, b| a < b), "trial {trial}: {generations:?}");
    }
    // Both wrote, each time, and one of them lost.
    assert_eq!(lost.load(Ordering::Relaxed) as u64, TRIALS);
}

/// Once it has begun, both replicas have read before either writes.
#[derive(Debug)]
struct Meeting {
    barrier: Barrier,
    begun: AtomicBool,
}

/// A store whose users meet.
#[derive(Debug)]
struct Racing<S> {
    store: S,
    meeting: Arc<Meeting>,
}

impl<S: Store> Store for Racing<S> {
    delegate!(store: insert remove);

    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let loaded = self.store.load(ring).await;
            if self.meeting.begun.load(Ordering::Relaxed) {
                self.meeting.barrier.wait().await;
            }
            loaded
        })
    }

    fn properties(&self) -> StoreProperties {
        nothing_at_rest()
    }
}
