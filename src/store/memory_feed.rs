//! The feeds of revocations in this process's memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Timestamp;
use crate::store::contract::StoreError;
use crate::store::feed::{
    Advance, Cursor, FeedPage, FeedRead, Register, RegisterId, RevokedSession,
};

/// The feeds of one store, by name.
#[derive(Debug)]
pub(crate) struct Feeds {
    /// Another in every store: a cursor of another store is none of this one.
    incarnation: u64,
    feeds: HashMap<String, Feed>,
}

impl Default for Feeds {
    fn default() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let incarnation = LAST.fetch_add(1, Ordering::Relaxed);
        Self { incarnation, feeds: HashMap::new() }
    }
}

#[derive(Debug, Default)]
struct Feed {
    /// The records by their place; of a register's values only the last.
    log: BTreeMap<u64, Record>,
    /// The last place.
    end: u64,
    registers: HashMap<RegisterId, (u64, Register)>,
    /// The number of records at which expired ones are dropped next.
    purge_at: usize,
}

#[derive(Clone, Copy, Debug)]
enum Record {
    Session(RevokedSession),
    Register(RegisterId, Register),
}

impl Record {
    fn until(&self) -> Timestamp {
        match self {
            Self::Session(session) => session.until,
            Self::Register(_, register) => register.until,
        }
    }
}

impl Feed {
    fn push(&mut self, record: Record, now: Timestamp) {
        if self.log.len() >= self.purge_at {
            self.log.retain(|_, record| record.until() > now);
            self.registers.retain(|_, (_, register)| register.until > now);
            // Not before as many again have come, so that each costs the same.
            self.purge_at = (2 * self.log.len()).max(64);
        }
        self.end += 1;
        self.log.insert(self.end, record);
    }

    fn set(&mut self, id: RegisterId, register: Register, now: Timestamp) {
        self.push(Record::Register(id, register), now);
        if let Some((before, _)) = self.registers.insert(id, (self.end, register)) {
            self.log.remove(&before);
        }
    }

    fn register(&self, id: RegisterId) -> Option<Register> {
        self.registers.get(&id).map(|(_, register)| *register)
    }

    fn page(&self, after: u64, cursor: impl Fn(u64) -> Cursor) -> FeedPage {
        let mut page = FeedPage::new(cursor(self.end));
        for (count, (place, record)) in self.log.range(after + 1..).enumerate() {
            if count == PAGE {
                page.has_more = true;
                page.cursor = cursor(place - 1);
                break;
            }
            match *record {
                Record::Session(session) => page.sessions.push(session),
                Record::Register(id, register) => page.registers.push((id, register)),
            }
        }
        page
    }
}

impl Feeds {
    fn feed(&mut self, feed: &str) -> &mut Feed {
        self.feeds.entry(feed.to_owned()).or_default()
    }

    pub(crate) fn append(&mut self, feed: &str, sessions: &[RevokedSession], now: Timestamp) {
        let feed = self.feed(feed);
        sessions.iter().for_each(|session| feed.push(Record::Session(*session), now));
    }

    pub(crate) fn advance(
        &mut self,
        feed: &str,
        advance: &Advance,
    ) -> Result<Register, StoreError> {
        let feed = self.feed(feed);
        let advanced = Register::advanced(feed.register(advance.id), advance, advance.now)?;
        feed.set(advance.id, advanced, advance.now);
        Ok(advanced)
    }

    pub(crate) fn restore(&mut self, feed: &str, held: &[(RegisterId, Register)], now: Timestamp) {
        let feed = self.feed(feed);
        for (id, held) in held {
            if let Some(restored) = Register::restored(feed.register(*id), held, now) {
                feed.set(*id, restored, now);
            }
        }
    }

    pub(crate) fn registers(&self, feed: &str, ids: &[RegisterId]) -> Vec<Option<Register>> {
        let feed = self.feeds.get(feed);
        ids.iter().map(|id| feed?.register(*id)).collect()
    }

    pub(crate) fn read(&self, feed: &str, cursor: Option<&Cursor>) -> FeedRead {
        let empty = Feed::default();
        let feed = self.feeds.get(feed).unwrap_or(&empty);
        let place = |end: u64| Cursor::new(self.incarnation.to_be_bytes(), end.to_be_bytes());
        let Some(cursor) = cursor else { return FeedRead::Page(feed.page(0, place)) };
        let after = cursor.position().as_array().map(|end| u64::from_be_bytes(*end));
        match after.filter(|after| *after <= feed.end && place(*after) == *cursor) {
            Some(after) => FeedRead::Page(feed.page(after, place)),
            None => FeedRead::Gap,
        }
    }
}

/// The number of records in a page.
const PAGE: usize = 10_000;
