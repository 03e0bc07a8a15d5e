//! The feeds of revocations: a log and registers each, in this process.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{Cursor, Register, RegisterId, StoreError, StoreFuture};

use crate::{OwnStore, lock};

#[derive(Debug)]
pub(crate) struct Feed {
    /// All is lost when the process ends. The next one makes another incarnation.
    made: u128,
    /// The last position in the log. It never falls, also when all records have expired.
    pub(crate) end: u64,
    /// Each record has the time until which it is kept.
    pub(crate) log: BTreeMap<u64, (Timestamp, Vec<u8>)>,
    pub(crate) registers: HashMap<RegisterId, Register>,
}

impl Feed {
    fn new() -> Self {
        let made = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos();
        Self { made, end: 0, log: BTreeMap::new(), registers: HashMap::new() }
    }

    pub(crate) fn cursor(&self, end: u64) -> Cursor {
        Cursor::new(self.made.to_be_bytes(), end.to_be_bytes())
    }

    pub(crate) fn push(&mut self, record: Vec<u8>, until: Timestamp, now: Timestamp) {
        self.end += 1;
        self.log.insert(self.end, (until, record));
        // An engine with a log per hour of expiry drops one without looking at its records.
        self.log.retain(|_, (until, _)| *until > now);
        self.registers.retain(|_, register| register.until > now);
    }

    pub(crate) fn set(&mut self, id: RegisterId, register: Register, now: Timestamp) {
        self.registers.insert(id, register);
        self.push(register.encode(id), register.until, now);
    }
}

impl OwnStore {
    /// Reads or changes a feed in one atomic step.
    pub(crate) fn with_feed<'a, T: Send + 'a>(
        &'a self,
        feed: &'a str,
        step: impl FnOnce(&mut Feed) -> Result<T, StoreError> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(
            async move { step(lock(&self.feeds).entry(feed.to_owned()).or_insert_with(Feed::new)) },
        )
    }
}
