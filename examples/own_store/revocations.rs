//! Revocations: what replicas append to a feed, and read from it.

use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Advance, Cursor, FeedPage, FeedRead, Register, RegisterId, RevocationStore, RevokedSession,
    StoreFuture,
};

use crate::OwnStore;

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

    // If the engine has a clock, pass its time to `advanced`, and not the writer's.
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
