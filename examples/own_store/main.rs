//! A store of your own: maps in this process, and in `feed.rs` the feeds of revocations. Its tests are the
//! promises of all stores. Replace the maps by the engine that your service already has.
//!
//! ```text
//! cargo test --features test-util --example own_store
//! ```

mod feed;

use std::collections::{BTreeMap, HashMap, btree_map};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;
use tower_jwt_session::store::{
    Entry, EntryName, Insertion, Loaded, Redeemed, Redemption, RefreshTokenStore, SealingNeed,
    SecretBytes, Store, StoreError, StoreFuture, StoreProperties,
};
use tower_jwt_session::{KeyRing, Login, RefreshTokens, Revocations, Sessions, Timestamp};

/// By ring, and by the entry's or the family's name.
type Named<T> = Arc<Mutex<BTreeMap<(String, EntryName), T>>>;

/// The handle of one replica.
#[derive(Clone, Debug)]
struct OwnStore {
    entries: Named<SecretBytes>,
    /// The latest redemption of each family, and until when it is kept.
    redeemed: Named<(Redeemed, Timestamp)>,
    feeds: Arc<Mutex<HashMap<String, feed::Feed>>>,
    changes: watch::Sender<()>,
    /// Which changes this handle has seen, of whichever ring.
    seen: Arc<tokio::sync::Mutex<watch::Receiver<()>>>,
}

impl OwnStore {
    fn new() -> Self {
        let ((changes, seen), entries) = (watch::channel(()), Arc::default());
        let (redeemed, feeds, seen) = (Arc::default(), Arc::default(), Arc::new(seen.into()));
        Self { entries, redeemed, feeds, changes, seen }
    }

    /// Opens the handle of another replica.
    fn handle(&self) -> Self {
        Self { seen: Arc::new(self.changes.subscribe().into()), ..self.clone() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while it is locked")
}

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

impl RefreshTokenStore for OwnStore {
    fn redeem<'a>(
        &'a self,
        ring: &'a str,
        redemption: &'a Redemption,
    ) -> StoreFuture<'a, Redeemed> {
        Box::pin(async move {
            let Redemption { family, sequence, at, keep_for, .. } = redemption;
            let mut redeemed = lock(&self.redeemed);
            redeemed.retain(|_, (_, until)| *until > *at);
            let own = (Redeemed::new(*sequence, *at), *at + *keep_for);
            let (latest, until) = redeemed.entry((ring.to_owned(), family.clone())).or_insert(own);
            if latest.sequence < *sequence {
                *latest = own.0;
            }
            *until = own.1.max(*until);
            Ok(*latest)
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = OwnStore::new();
    let keys = KeyRing::builder("app").store(store.handle()).open().await?;
    let revocations = Revocations::builder("app").store(store.handle()).open().await?;
    let sessions = Sessions::<()>::builder(keys, "https://app.example", "app");
    let sessions = sessions.refresh_tokens(RefreshTokens::new().store(store));
    let sessions = sessions.revocations(revocations).build()?;
    let login = sessions.issue_with_refresh_token(&Login::new("alice", ()))?;
    let next = sessions.refresh(login.refresh_token.as_str()).await?;
    println!("{}", sessions.validate(next.access_token.as_str())?.subject());
    Ok(())
}

#[cfg(test)]
mod tests {
    use tower_jwt_session::testing::store_contract;

    async fn empty_store() -> impl AsyncFn() -> super::OwnStore {
        let store = super::OwnStore::new();
        async move || store.handle()
    }

    store_contract::store_tests!(empty_store);
    store_contract::refresh_token_store_tests!(empty_store);
    store_contract::revocation_store_tests!(empty_store);
}
