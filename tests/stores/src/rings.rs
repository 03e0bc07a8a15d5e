//! Key rings on the stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tower_jwt_session::store::{
    Entry, EntryName, Insertion, Loaded, SealingNeed, Store, StoreFuture,
};
use tower_jwt_session::{Clock, KeyRing, RotationPolicy, SealingKey};

/// Opens a ring: the one place where these tests do.
pub(crate) async fn open(
    name: &str,
    store: impl Store,
    policy: RotationPolicy,
    clock: impl Clock,
) -> KeyRing {
    let secret: Vec<u8> = (1..33).collect();
    let sealing_key = SealingKey::new(secret).expect("32 different bytes");
    let ring = KeyRing::builder(name).store(store).seal_with([sealing_key]);
    let ring = ring.rotation(policy).clock(clock);
    ring.open().await.expect("opens a ring")
}

/// Polling comes too late for any test.
pub(crate) fn hardly_polled() -> RotationPolicy {
    RotationPolicy::new().refresh_interval(Duration::from_secs(3600))
}

/// A store that counts the inserts which found another's entry.
#[derive(Debug)]
pub(crate) struct Counted<S> {
    pub(crate) store: S,
    pub(crate) lost: Arc<AtomicUsize>,
}

impl<S: Store> Store for Counted<S> {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        self.store.load(ring)
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        Box::pin(async move {
            let outcome = self.store.insert(ring, entry).await;
            if let Ok(Insertion::Exists(_)) = outcome {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            outcome
        })
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        self.store.remove(ring, name)
    }

    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        self.store.changed(ring)
    }

    fn sealing_need(&self) -> SealingNeed {
        self.store.sealing_need()
    }

    fn staleness(&self) -> Duration {
        self.store.staleness()
    }
}
