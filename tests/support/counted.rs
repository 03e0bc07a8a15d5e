//! A store that counts who came second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tower_jwt_session::store::{
    Entry, EntryName, Insertion, Loaded, SealingNeed, Store, StoreFuture,
};

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
