//! [`RevocationStore`]: a feed of revocations, and registers that rise.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::store::contract::{Skipped, Store, StoreError, StoreFuture};

/// A [`Store`] that also keeps revocations, for [`Revocations`](crate::Revocations).
///
/// A feed is what every replica follows: the revoked sessions, and the values of registers. `feed` is a
/// name like a ring's; one store can hold any number of feeds. The store promises:
///
/// 1. **An append is seen.** Once [`append`](Self::append), [`advance`](Self::advance) or
///    [`restore`](Self::restore) has returned, every [`read_feed`](Self::read_feed) that begins later
///    returns its records, whatever cursor of this feed it reads after, in however many pages.
/// 2. **A register is in one place.** Of any number of concurrent advances of one register each gets a
///    higher version than the one before it.
/// 3. **A loss is reported.** If the store has lost records, or was replaced by an older copy of itself,
///    a read after a cursor from before that is a [`Gap`](FeedRead::Gap).
/// 4. **Nothing is kept for ever.** A record may be dropped once its `until` has passed by every clock,
///    which its writer has included. It has to be kept until then.
/// 5. **Hints may be held back.** Where the store [notifies](crate::store::StoreProperties::notifies),
///    [`changed`](Store::changed) with the name of a feed reports its changes; but a change within half
///    a second of a hint needs none of its own. So a reader reads after each hint, and once more half a
///    second later. A store whose hints wake other machines sends at most about two a second.
///
/// `testing::store_contract` (feature `test-util`) has these promises as tests for any store.
///
/// The records hold no secrets: digests, numbers and times.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not keep revocations",
    note = "implement `tower_jwt_session::store::RevocationStore`, or give the revocations another store"
)]
pub trait RevocationStore: Store {
    /// Appends revoked sessions to the feed. They may be appended twice. `now` is the time by the writer's
    /// clock, for a store that has none and drops what has expired.
    ///
    /// Without a session it tests whether the store accepts appends: it fails where another would. It may
    /// append an empty record, and need not be reported by a hint.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be reached or written. Some of them may still have been appended, also if
    /// the future is dropped.
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        now: Timestamp,
    ) -> StoreFuture<'a, ()>;

    /// Advances a register in one atomic step as [`Register::advanced`] says, by the store's own clock
    /// if it has one, appends the new value to the feed, and returns it.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be reached or written, or the value would be out of bounds. The register
    /// may still have been advanced, also if the future is dropped.
    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register>;

    /// Restores registers that the store has lost, each in one atomic step as [`Register::restored`]
    /// says, and appends the new values to the feed. `now` is the time by the writer's clock.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be reached or written. Some may still have been restored.
    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        now: Timestamp,
    ) -> StoreFuture<'a, ()>;

    /// Reads registers, in the order of `ids`; `None` for one that was never advanced, or has expired.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be reached or read.
    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>>;

    /// Reads a page of what was appended after `cursor`, or of all that is kept without one. A page is
    /// at most about a megabyte. Registers come in the order in which they rose; the values between the
    /// first and the last may be left out.
    ///
    /// Records that the store cannot read, or that only a newer version of this crate understands, are
    /// returned in [`FeedPage::skipped`], and hide no others.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be reached or read.
    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead>;
}

/// The digest of a session ID or a subject.
pub type Digest = [u8; 16];

/// A session that was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevokedSession {
    /// The digest of the session's ID.
    pub digest: Digest,
    /// Until when the record is kept.
    pub until: Timestamp,
}

impl RevokedSession {
    /// Makes the record of a revoked session that is kept until then.
    pub fn new(digest: Digest, until: Timestamp) -> Self {
        Self { digest, until }
    }
}

/// The name of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RegisterId {
    /// The cutoff of a subject's logins, by the subject's digest.
    Subject(Digest),
    /// The cutoff of everyone's logins.
    All,
    /// The time up to which a subject's claims are stale, by the subject's digest.
    Stale(Digest),
}

/// The value of a register: a time up to which logins are cut off, and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Register {
    /// Rises with every advance: 1 to 2^53 - 1.
    pub version: u64,
    /// The cutoff: it never falls.
    pub at: Timestamp,
    /// Until when the record is kept.
    pub until: Timestamp,
}

/// The request to advance a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advance {
    /// Which register.
    pub id: RegisterId,
    /// The new version is above this one: the highest that the writer has seen.
    pub above: u64,
    /// The new cutoff is no earlier.
    pub at: Timestamp,
    /// The record is kept at least until then.
    pub until: Timestamp,
    /// The time by the writer's clock, for a store that has none.
    pub now: Timestamp,
}

impl Advance {
    /// Makes the request to advance the register `id` above a version, to a cutoff of at least `at`, kept
    /// until `until`; `now` is the time by the writer's clock.
    pub fn new(
        id: RegisterId,
        above: u64,
        at: Timestamp,
        until: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self { id, above, at, until, now }
    }
}

impl Register {
    /// The highest version: the largest number that every JSON parser can hold (RFC 8259, section 6).
    pub const MAX_VERSION: u64 = (1 << 53) - 1;

    /// How far ahead of the clock a version, as a time in milliseconds, and a cutoff may be: a day.
    pub const MOST_AHEAD: Duration = Duration::from_secs(24 * 3600);

    /// Makes a register's value.
    pub fn new(version: u64, at: Timestamp, until: Timestamp) -> Self {
        Self { version, at, until }
    }

    /// The value that follows `stored`, by a clock that shows `now`: its version is the highest of the
    /// stored one + 1, [`above`](Advance::above) + 1 and `now` in milliseconds; cutoff and `until` are
    /// the later of the stored and the requested. A stored value out of [bounds](Self::is_plausible)
    /// counts as none.
    ///
    /// # Errors
    ///
    /// Fails if the new value is out of bounds.
    pub fn advanced(
        stored: Option<Self>,
        advance: &Advance,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let stored = stored.filter(|stored| stored.is_plausible(now));
        let known = stored.map_or(0, |stored| stored.version).max(advance.above);
        let millis = u64::try_from(now.as_unix_millis()).unwrap_or_default();
        let advanced = Self {
            version: known.saturating_add(1).max(millis),
            at: stored.map_or(advance.at, |stored| stored.at.max(advance.at)),
            until: stored.map_or(advance.until, |stored| stored.until.max(advance.until)),
        };
        match advanced.is_plausible(now) {
            true => Ok(advanced),
            false => Err(advanced.out_of_bounds(now)),
        }
    }

    /// The value to which `held` is restored where `stored` is found; `None` if nothing is to be written.
    /// Where nothing is stored, it is `held`. A stored value that is below it in version or cutoff is
    /// advanced to the higher version + 1 and the later cutoff: the two may come from two histories, of
    /// which neither includes the other.
    pub fn restored(stored: Option<Self>, held: &Self, now: Timestamp) -> Option<Self> {
        let Some(stored) = stored.filter(|stored| stored.is_plausible(now)) else {
            return Some(*held);
        };
        if stored.dominates(held) {
            let until = stored.until.max(held.until);
            return (until > stored.until).then_some(Self { until, ..stored });
        }
        Some(Self {
            version: stored.version.max(held.version).saturating_add(1).min(Self::MAX_VERSION),
            at: stored.at.max(held.at),
            until: stored.until.max(held.until),
        })
    }

    /// Whether neither version nor cutoff is below the other's.
    pub fn dominates(&self, other: &Self) -> bool {
        self.version >= other.version && self.at >= other.at
    }

    /// Whether the version is between 1 and [`MAX_VERSION`](Self::MAX_VERSION), and neither it nor the
    /// cutoff is more than [`MOST_AHEAD`](Self::MOST_AHEAD) ahead of `now`.
    pub fn is_plausible(&self, now: Timestamp) -> bool {
        let latest = now + Self::MOST_AHEAD;
        let highest = u64::try_from(latest.as_unix_millis()).unwrap_or_default();
        (1..=highest.min(Self::MAX_VERSION)).contains(&self.version) && self.at <= latest
    }

    pub(crate) fn out_of_bounds(&self, now: Timestamp) -> StoreError {
        let Self { version, at, .. } = self;
        StoreError::new(format!(
            "could not advance a register of revocations: version {version} and cutoff {at} are more \
             than {:?} ahead of the clock, which shows {now}: correct the clock",
            Self::MOST_AHEAD,
        ))
    }
}

/// A place in a feed: an incarnation of the feed, and a position in it. Both have a form that only the
/// store understands.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor {
    incarnation: Box<[u8]>,
    position: Box<[u8]>,
}

impl Cursor {
    /// Makes a cursor. A feed that was lost and began anew has another incarnation, for example a random
    /// number that is written with its first record.
    pub fn new(incarnation: impl Into<Box<[u8]>>, position: impl Into<Box<[u8]>>) -> Self {
        Self { incarnation: incarnation.into(), position: position.into() }
    }

    /// The incarnation of the feed. It is the same in all replicas.
    pub fn incarnation(&self) -> &[u8] {
        &self.incarnation
    }

    /// The position in this incarnation.
    pub fn position(&self) -> &[u8] {
        &self.position
    }
}

/// As text, for the logs of a store.
impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incarnation, position } = self;
        write!(f, "Cursor({} {})", incarnation.escape_ascii(), position.escape_ascii())
    }
}

/// The answer to a read of a feed.
#[derive(Debug)]
#[non_exhaustive]
pub enum FeedRead {
    /// Records, and where to read on.
    Page(FeedPage),
    /// The store cannot say what was appended after that cursor: it has lost it. The feed has to be read
    /// as a whole.
    Gap,
}

/// A page of a feed.
#[derive(Debug)]
#[non_exhaustive]
pub struct FeedPage {
    /// The sessions that were revoked, in any order.
    pub sessions: Vec<RevokedSession>,
    /// The registers that rose, in the order in which they did.
    pub registers: Vec<(RegisterId, Register)>,
    /// Records that are not used.
    pub skipped: Vec<Skipped>,
    /// The highest format of the records that only a newer version of this crate understands.
    pub newer_format: Option<u64>,
    /// Where the next read begins.
    pub cursor: Cursor,
    /// Whether there may be more to read now.
    pub has_more: bool,
}

impl FeedPage {
    /// Makes an empty page, after which the next read begins at `cursor`.
    pub fn new(cursor: Cursor) -> Self {
        Self {
            sessions: Vec::new(),
            registers: Vec::new(),
            skipped: Vec::new(),
            newer_format: None,
            cursor,
            has_more: false,
        }
    }

    /// Whether it has no record.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.registers.is_empty()
    }
}
