//! [`Store`] and its parts: the contract of the place where replicas meet.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::crypto::secret_bytes::SecretBytes;
use crate::error::macros::debug_as_display;

/// The future that a [`Store`]'s methods return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The place where the replicas of a service meet. The [module](crate::store) lists its promises.
///
/// `ring` is a ring's name: 1 to 64 of `a-z A-Z 0-9 . _ -`, the first not a dot. One store can
/// hold any number of rings; they are independent of each other.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads all entries of `ring`; an unknown ring is empty.
    ///
    /// Data that is not an entry is returned in [`Loaded::skipped`], and hides no other entry.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be reached or read as a whole.
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded>;

    /// Reads the named entries that exist. A caller that sees one of them also sees those named
    /// before it, if they were inserted before it.
    ///
    /// The default implementation reads all entries.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be reached or read.
    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let mut loaded = self.load(ring).await?;
            loaded.entries.retain(|entry| names.contains(&entry.name));
            Ok(loaded)
        })
    }

    /// Inserts `entry` if no entry of that name exists.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be reached or written, or the value is longer than
    /// [`Entry::MAX_BYTES`]. The entry may still have been written, also if the future is dropped.
    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion>;

    /// Removes the entry of that name, if it exists.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be reached or written.
    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()>;

    /// Returns the time by the store's own clock, if it has one that [`load`](Store::load) does not
    /// read.
    ///
    /// A replica asks before it removes keys that have ended by its own clock, and leaves those that
    /// have not ended by the store's: one whose clock is ahead removes nothing that others use. The
    /// default implementation returns `None`: the replica's clock alone counts.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be reached, or must be written for that and can't. Then nothing is removed.
    fn time<'a>(&'a self, _ring: &'a str) -> StoreFuture<'a, Option<Timestamp>> {
        Box::pin(async { Ok(None) })
    }

    /// Completes when something may have changed in `ring` since the last such call returned.
    ///
    /// The default implementation never completes. A missed change costs at most one refresh
    /// interval, since replicas also poll. An entry whose name begins with `probe-` only tests
    /// whether the store accepts writes: it need not wake anyone.
    ///
    /// # Errors
    ///
    /// Fails if the store can't report changes at present.
    fn changed<'a>(&'a self, _ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(std::future::pending())
    }

    /// Returns what the store can do, and who has access to it.
    fn properties(&self) -> StoreProperties {
        StoreProperties::default()
    }
}

/// What a [`Store`] can do, and who has access to it; see [`Store::properties`].
///
/// A store sets those that differ from the defaults: `false`, a sealing need of
/// [`Required`](SealingNeed::Required), and no staleness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreProperties {
    /// Whether no other process can reach the contents. A new ring is founded there at once, since
    /// there is no replica to wait for.
    pub is_private: bool,
    /// Whether [`changed`](Store::changed) reports the inserts of other replicas within about a second,
    /// as long as the store can be reached.
    ///
    /// If so, replicas that hold a ring notice within that time that a new replica found the store
    /// empty, and restore the ring. The new replica then waits 3 seconds before it founds a new ring;
    /// otherwise it waits until every replica has polled.
    pub notifies: bool,
    /// Whether private keys have to be sealed in the store.
    pub sealing_need: SealingNeed,
    /// The longest time for which a successful [`load`](Store::load) may miss an entry that was
    /// inserted before it. It is more than zero for a store behind a cache.
    pub staleness: Duration,
}

/// Whether private keys have to be sealed in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealingNeed {
    /// More people can read the store than those who run the service. Keys must be sealed, unless the
    /// application calls [`dangerous_unsealed`](crate::KeyRingBuilder::dangerous_unsealed).
    #[default]
    Required,
    /// Others have no access to the store. Sealing is advised; a ring opened without it logs a warning.
    Advised,
    /// The store keeps nothing at rest.
    NotApplicable,
}

/// The contents of a ring in a [`Store`].
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Loaded {
    /// The entries, in any order.
    pub entries: Vec<Entry>,
    /// Data that is not an entry.
    pub skipped: Vec<Skipped>,
    /// The time by the store's own clock when it answered, if it has one: Redis and PostgreSQL have
    /// one, memory has none, and that of a directory's file system is known only by
    /// [writing](Store::time).
    pub store_time: Option<Timestamp>,
}

#[cfg(any(feature = "postgres", feature = "redis"))]
impl Loaded {
    /// Adds the value at `place` under `name`: as an entry, or as skipped.
    pub(crate) fn take(&mut self, place: &str, name: &str, length: usize, value: Vec<u8>) {
        let value = SecretBytes::from(value);
        let mut skip = |reason| {
            // The name may be anything; a long one must not fill a log.
            let start: String = name.chars().take(128).collect();
            self.skipped.push(Skipped { name: format!("{place} {start:?}"), reason });
        };
        match EntryName::parse(name) {
            None => skip("is not an entry's name".to_owned()),
            Some(_) if length > Entry::MAX_BYTES => {
                skip(format!("has {length} bytes, more than {}", Entry::MAX_BYTES));
            }
            Some(name) => self.entries.push(Entry { name, value }),
        }
    }
}

/// Data in a store that is not used: where it is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Its name in the store: a path, a field, a row.
    pub name: String,
    /// Why it was skipped, with the fix if there is one.
    pub reason: String,
}

impl Skipped {
    /// Makes a report of something that is not served.
    pub fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), reason: reason.into() }
    }
}

/// The outcome of an [insert](Store::insert).
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Insertion {
    /// The entry was inserted.
    Inserted,
    /// An entry of that name exists: its value.
    Exists(SecretBytes),
    /// The place holds data that is not an entry, for the reason given. Nothing can be inserted there
    /// until it is removed.
    Unreadable(String),
}

/// A named value in a store. The value may hold secrets: it is zeroized and never printed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The name, unique in its ring.
    pub name: EntryName,
    /// The value, at most [`Entry::MAX_BYTES`].
    pub value: SecretBytes,
}

impl Entry {
    /// Makes an entry.
    pub fn new(name: EntryName, value: impl Into<SecretBytes>) -> Self {
        Self { name, value: value.into() }
    }

    /// The maximum length of an entry's value: 64 KiB. A store may skip longer values.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Refuses a value that is too long.
    pub(crate) fn check_length(&self) -> Result<(), StoreError> {
        let length = self.value.len();
        if length > Self::MAX_BYTES {
            return Err(StoreError::new(format!(
                "could not insert {}: its value has {length} bytes, the maximum is {}",
                self.name,
                Self::MAX_BYTES,
            )));
        }
        Ok(())
    }
}

/// The name of an [`Entry`]: 1 to 128 of `a-z A-Z 0-9 _ -`, so that it is safe in a path, a key
/// or a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Box<str>);

impl EntryName {
    /// Parses a name; `None` if it is not of that form.
    pub fn parse(name: impl Into<Box<str>>) -> Option<Self> {
        let name = name.into();
        let form = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        ((1..=128).contains(&name.len()) && name.bytes().all(form)).then_some(Self(name))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix of entries that are inserted and removed at once, to test whether the store accepts
    /// writes.
    pub(crate) const PROBE: &str = "probe-";

    pub(crate) fn is_probe(&self) -> bool {
        self.0.starts_with(Self::PROBE)
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operation on a store that failed, and its cause.
#[derive(thiserror::Error)]
pub struct StoreError {
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Includes the cause, for logs and status pages that do not print sources.
impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StoreError {
    /// An error with the operation that failed and its object: "could not read the ring app".
    pub fn new(context: impl Into<String>) -> Self {
        Self { context: context.into(), source: None }
    }

    /// An error with the operation that failed, and the cause.
    pub fn with_source(
        context: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { context: context.into(), source: Some(source.into()) }
    }
}

debug_as_display!(StoreError);
