//! A store in this process's memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::crypto::secret_bytes::SecretBytes;
use crate::store::contract::{
    Entry, EntryName, Insertion, Loaded, SealingNeed, Store, StoreFuture, StoreProperties,
};
use crate::store::feed::{
    Advance, Cursor, FeedRead, Register, RegisterId, RevocationStore, RevokedSession,
};
use crate::store::memory_feed::Feeds;
use crate::store::redemption::{Redeemed, Redemption, RefreshTokenStore};
use crate::sync::lock;

type Rings = HashMap<String, BTreeMap<EntryName, SecretBytes>>;

/// A [`Store`] and [`RefreshTokenStore`] in memory, for tests and for services of a single process.
///
/// 1. Clones share their content: give each replica of a test a clone.
/// 2. The content is lost with the last clone. A service that must keep its sessions over a restart,
///    or that has more than one process, needs another store or a derived ring.
///
/// ```
/// use tower_jwt_session::store::{Entry, EntryName, Insertion, MemoryStore, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let name = EntryName::parse("generation-0").ok_or("not a name")?;
/// let entry = |value: &str| Entry::new(name.clone(), value.as_bytes().to_vec());
/// let replica = MemoryStore::new();
/// let other_replica = replica.clone();
///
/// let first = replica.insert("main", &entry("first")).await?;
/// assert_eq!(first, Insertion::Inserted);
///
/// let second = other_replica.insert("main", &entry("second")).await?;
/// assert_eq!(second, Insertion::Exists(entry("first").value));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    /// The version at which [`changed`](Store::changed) last returned to this handle.
    seen: AtomicU64,
}

#[derive(Default)]
struct Shared {
    rings: Mutex<Rings>,
    families: Mutex<Families>,
    feeds: Mutex<Feeds>,
    version: watch::Sender<u64>,
}

/// Without the content.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The latest redemption of each family of each ring.
#[derive(Default)]
struct Families {
    /// Each with the time until which it is kept.
    last: HashMap<(String, EntryName), (Redeemed, Timestamp)>,
    /// The number of records at which expired ones are dropped next.
    purge_at: usize,
}

impl Families {
    fn redeem(&mut self, ring: &str, redemption: &Redemption) -> Redeemed {
        if self.last.len() >= self.purge_at {
            self.last.retain(|_, (_, until)| *until > redemption.at);
            // Not before as many again have come, so that each costs the same.
            self.purge_at = (2 * self.last.len()).max(64);
        }
        let mine = Redeemed::new(redemption.sequence, redemption.at);
        let kept = redemption.at + redemption.keep_for;
        let family = (ring.to_owned(), redemption.family.clone());
        let (last, until) = self.last.entry(family).or_insert((mine, kept));
        if last.sequence < mine.sequence {
            *last = mine;
        }
        // A later token that is kept for less must not shorten how long its family is kept.
        *until = kept.max(*until);
        *last
    }
}

impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        let seen = AtomicU64::new(*self.shared.version.borrow());
        Self { shared: self.shared.clone(), seen }
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

// Each future does its work when it is polled, not when it is made, as those of other stores do.
impl Store for MemoryStore {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let rings = lock(&self.shared.rings);
            let held = rings.get(ring).into_iter().flatten();
            let entries =
                held.map(|(name, value)| Entry::new(name.clone(), value.clone())).collect();
            Ok(Loaded { entries, ..Loaded::default() })
        })
    }

    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let rings = lock(&self.shared.rings);
            let held = rings.get(ring);
            let entry = |name: &EntryName| {
                let value = held?.get(name)?;
                Some(Entry::new(name.clone(), value.clone()))
            };
            let entries = names.iter().filter_map(entry).collect();
            Ok(Loaded { entries, ..Loaded::default() })
        })
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        Box::pin(async move {
            entry.check_length()?;
            let mut rings = lock(&self.shared.rings);
            let ring = rings.entry(ring.to_owned()).or_default();
            if let Some(value) = ring.get(&entry.name) {
                return Ok(Insertion::Exists(value.clone()));
            }
            ring.insert(entry.name.clone(), entry.value.clone());
            if !entry.name.is_probe() {
                self.shared.version.send_modify(|version| *version += 1);
            }
            Ok(Insertion::Inserted)
        })
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            if let Some(ring) = lock(&self.shared.rings).get_mut(ring) {
                ring.remove(name);
            }
            Ok(())
        })
    }

    fn changed<'a>(&'a self, _ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut versions = self.shared.version.subscribe();
            let seen = self.seen.load(Ordering::Relaxed);
            // The sender lives as long as this handle.
            if let Ok(version) = versions.wait_for(|version| *version != seen).await {
                self.seen.store(*version, Ordering::Relaxed);
            }
            Ok(())
        })
    }

    fn properties(&self) -> StoreProperties {
        StoreProperties {
            is_private: true,
            notifies: true,
            sealing_need: SealingNeed::NotApplicable,
            staleness: Duration::ZERO,
        }
    }
}

impl MemoryStore {
    fn change<T>(&self, change: impl FnOnce(&mut Feeds) -> T) -> T {
        let changed = change(&mut lock(&self.shared.feeds));
        self.shared.version.send_modify(|version| *version += 1);
        changed
    }
}

impl RevocationStore for MemoryStore {
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.change(|feeds| feeds.append(feed, sessions, now));
            Ok(())
        })
    }

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        Box::pin(async move { self.change(|feeds| feeds.advance(feed, advance)) })
    }

    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.change(|feeds| feeds.restore(feed, held, now));
            Ok(())
        })
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        Box::pin(async move { Ok(lock(&self.shared.feeds).registers(feed, ids)) })
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        Box::pin(async move { Ok(lock(&self.shared.feeds).read(feed, cursor)) })
    }
}

impl RefreshTokenStore for MemoryStore {
    fn redeem<'a>(
        &'a self,
        ring: &'a str,
        redemption: &'a Redemption,
    ) -> StoreFuture<'a, Redeemed> {
        Box::pin(async move { Ok(lock(&self.shared.families).redeem(ring, redemption)) })
    }
}
