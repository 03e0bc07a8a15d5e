//! A reader of one feed, and the records that the promises write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::store::feed::{
    Advance, Cursor, Digest, FeedPage, FeedRead, Register, RegisterId, RevocationStore,
    RevokedSession,
};

/// A replica that reads a feed after its last cursor, and holds all that it has read.
pub(super) struct Reader<S> {
    store: Arc<S>,
    feed: String,
    pub(super) cursor: Option<Cursor>,
    /// Each with the latest time until which it is kept.
    pub(super) sessions: BTreeMap<Digest, Timestamp>,
    pub(super) registers: BTreeMap<RegisterId, Register>,
}

impl<S: RevocationStore> Reader<S> {
    /// A reader that has read nothing: its first read is of the whole feed.
    pub(super) fn new(store: &Arc<S>, feed: &str) -> Self {
        Self::after(store, feed, None)
    }

    /// A reader whose first read is after that cursor.
    pub(super) fn after(store: &Arc<S>, feed: &str, cursor: Option<Cursor>) -> Self {
        let (store, feed) = (store.clone(), feed.to_owned());
        Self { store, feed, cursor, sessions: BTreeMap::new(), registers: BTreeMap::new() }
    }

    /// Reads page after page until there is no more.
    pub(super) async fn read(&mut self) -> &mut Self {
        for _ in 0..MOST_PAGES {
            let page = page(&*self.store, &self.feed, self.cursor.as_ref()).await;
            for session in page.sessions {
                let until = self.sessions.entry(session.digest).or_insert(session.until);
                *until = session.until.max(*until);
            }
            for (id, register) in page.registers {
                let before = self.registers.insert(id, register);
                let is_in_order = before.is_none_or(|before| before.version <= register.version);
                assert!(is_in_order, "{id:?} was read as {before:?}, and then as {register:?}");
            }
            self.cursor = Some(page.cursor);
            if !page.has_more {
                return self;
            }
        }
        panic!("{} has more after {MOST_PAGES} pages", self.feed);
    }

    /// Reads on, and expects to hold exactly these sessions and as many registers.
    pub(super) async fn assert_reads(&mut self, sessions: &[RevokedSession], registers: usize) {
        self.read().await;
        let expected: BTreeMap<_, _> = sessions.iter().map(|it| (it.digest, it.until)).collect();
        let missing = expected.keys().filter(|digest| !self.sessions.contains_key(*digest)).count();
        let invented = self.sessions.keys().filter(|it| !expected.contains_key(*it)).count();
        let feed = &self.feed;
        assert_eq!(
            (missing, invented),
            (0, 0),
            "missing and invented sessions in {feed}, of {}",
            expected.len()
        );
        assert!(self.sessions == expected, "sessions of {feed} were read with another `until`");
        assert_eq!(self.registers.len(), registers, "registers in {feed}: {:?}", self.registers);
    }
}

/// Reads one page, of which nothing is skipped.
pub(super) async fn page(
    store: &impl RevocationStore,
    feed: &str,
    cursor: Option<&Cursor>,
) -> FeedPage {
    match store.read_feed(feed, cursor).await {
        Ok(FeedRead::Page(page)) => {
            assert_eq!(page.skipped, [], "`read_feed` skipped what the suite has written");
            assert_eq!(page.newer_format, None, "`read_feed` found a newer format");
            let records = page.sessions.len() + page.registers.len();
            assert!(records <= MOST_RECORDS, "a page of {records} records is over a megabyte");
            page
        }
        Ok(FeedRead::Gap) => panic!("`read_feed` of {feed} after {cursor:?} returned a gap"),
        Err(error) => panic!("`read_feed` of {feed} after {cursor:?} failed: {error}"),
    }
}

pub(super) async fn append(store: &impl RevocationStore, feed: &str, sessions: &[RevokedSession]) {
    let appended = store.append(feed, sessions, now()).await;
    let count = sessions.len();
    appended.unwrap_or_else(|error| panic!("`append` of {count} to {feed} failed: {error}"));
}

pub(super) async fn advance(
    store: &impl RevocationStore,
    feed: &str,
    advance: &Advance,
) -> Register {
    let advanced = store.advance(feed, advance).await;
    advanced.unwrap_or_else(|error| panic!("`advance` of {advance:?} in {feed} failed: {error}"))
}

pub(super) async fn restore(
    store: &impl RevocationStore,
    feed: &str,
    held: &[(RegisterId, Register)],
) {
    let restored = store.restore(feed, held, now()).await;
    restored.unwrap_or_else(|error| panic!("`restore` of {held:?} in {feed} failed: {error}"));
}

pub(super) async fn registers(
    store: &impl RevocationStore,
    feed: &str,
    ids: &[RegisterId],
) -> Vec<Option<Register>> {
    let registers = store.registers(feed, ids).await;
    registers.unwrap_or_else(|error| panic!("`registers` {ids:?} of {feed} failed: {error}"))
}

/// The request to advance a register above a version to a time, which is kept for an hour after now.
pub(super) fn request(id: RegisterId, above: u64, at: Timestamp) -> Advance {
    let now = now();
    Advance::new(id, above, at, now + HOUR, now)
}

/// So many revoked sessions from that number on, each with a time of its own until which it is kept.
pub(super) fn sessions(from: u64, count: u64) -> Vec<RevokedSession> {
    let now = now();
    let kept = |number| HOUR + Duration::from_millis(number);
    let session = |number| RevokedSession::new(digest(number), now + kept(number));
    (from..from + count).map(session).collect()
}

/// Another digest for each number; they are spread as real ones are.
pub(super) fn digest(number: u64) -> Digest {
    // An odd factor has an inverse, so that no two products are the same.
    u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
}

pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// Two megabytes of the shortest record.
const MOST_RECORDS: usize = 80_000;
const MOST_PAGES: usize = 10_000;
