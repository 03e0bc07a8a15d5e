//! Keys: small entries that are written once.

use std::collections::btree_map;

use tower_jwt_session::store::{
    Entry, EntryName, Insertion, Loaded, SealingNeed, Store, StoreError, StoreFuture,
    StoreProperties,
};

use crate::{OwnStore, lock};

impl Store for OwnStore {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let mut loaded = Loaded::default();
            for ((_, name), value) in lock(&self.entries).iter().filter(|((of, _), _)| of == ring) {
                loaded.entries.push(Entry::new(name.clone(), value.clone()));
            }
            Ok(loaded)
        })
    }

    // One atomic step: of several writers of a name one inserts, and the others get its value.
    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        Box::pin(async move {
            if entry.value.len() > Entry::MAX_BYTES {
                return Err(StoreError::new("could not insert an entry: it is too long"));
            }
            match lock(&self.entries).entry((ring.to_owned(), entry.name.clone())) {
                btree_map::Entry::Occupied(taken) => Ok(Insertion::Exists(taken.get().clone())),
                btree_map::Entry::Vacant(free) => {
                    free.insert(entry.value.clone());
                    self.changes.send_replace(());
                    Ok(Insertion::Inserted)
                }
            }
        })
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            lock(&self.entries).remove(&(ring.to_owned(), name.clone()));
            Ok(())
        })
    }

    fn changed<'a>(&'a self, _ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let closed = |error| StoreError::with_source("could not wait for changes", error);
            self.seen.lock().await.changed().await.map_err(closed)
        })
    }

    fn properties(&self) -> StoreProperties {
        let mut properties = StoreProperties::default();
        (properties.is_private, properties.notifies) = (true, true);
        properties.sealing_need = SealingNeed::NotApplicable;
        properties
    }
}
