//! A store of your own, a file per trait: keys (`entries.rs`), refresh tokens (`refresh_tokens.rs`) and revocations
//! (`revocations.rs`, with its logs in `feed.rs`). Its tests are the promises of all stores. Replace the maps by the
//! engine that your service already has.
//!
//! ```text
//! cargo test --features test-util --example own_store
//! ```

mod entries;
mod feed;
mod refresh_tokens;
mod revocations;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;
use tower_jwt_session::store::{EntryName, Redeemed, SecretBytes};
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
