//! The feeds of revocations in PostgreSQL.

use crate::clock::Timestamp;
use crate::store::contract::{StoreError, StoreFuture};
use crate::store::feed::{
    Advance, Cursor, FeedRead, Register, RegisterId, RevocationStore, RevokedSession,
};
use crate::store::postgres::feed_hint::{add, and_hint};
use crate::store::postgres::feed_read;
use crate::store::postgres::migration::failed;
use crate::store::postgres::registers;
use crate::store::postgres::store::PostgresStore;

impl PostgresStore {
    async fn append_rows(&self, feed: &str, sessions: &[RevokedSession]) -> Result<(), StoreError> {
        let operation = format!("append to the feed {feed}");
        if sessions.is_empty() {
            let append =
                || sqlx::query_as(APPEND_NONE).bind(feed).bind(RevokedSession::encode(&[]));
            let _: Option<()> = self.current.write(append).await.map_err(failed(&operation))?;
        }
        for batch in sessions.chunks(ROWS * SESSIONS_OF_A_ROW) {
            let rows = batch.chunks(SESSIONS_OF_A_ROW);
            let (partitions, records): (Vec<_>, Vec<_>) =
                rows.map(|row| (partition(row), RevokedSession::encode(row))).unzip();
            let append = || sqlx::query_as(APPEND).bind(feed).bind(&partitions).bind(&records);
            let appended: Option<(bool, Option<String>)> =
                self.current.write(append).await.map_err(failed(&operation))?;
            if appended.is_some_and(|(is_known, _)| !is_known) {
                add(&self.current, feed).await.map_err(failed(&operation))?;
            }
        }
        Ok(())
    }
}

impl RevocationStore for PostgresStore {
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        _now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.append_rows(feed, sessions).await?;
            self.expiry.pass(&self.current).await;
            Ok(())
        })
    }

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        Box::pin(async move {
            let advanced = registers::advance(&self.current, feed, advance).await?;
            self.expiry.pass(&self.current).await;
            Ok(advanced)
        })
    }

    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        _now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(registers::restore(&self.current, feed, held))
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        Box::pin(registers::registers(&self.current, feed, ids))
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        Box::pin(feed_read::read(&self.current, feed, cursor))
    }
}

/// The hour in which the last of them expires.
fn partition(sessions: &[RevokedSession]) -> i64 {
    let latest = sessions.iter().map(|session| session.until).max();
    latest.map_or(0, |until| until.as_unix_millis().div_euclid(HOUR))
}

const HOUR: i64 = 3_600_000;

/// 1,951 bytes, which PostgreSQL stores in the row itself.
const SESSIONS_OF_A_ROW: usize = 75;
/// The most rows that a statement appends: half a megabyte.
const ROWS: usize = 256;

/// It is deleted with what has expired.
const APPEND_NONE: &str = "\
INSERT INTO tower_jwt_session_revocations (feed, partition, records) VALUES ($1, 0, $2)";

const APPEND: &str = and_hint!(
    "\
WITH appended AS (
    INSERT INTO tower_jwt_session_revocations (feed, partition, records)
    SELECT $1, partition, records FROM unnest($2::bigint[], $3::bytea[]) AS row (partition, records)
    RETURNING id
)",
    ""
);
