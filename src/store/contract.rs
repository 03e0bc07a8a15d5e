//! [`Store`] and its parts: what a place where replicas meet has to do.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::error::macros::debug_as_display;
use crate::error::operation::{OperationError, OperationErrorKind};

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

    /// Reads those of the named entries that are there. Whoever sees one of them sees those named
    /// before it, if they were inserted before it.
    ///
    /// Stores that can't do so read everything, which is what this does unless it is implemented.
    ///
    /// # Errors
    ///
    /// If the store can't be reached or read.
    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let mut loaded = self.load(ring).await?;
            loaded.entries.retain(|entry| names.contains(&entry.name));
            Ok(loaded)
        })
    }

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

    /// Remembers that a refresh token was redeemed, unless that one or a later one of its family
    /// was; and tells which was redeemed last, and when.
    ///
    /// It is one record per session, which [`load`](Self::load) does not return. A store has to keep
    /// it for [`keep_for`](Redemption::keep_for), and may drop it then; if it is lost before, reuse
    /// goes unnoticed, and nothing else happens. Unless it is implemented, sessions over this store
    /// have no refresh tokens: each is an error.
    ///
    /// # Errors
    ///
    /// If the store can't be reached or written. The token may have been redeemed all the same, as
    /// it may when the future is dropped.
    fn redeem<'a>(
        &'a self,
        _ring: &'a str,
        _redemption: &'a Redemption,
    ) -> StoreFuture<'a, Redeemed> {
        let context = format!("{self:?} keeps no refresh tokens: it does not implement `redeem`");
        Box::pin(std::future::ready(Err(StoreError::new(context))))
    }

    /// Waits until something may have changed in `ring` since the last such call returned.
    ///
    /// Stores that can't tell wait for ever, which is what this does unless it is implemented. A
    /// missed change costs one refresh interval and no more, since replicas poll as well. An entry
    /// whose name begins with `probe-` only tries whether the store takes writes: it need not wake
    /// anyone.
    ///
    /// # Errors
    ///
    /// If the store can't be listened to at present.
    fn changed<'a>(&'a self, _ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(std::future::pending())
    }

    /// Whether [`changed`](Self::changed) reports the inserts of other replicas within about a
    /// second, as long as the store can be reached. Default: no.
    ///
    /// Where it does, replicas that hold a ring notice within that time that a newcomer found the
    /// store empty, and restore the ring. The newcomer then waits for 3 seconds before it founds a
    /// new ring, and otherwise until every replica has polled.
    fn notifies(&self) -> bool {
        false
    }

    /// Whether no other process can reach what it holds. Default: no.
    ///
    /// A new ring is founded there at once, since there is no replica to wait for.
    fn is_private(&self) -> bool {
        false
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
    /// The time by the store's own clock when it answered, if it has a clock: Redis and PostgreSQL
    /// have one, memory and a directory have none.
    pub store_time: Option<Timestamp>,
}

#[cfg(any(feature = "postgres", feature = "redis"))]
impl Loaded {
    /// Takes what stands in `place` under `name`: as an entry, or as skipped.
    pub(crate) fn take(&mut self, place: &str, name: &str, length: usize, value: Vec<u8>) {
        let value = Zeroizing::new(value);
        let mut skip = |reason| {
            // Whatever stands there shall not fill a log.
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

    /// Refuses a value that is too long.
    pub(crate) fn check_length(&self) -> Result<(), StoreError> {
        let length = self.value.len();
        if length > Self::MAX_BYTES {
            return Err(StoreError::new(format!(
                "could not insert {}: its value has {length} bytes, more than {}",
                self.name,
                Self::MAX_BYTES,
            )));
        }
        Ok(())
    }
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

    /// What the names of entries begin with that say nothing: they are inserted and removed at once, to
    /// try whether the store takes writes.
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

/// That a refresh token was redeemed: for [`Store::redeem`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redemption {
    /// The session whose refresh tokens follow each other.
    pub family: EntryName,
    /// Which of them it is.
    pub sequence: u32,
    /// When, by the clock of the replica that redeems it.
    pub at: Timestamp,
    /// How long from `at` it has to be remembered.
    pub keep_for: Duration,
}

impl Redemption {
    pub(crate) fn redeemed(&self) -> Redeemed {
        Redeemed { sequence: self.sequence, at: self.at }
    }
}

/// Which refresh token of a family was redeemed last: see [`Store::redeem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// Its sequence: the highest.
    pub sequence: u32,
    /// When it was redeemed first, by the clock of the replica that did.
    pub at: Timestamp,
}

/// Why a store could not be opened, read or written: what was tried, and the cause.
pub struct StoreError {
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// With the cause: it goes to logs and status pages, where nobody asks for the source.
impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
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

impl From<StoreError> for OperationError {
    fn from(error: StoreError) -> Self {
        OperationErrorKind::Store.with(error)
    }
}

debug_as_display!(StoreError);
