//! A store that counts who came second.

use crate::support::delegate::delegate;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tower_jwt_session::store::{Entry, Insertion, Store, StoreFuture};

/// A store that counts the inserts which found another's entry.
#[derive(Debug)]
pub(crate) struct Counted<S> {
    pub(crate) store: S,
    pub(crate) lost: Arc<AtomicUsize>,
}

impl<S: Store> Store for Counted<S> {
    delegate!(store: load remove changed properties);

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        Box::pin(async move {
            let outcome = self.store.insert(ring, entry).await;
            if let Ok(Insertion::Exists(_)) = outcome {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            outcome
        })
    }
}
