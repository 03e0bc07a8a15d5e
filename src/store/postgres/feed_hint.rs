//! The hint that a feed in PostgreSQL has grown, and the feed's row.

use crate::store::postgres::channel::CHANNEL;
use crate::store::postgres::current::{Current, Failure};

/// Ends a statement that appends to the feed `$1` in a part named `appended`: it notifies at most about
/// twice a second, as `NOTIFY` lets commits wait for each other. A hint that is skipped is not missed:
/// whoever received the one before reads again 500 ms later. The first column of its row is whether the
/// feed has a row; without one there is no hint.
macro_rules! and_hint {
    ($appending:expr, $columns:expr) => {
        concat!(
            $appending,
            ", due AS (
    SELECT feed FROM tower_jwt_session_feeds
    WHERE feed = $1 AND EXISTS (SELECT FROM appended)
        AND hinted_at NOT BETWEEN clock_timestamp() - interval '450 milliseconds'
            AND clock_timestamp() + interval '1 second'
    FOR UPDATE SKIP LOCKED
), hinted AS (
    UPDATE tower_jwt_session_feeds AS hinted SET hinted_at = clock_timestamp()
    FROM due WHERE hinted.feed = due.feed RETURNING hinted.feed
)
SELECT EXISTS (SELECT FROM tower_jwt_session_feeds WHERE feed = $1),
    (SELECT pg_notify('tower_jwt_session', feed)::text FROM hinted)",
            $columns
        )
    };
}

pub(crate) use and_hint;

/// Adds the feed's row, and notifies of it. It is a statement of its own, as it waits for others that do
/// the same: one that held other rows could wait in a circle.
///
/// # Errors
///
/// Fails if PostgreSQL can't be reached or written.
pub(crate) async fn add(current: &Current, feed: &str) -> Result<(), Failure> {
    current.write(|| sqlx::query_as::<_, ()>(ADD).bind(feed).bind(CHANNEL)).await.map(drop)
}

const ADD: &str = "\
WITH added AS (
    INSERT INTO tower_jwt_session_feeds (feed) VALUES ($1) ON CONFLICT DO NOTHING RETURNING feed
)
SELECT pg_notify($2, feed) FROM added";
