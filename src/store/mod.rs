//! Where replicas meet: a [`Store`] holds a ring's write-once entries.
//!
//! A store is dumb on purpose. It keeps small named values per ring, and promises three things:
//!
//! 1. **Insert-if-absent is linearizable.** Of any number of writers of one name exactly one is
//!    told [`Insertion::Inserted`]; every other is given the winner's value. Only a writer of that
//!    same value may be told `Inserted` too.
//! 2. **A read that follows an insert sees it**, whoever made it; where a cache stands between
//!    (a network file system), within [`Store::staleness`].
//! 3. **Values are whole.** A reader sees all of a value or none of it, whenever a writer dies.
//!
//! What the values mean, which of them replicas put back after a loss and when they are removed is
//! decided by the ring alone, so that every store is small and all behave alike.

mod file;
mod memory;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use zeroize::Zeroizing;

pub use file::{FileStore, FileStoreBuilder};
pub use memory::MemoryStore;

/// What a [`Store`]'s methods return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where the replicas of a service meet. See the [module](self) for what it promises.
///
/// `ring` is a ring's name: 1 to 64 of `a-z A-Z 0-9 . _ -`, the first not a dot. One store can
/// hold any number of rings, and they don't see each other.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads all that the store holds for `ring`; an unknown ring is empty.
    ///
    /// Something that can't be an entry is skipped and told, and hides no other entry.
    ///
    /// # Errors
    ///
    /// If the store can't be reached or read as a whole.
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded>;

    /// Writes `entry` unless an entry of that name is there.
    ///
    /// # Errors
    ///
    /// If the store can't be reached or written, or the value is longer than [`Entry::MAX_BYTES`].
    /// The entry may have been written all the same, as it may when the future is dropped.
    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion>;

    /// Removes the entry of that name, if it is there.
    ///
    /// # Errors
    ///
    /// If the store can't be reached or written.
    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()>;

    /// Waits until something may have changed in `ring` since the last such call returned.
    ///
    /// Stores that can't tell wait for ever, which is what this does unless it is implemented. A
    /// missed change costs one refresh interval and no more, since replicas poll as well.
    ///
    /// # Errors
    ///
    /// If the store can't be listened to at present.
    fn changed<'a>(&'a self, _ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(std::future::pending())
    }

    /// Whether private keys have to be sealed in it.
    fn sealing_need(&self) -> SealingNeed {
        SealingNeed::Required
    }

    /// The longest time for which a successful [`load`](Self::load) may miss an entry that was
    /// inserted before it; zero unless a cache stands between.
    fn staleness(&self) -> Duration {
        Duration::ZERO
    }
}

/// Whether private keys have to be sealed in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealingNeed {
    /// More people can read it than those who run the service: they have to be, unless the
    /// application says otherwise by name.
    Required,
    /// Others are kept out of it: it is advised, and told when a ring is opened without.
    Advised,
    /// Nothing rests in it.
    Needless,
}

/// What a [`Store`] holds for a ring.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Loaded {
    /// The entries, in any order.
    pub entries: Vec<Entry>,
    /// What was found and can't be an entry.
    pub skipped: Vec<Skipped>,
}

/// Something in a store that is not served: where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What the store calls it: a path, a field, a row.
    pub name: String,
    /// Why it was skipped, and where it helps, the mend.
    pub reason: String,
}

/// What became of an [insert](Store::insert).
#[derive(Debug, PartialEq, Eq)]
pub enum Insertion {
    /// The entry is now in the store; nobody else's was.
    Inserted,
    /// Another was there first: its value.
    Exists(Zeroizing<Vec<u8>>),
    /// Something that can't be an entry stands in its place, for the reason given: nothing can be
    /// written there until it is removed.
    Unreadable(String),
}

/// A named value in a store. The value may hold secrets: it is zeroized and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, unique in its ring.
    pub name: EntryName,
    /// The value, at most [`Entry::MAX_BYTES`].
    pub value: Zeroizing<Vec<u8>>,
}

impl Entry {
    /// The length that no entry's value exceeds: 64 KiB. A store may skip what is longer.
    pub const MAX_BYTES: usize = 64 * 1024;
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The name of an [`Entry`]: 1 to 128 of `a-z A-Z 0-9 _ -`, so that it is safe in a path, a key
/// or a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Box<str>);

impl EntryName {
    /// Parses a name; `None` if it has no such form.
    pub fn parse(name: impl Into<Box<str>>) -> Option<Self> {
        let name = name.into();
        let form = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        ((1..=128).contains(&name.len()) && name.bytes().all(form)).then_some(Self(name))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a store could not be opened, read or written: what was tried, and the cause.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct StoreError {
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// An error that says what could not be done, and to what.
    pub fn new(context: impl Into<String>) -> Self {
        Self { context: context.into(), source: None }
    }

    /// The same, with its cause.
    pub fn with_source(
        context: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { context: context.into(), source: Some(source.into()) }
    }
}
