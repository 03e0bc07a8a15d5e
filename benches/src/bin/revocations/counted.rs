//! A store that counts what a replica does with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Advance, Cursor, Entry, EntryName, FeedRead, Insertion, Loaded, Register, RegisterId,
    RevocationStore, RevokedSession, Store, StoreFuture, StoreProperties,
};

/// The store, and what was counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) store: Arc<dyn RevocationStore>,
    pub(crate) counts: Arc<Counts>,
}

/// What was done, by one replica or by several.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Writes of any kind.
    pub(crate) writes: AtomicU64,
    /// The sessions that were appended.
    pub(crate) appended: AtomicU64,
    /// Reads of the feed.
    pub(crate) reads: AtomicU64,
    /// Changes that the store reported.
    pub(crate) hints: AtomicU64,
}

impl Counted {
    /// One whose counts nobody reads.
    pub(crate) fn new(store: Arc<dyn RevocationStore>) -> Self {
        Self { store, counts: Arc::default() }
    }
}

impl Counts {
    pub(crate) fn of(count: &AtomicU64) -> f64 {
        count.load(Ordering::Relaxed) as f64
    }
}

fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Ordering::Relaxed);
}

impl Store for Counted {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        self.store.load(ring)
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        add(&self.counts.writes, 1);
        self.store.insert(ring, entry)
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        add(&self.counts.writes, 1);
        self.store.remove(ring, name)
    }

    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.store.changed(ring).await?;
            add(&self.counts.hints, 1);
            Ok(())
        })
    }

    fn properties(&self) -> StoreProperties {
        self.store.properties()
    }
}

impl RevocationStore for Counted {
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        add(&self.counts.writes, 1);
        add(&self.counts.appended, sessions.len());
        self.store.append(feed, sessions, now)
    }

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        add(&self.counts.writes, 1);
        self.store.advance(feed, advance)
    }

    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        add(&self.counts.writes, 1);
        self.store.restore(feed, held, now)
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        self.store.registers(feed, ids)
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        add(&self.counts.reads, 1);
        self.store.read_feed(feed, cursor)
    }
}
