//! The feeds of revocations: a log and registers each, in this process.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Advance, Cursor, FeedPage, FeedRead, Register, RegisterId, RevocationStore, RevokedSession,
    StoreError, StoreFuture,
};

use crate::{OwnStore, lock};

#[derive(Debug)]
pub(crate) struct Feed {
    /// All is lost when the process ends. The next one makes another incarnation.
    made: u128,
    /// The last position in the log. It never falls, also when all records have expired.
    end: u64,
    /// Each record has the time until which it is kept.
    log: BTreeMap<u64, (Timestamp, Vec<u8>)>,
    registers: HashMap<RegisterId, Register>,
}

impl Feed {
    fn new() -> Self {
        let made = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos();
        Self { made, end: 0, log: BTreeMap::new(), registers: HashMap::new() }
    }

    fn cursor(&self, end: u64) -> Cursor {
        Cursor::new(self.made.to_be_bytes(), end.to_be_bytes())
    }

    fn push(&mut self, record: Vec<u8>, until: Timestamp, now: Timestamp) {
        self.end += 1;
        self.log.insert(self.end, (until, record));
        // An engine with a log per hour of expiry drops one without looking at its records.
        self.log.retain(|_, (until, _)| *until > now);
        self.registers.retain(|_, register| register.until > now);
    }

    fn set(&mut self, id: RegisterId, register: Register, now: Timestamp) {
        self.registers.insert(id, register);
        self.push(register.encode(id), register.until, now);
    }
}

impl OwnStore {
    /// Reads or changes a feed in one atomic step.
    fn with_feed<'a, T: Send + 'a>(
        &'a self,
        feed: &'a str,
        step: impl FnOnce(&mut Feed) -> Result<T, StoreError> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(
            async move { step(lock(&self.feeds).entry(feed.to_owned()).or_insert_with(Feed::new)) },
        )
    }
}

impl RevocationStore for OwnStore {
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        self.with_feed(feed, move |feed| {
            for session in sessions {
                feed.push(RevokedSession::encode(&[*session]), session.until, now);
            }
            self.changes.send_replace(());
            Ok(())
        })
    }

    // An engine with a clock of its own passes that time to `advanced`, and not the writer's.
    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        self.with_feed(feed, move |feed| {
            let stored = feed.registers.get(&advance.id).copied();
            let register = Register::advanced(stored, advance, advance.now)?;
            feed.set(advance.id, register, advance.now);
            self.changes.send_replace(());
            Ok(register)
        })
    }

    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        self.with_feed(feed, move |feed| {
            for (id, held) in held {
                let stored = feed.registers.get(id).copied();
                if let Some(register) = Register::restored(stored, held, now) {
                    feed.set(*id, register, now);
                }
            }
            self.changes.send_replace(());
            Ok(())
        })
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        self.with_feed(feed, |feed| {
            Ok(ids.iter().map(|id| feed.registers.get(id).copied()).collect())
        })
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        self.with_feed(feed, move |feed| {
            let end_of = |cursor: &Cursor| {
                let end = u64::from_be_bytes(cursor.position().try_into().ok()?);
                (end <= feed.end && feed.cursor(end) == *cursor).then_some(end)
            };
            let Some(after) = cursor.map_or(Some(0), end_of) else { return Ok(FeedRead::Gap) };
            let mut records = feed.log.range(after + 1..);
            let mut page = FeedPage::new(feed.cursor(feed.end));
            for (end, (_, record)) in records.by_ref().take(RECORDS_OF_A_PAGE) {
                page.decode("the log", record);
                page.cursor = feed.cursor(*end);
            }
            page.has_more = records.next().is_some();
            Ok(FeedRead::Page(page))
        })
    }
}

/// Less than a megabyte.
const RECORDS_OF_A_PAGE: usize = 10_000;
