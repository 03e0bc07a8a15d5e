//! The deletion of expired revocations in PostgreSQL, in passing.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::store::postgres::current::Current;
use crate::sync::lock;

/// When this process next looks for what has expired.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    due: Mutex<Option<Instant>>,
}

impl Expiry {
    /// Deletes a few of the rows that have expired by the server's clock, if it is time to. A failure is
    /// logged: what it follows has succeeded.
    pub(crate) async fn pass(&self, current: &Current) {
        if !self.claim() {
            return;
        }
        let delete = || sqlx::query_as(DELETE).bind(LOCK).bind(SLICE);
        match current.write(delete).await {
            Ok(Some((revocations, registers))) => {
                let deleted: i64 = i64::max(revocations, registers);
                if deleted >= SLICE {
                    *lock(&self.due) = Some(Instant::now() + MORE);
                }
                tracing::debug!(revocations, registers, "deleted expired revocations");
            }
            Ok(None) => {}
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(error, "cannot delete expired revocations in PostgreSQL");
            }
        }
    }

    fn claim(&self) -> bool {
        let now = Instant::now();
        let mut due = lock(&self.due);
        let is_due = due.is_none_or(|due| due <= now);
        if is_due {
            *due = Some(now + INTERVAL);
        }
        is_due
    }
}

/// How often it looks, and how soon again if there was more.
const INTERVAL: Duration = Duration::from_secs(60);
const MORE: Duration = Duration::from_secs(1);

/// The most rows that are deleted at once, which takes milliseconds.
const SLICE: i64 = 2_000;

/// A random number for the advisory lock: one process deletes at a time.
const LOCK: i64 = 0x51e7_03c4_9d2b_6fa8;

/// Rows that are in use are left for the next time. A row's partition is the hour of its latest `until`.
const DELETE: &str = "\
WITH holder AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock($1) AS holds,
        floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
), passed AS MATERIALIZED (
    SELECT feed, id FROM tower_jwt_session_revocations
    WHERE (SELECT holds FROM holder) AND partition < (SELECT now / 3600000 FROM holder)
    ORDER BY partition LIMIT $2 FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM tower_jwt_session_revocations AS gone USING passed
    WHERE gone.feed = passed.feed AND gone.id = passed.id RETURNING gone.id
), lapsed AS MATERIALIZED (
    SELECT feed, register FROM tower_jwt_session_registers
    WHERE (SELECT holds FROM holder) AND until_millis < (SELECT now FROM holder)
    ORDER BY until_millis LIMIT $2 FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM tower_jwt_session_registers AS gone USING lapsed
    WHERE gone.feed = lapsed.feed AND gone.register = lapsed.register RETURNING gone.register
)
SELECT (SELECT count(*) FROM deleted), (SELECT count(*) FROM dropped)";
