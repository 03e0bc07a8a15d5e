//! Stores that fail, hang, forget and remember as a test says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Barrier, Notify};
use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Advance, Cursor, Entry, EntryName, FeedPage, FeedRead, Insertion, Loaded, MemoryStore,
    Redeemed, Redemption, RefreshTokenStore, Register, RegisterId, RevocationStore, RevokedSession,
    SealingNeed, Store, StoreError, StoreFuture, StoreProperties,
};
use tower_jwt_session::testing::ManualClock;

use super::delegate::delegate;
use super::replicas::{RING, START};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Load,
    Read,
    Insert,
    Remove,
    Redeem,
    Append,
    Advance,
    Restore,
    Registers,
    ReadFeed,
}

use Operation::{
    Advance as Advances, Append, Insert, Load, Read, ReadFeed, Redeem, Registers, Remove, Restore,
};

/// One replica's connection to a store in memory. Clones are the same connection; siblings share
/// the content alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestStore {
    content: MemoryStore,
    /// The feeds, which a test can empty or replace by an older copy: then they have another incarnation.
    feeds: Arc<Mutex<MemoryStore>>,
    /// What the store's own clock shows; none, unless it is set.
    time: Arc<Mutex<Option<Timestamp>>>,
    connection: Arc<Connection>,
    reach: Reach,
}

/// What a store says of who reaches it, and of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This process alone; it reports no change.
    #[default]
    Private,
    /// Other processes, to which it reports changes.
    Notifying,
    /// Other processes, which have to poll.
    Polled,
}

#[derive(Debug, Default)]
struct Connection {
    orders: Mutex<Orders>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Orders {
    failing: BTreeSet<Operation>,
    hanging: BTreeSet<Operation>,
    /// How many inserts succeed before they fail.
    inserts_left: Option<usize>,
    /// What is written is done, and the answer lost.
    loses_answers: bool,
    calls: Vec<(Operation, String)>,
    meeting: Option<Arc<Barrier>>,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// As a server or a directory is, that other processes reach.
    pub(crate) fn shared(reach: Reach) -> Self {
        Self { reach, ..Self::default() }
    }

    /// Another replica's connection to the same content.
    pub(crate) fn sibling(&self) -> Self {
        let Self { content, feeds, time, reach, .. } = self.clone();
        Self { content, feeds, time, connection: Arc::default(), reach }
    }

    /// From now on the store has a clock, which shows that, to all.
    pub(crate) fn show_time(&self, now: Timestamp) {
        *self.time.lock().expect("no test panics in here") = Some(now);
    }

    pub(crate) fn down(&self) {
        self.fail(&[
            Load, Read, Insert, Remove, Redeem, Append, Advances, Restore, Registers, ReadFeed,
        ]);
    }

    pub(crate) fn up(&self) {
        let mut orders = self.orders();
        orders.failing.clear();
        orders.hanging.clear();
        orders.inserts_left = None;
        orders.loses_answers = false;
        self.connection.changed.notify_waiters();
    }

    pub(crate) fn fail(&self, operations: &[Operation]) {
        self.orders().failing.extend(operations);
    }

    pub(crate) fn hang(&self, operations: &[Operation]) {
        self.orders().hanging.extend(operations);
    }

    pub(crate) fn fail_after_inserts(&self, inserts: usize) {
        self.orders().inserts_left = Some(inserts);
    }

    pub(crate) fn lose_answers(&self) {
        self.orders().loses_answers = true;
    }

    /// Who has loaded for the first time waits for the others before going on.
    pub(crate) fn meet_after_load(&self, meeting: Option<Arc<Barrier>>) {
        self.orders().meeting = meeting;
    }

    /// The names that were asked for by that operation.
    pub(crate) fn calls(&self, operation: Operation) -> Vec<String> {
        let calls = &self.orders().calls;
        let names = calls.iter().filter(|(of, _)| *of == operation).map(|(_, name)| name.clone());
        names.collect()
    }

    pub(crate) fn forget_calls(&self) {
        self.orders().calls.clear();
    }

    /// Waits until a call of that operation has come in.
    pub(crate) async fn called(&self, operation: Operation) {
        while self.calls(operation).is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// What the store holds for the ring.
    pub(crate) async fn entries(&self) -> BTreeMap<String, Vec<u8>> {
        self.entries_of(RING).await
    }

    pub(crate) async fn entries_of(&self, ring: &str) -> BTreeMap<String, Vec<u8>> {
        let loaded = self.content.load(ring).await.expect("memory does not fail");
        let entry = |entry: Entry| (entry.name.to_string(), entry.value.to_vec());
        loaded.entries.into_iter().map(entry).collect()
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        self.entries().await.into_keys().collect()
    }

    /// Makes the store hold that and nothing else.
    pub(crate) async fn restore(&self, entries: &BTreeMap<String, Vec<u8>>) {
        self.restore_of(RING, entries).await;
    }

    pub(crate) async fn restore_of(&self, ring: &str, entries: &BTreeMap<String, Vec<u8>>) {
        for name in self.entries_of(ring).await.into_keys() {
            self.delete_of(ring, &name).await;
        }
        for (name, value) in entries {
            self.put_of(ring, name, value).await;
        }
    }

    pub(crate) async fn purge(&self) {
        self.restore(&BTreeMap::new()).await;
    }

    /// Sets an entry, whatever was there.
    pub(crate) async fn put(&self, name: &str, value: &[u8]) {
        self.put_of(RING, name, value).await;
    }

    pub(crate) async fn put_of(&self, ring: &str, name: &str, value: &[u8]) {
        self.delete_of(ring, name).await;
        let name = EntryName::parse(name).expect("a name");
        let entry = Entry::new(name, value.to_vec());
        self.content.insert(ring, &entry).await.expect("memory does not fail");
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.delete_of(RING, name).await;
    }

    pub(crate) async fn delete_of(&self, ring: &str, name: &str) {
        let name = EntryName::parse(name).expect("a name");
        self.content.remove(ring, &name).await.expect("memory does not fail");
    }

    fn feeds(&self) -> MemoryStore {
        self.feeds.lock().expect("no test panics in here").clone()
    }

    /// What the feed holds.
    pub(crate) async fn feed(&self, feed: &str) -> FeedPage {
        match self.feeds().read_feed(feed, None).await.expect("memory does not fail") {
            FeedRead::Page(page) if !page.has_more => page,
            read => panic!("a short feed: {read:?}"),
        }
    }

    /// A copy of the feed, to be restored later.
    pub(crate) async fn copy_of_feed(&self, feed: &str) -> MemoryStore {
        let (copy, page, now) = (MemoryStore::new(), self.feed(feed).await, START);
        copy.append(feed, &page.sessions, now).await.expect("memory does not fail");
        copy.restore(feed, &page.registers, now).await.expect("memory does not fail");
        copy
    }

    /// Replaces all feeds.
    pub(crate) fn replace_feeds(&self, feeds: MemoryStore) {
        *self.feeds.lock().expect("no test panics in here") = feeds;
    }

    /// Loses the feeds, and the entries of that ring: all that there is of revocations.
    pub(crate) async fn purge_feed(&self, feed: &str) {
        self.replace_feeds(MemoryStore::new());
        self.restore_of(feed, &BTreeMap::new()).await;
    }

    /// Does what a write does, and loses its answer if it is to.
    async fn answered<T>(
        &self,
        (operation, what): (Operation, String),
        write: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.obey(operation, &what).await?;
        let written = write.await;
        // Followers of this store are notified by its entries.
        let name = EntryName::parse("woken").expect("a name");
        let entry = Entry::new(name.clone(), Vec::new());
        self.content.insert("feeds", &entry).await?;
        self.content.remove("feeds", &name).await?;
        if self.orders().loses_answers {
            return Err(StoreError::new("the answer was lost"));
        }
        written
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.connection.orders.lock().expect("no test panics in here")
    }

    async fn obey(&self, operation: Operation, name: &str) -> Result<(), StoreError> {
        self.orders().calls.push((operation, name.to_owned()));
        loop {
            let changed = self.connection.changed.notified();
            if !self.orders().hanging.contains(&operation) {
                break;
            }
            changed.await;
        }
        let mut orders = self.orders();
        let failing = orders.failing.contains(&operation);
        let exhausted = operation == Insert
            && orders.inserts_left.as_mut().is_some_and(|left| {
                let exhausted = *left == 0;
                *left = left.saturating_sub(1);
                exhausted
            });
        if failing || exhausted {
            return Err(StoreError::new(format!("the test's store refuses to {operation:?}")));
        }
        Ok(())
    }
}

impl Store for TestStore {
    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        match self.reach {
            Reach::Notifying => self.content.changed(ring),
            Reach::Private | Reach::Polled => Box::pin(std::future::pending()),
        }
    }

    fn properties(&self) -> StoreProperties {
        let mut properties = self.content.properties();
        properties.notifies = self.reach == Reach::Notifying;
        properties.is_private = self.reach == Reach::Private;
        properties
    }

    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            self.obey(Load, "").await?;
            let mut loaded = self.content.load(ring).await?;
            loaded.store_time = *self.time.lock().expect("no test panics in here");
            let meeting = self.orders().meeting.take();
            if let Some(meeting) = meeting {
                meeting.wait().await;
            }
            Ok(loaded)
        })
    }

    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            self.obey(Read, names.first().map_or("", EntryName::as_str)).await?;
            self.content.read(ring, names).await
        })
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        Box::pin(async move {
            self.obey(Insert, entry.name.as_str()).await?;
            let insertion = self.content.insert(ring, entry).await;
            if self.orders().loses_answers {
                return Err(StoreError::new("the answer was lost"));
            }
            insertion
        })
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.obey(Remove, name.as_str()).await?;
            self.content.remove(ring, name).await
        })
    }
}

impl RefreshTokenStore for TestStore {
    fn redeem<'a>(
        &'a self,
        ring: &'a str,
        redemption: &'a Redemption,
    ) -> StoreFuture<'a, Redeemed> {
        Box::pin(async move {
            self.obey(Redeem, redemption.family.as_str()).await?;
            let redeemed = self.content.redeem(ring, redemption).await;
            if self.orders().loses_answers {
                return Err(StoreError::new("the answer was lost"));
            }
            redeemed
        })
    }
}

impl RevocationStore for TestStore {
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let what = (Append, sessions.len().to_string());
            self.answered(what, self.feeds().append(feed, sessions, now)).await
        })
    }

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        Box::pin(async move {
            let what = (Advances, format!("{:?}", advance.id));
            self.answered(what, self.feeds().advance(feed, advance)).await
        })
    }

    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let what = (Restore, held.len().to_string());
            self.answered(what, self.feeds().restore(feed, held, now)).await
        })
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        Box::pin(async move {
            self.obey(Registers, &format!("{ids:?}")).await?;
            self.feeds().registers(feed, ids).await
        })
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        Box::pin(async move {
            self.obey(ReadFeed, if cursor.is_none() { "whole" } else { "new" }).await?;
            self.feeds().read_feed(feed, cursor).await
        })
    }
}

/// The properties of a store that other processes reach, and that keeps nothing at rest.
pub(crate) fn nothing_at_rest() -> StoreProperties {
    let mut properties = StoreProperties::default();
    properties.sealing_need = SealingNeed::NotApplicable;
    properties
}

/// An entry as JSON, with a key's record as an object where it is a string of JSON.
pub(crate) fn unpack(value: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(value).expect("an entry is JSON");
    if let Some(record) = value.get_mut("record") {
        *record = serde_json::from_str(record.as_str().expect("text")).expect("a record is JSON");
    }
    value
}

/// The entry of that content, its record a string again.
pub(crate) fn pack(mut value: Value) -> Vec<u8> {
    if let Some(record) = value.get_mut("record") {
        *record = Value::String(record.to_string());
    }
    value.to_string().into_bytes()
}

/// A store on which each insert takes a time, by the clock of the replicas.
#[derive(Clone, Debug)]
pub(crate) struct SlowInserts {
    pub(crate) store: TestStore,
    pub(crate) clock: ManualClock,
    pub(crate) takes: Duration,
}

impl Store for SlowInserts {
    delegate!(store: load remove);

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        self.clock.advance(self.takes);
        self.store.insert(ring, entry)
    }

    fn properties(&self) -> StoreProperties {
        nothing_at_rest()
    }
}
