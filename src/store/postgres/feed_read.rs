//! Reading a feed in PostgreSQL, in pages.

use crate::store::contract::{Skipped, StoreError};
use crate::store::feed::{Cursor, FeedPage, FeedRead};
use crate::store::postgres::current::{ATTEMPTS, Current};
use crate::store::postgres::feed_hint::add;
use crate::store::postgres::feed_place::Place;
use crate::store::postgres::migration::{check, failed};

/// Reads a page after `cursor`, or of the whole.
///
/// # Errors
///
/// Fails if PostgreSQL can't be reached or read.
pub(crate) async fn read(
    current: &Current,
    feed: &str,
    cursor: Option<&Cursor>,
) -> Result<FeedRead, StoreError> {
    let (expected, place) = match cursor.map(Place::parse) {
        None => (None, Place::START),
        Some(Some((incarnation, place))) => (Some(incarnation), place),
        Some(None) => return Ok(FeedRead::Gap),
    };
    let operation = || format!("read the feed {feed}");
    for _ in 0..ATTEMPTS {
        let statement = if place.base.is_some() { READ_NEW } else { READ_WHOLE };
        let read = || {
            sqlx::query_as(statement)
                .bind(feed)
                .bind(place.after)
                .bind(&place.base)
                .bind(&place.target)
                .bind(MOST_ROWS)
                .bind(MOST_BYTES)
                .bind(MOST_BYTES_OF_A_ROW)
        };
        let (rows, server) = current.run(read).await.map_err(failed(&operation()))?;
        let (version, incarnation, snapshot, is_future, found, ids, records): Answer =
            rows.into_iter().next().ok_or_else(|| unanswered(&operation()))?;
        check(version.as_deref())?;
        let Some(incarnation) = incarnation else {
            if expected.is_some() {
                return Ok(FeedRead::Gap);
            }
            // A new feed, or one that was deleted: it needs a name by which its cursors are known.
            add(current, feed).await.map_err(failed(&operation()))?;
            continue;
        };
        let timeline = server.timeline.map(|(system, timeline)| format!("{system}/{timeline}"));
        let incarnation = format!("{}/{incarnation}", timeline.unwrap_or_default());
        if is_future || expected.is_some_and(|expected| expected != incarnation) {
            return Ok(FeedRead::Gap);
        }
        let is_full = found > ids.len() as i64 || found == MOST_ROWS;
        let next = match ids.last() {
            Some(last) if is_full => {
                Place { target: Some(snapshot), after: *last, ..place.clone() }
            }
            _ => Place::after(snapshot),
        };
        let mut page = FeedPage::new(next.cursor(&incarnation));
        // What was committed since the first page was read comes after the last.
        page.has_more = is_full || place.target.is_some();
        for (id, records) in ids.iter().zip(records) {
            let row = format!("tower_jwt_session_revocations row {id}");
            match records {
                Some(records) => page.decode(&row, &records),
                None => {
                    let reason = format!("has more than {MOST_BYTES_OF_A_ROW} bytes; remove it");
                    page.skipped.push(Skipped::new(row, reason));
                }
            }
        }
        return Ok(FeedRead::Page(page));
    }
    Err(StoreError::new(format!(
        "could not {} in PostgreSQL: its row in tower_jwt_session_feeds was repeatedly removed; gave \
         up after {ATTEMPTS} attempts",
        operation(),
    )))
}

fn unanswered(operation: &str) -> StoreError {
    StoreError::new(format!("could not {operation} in PostgreSQL: no row in the answer"))
}

/// The comment of the table of entries; the incarnation of the feed; the snapshot that is read;
/// whether the cursor is from the future; how many rows there are, without a limit of bytes; and the
/// page's IDs and records, which are null if they are too long.
type Answer = (Option<String>, Option<String>, String, bool, i64, Vec<i64>, Vec<Option<Vec<u8>>>);

/// The most rows and bytes in a page.
const MOST_ROWS: i64 = 5_000;
const MOST_BYTES: i64 = 1 << 20;
/// The most bytes of a row: many times what is written.
const MOST_BYTES_OF_A_ROW: i32 = 64 * 1024;

/// The statement that reads the feed `$1` after the ID `$2`: of the rows that `$from` selects, those
/// visible in the snapshot `$4`, or now.
///
/// The incarnation changes whenever the rows or their transaction IDs may have been lost: another random
/// row of the feed, other files of the tables (`TRUNCATE`, a dump that was restored), or a crash, after
/// which statistics begin anew. Transactions that were not yet on disk then are lost, with
/// `synchronous_commit = off` those of rows, and their IDs are used again.
macro_rules! read {
    ($from:literal) => {
        concat!(
            "\
WITH snapshot AS MATERIALIZED (
    SELECT coalesce($4::text::pg_snapshot, pg_current_snapshot()) AS target,
        pg_current_snapshot() AS now
), found AS MATERIALIZED (
    SELECT id, records,
        sum(least(octet_length(records), $7)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS total
    FROM (",
            $from,
            " ORDER BY id LIMIT $5) AS rows
), page AS MATERIALIZED (
    SELECT id, CASE WHEN octet_length(records) <= $7 THEN records END AS records
    FROM found WHERE total <= $6
)
SELECT obj_description(to_regclass('tower_jwt_session_entries'), 'pg_class'),
    (SELECT concat_ws('/', incarnation, pg_relation_filenode('tower_jwt_session_revocations'),
            pg_relation_filenode('tower_jwt_session_registers'),
            (SELECT extract(epoch FROM stats_reset) FROM pg_stat_bgwriter))
        FROM tower_jwt_session_feeds WHERE feed = $1),
    target::text,
    coalesce(pg_snapshot_xmax(coalesce($4, $3)::pg_snapshot) > pg_snapshot_xmax(now), false),
    (SELECT count(*) FROM found),
    (SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM page),
    (SELECT coalesce(array_agg(records ORDER BY id), '{}') FROM page)
FROM snapshot"
        )
    };
}

/// Rows of a dump from another server may have transaction IDs that are still to come here: they are
/// visible, too.
const READ_WHOLE: &str = read!(
    "
        SELECT id, records FROM tower_jwt_session_revocations
        WHERE feed = $1 AND id > $2
            AND (pg_visible_in_snapshot(xid, (SELECT target FROM snapshot))
                OR xid >= (SELECT pg_snapshot_xmax(now) FROM snapshot))"
);

/// What is visible and was not so in the snapshot `$3`. Each part has an index; the upper bound and
/// `OFFSET 0` let the planner choose it also before the table was analyzed.
const READ_NEW: &str = read!(
    "
        SELECT id, records FROM (
            SELECT id, records FROM tower_jwt_session_revocations
            WHERE feed = $1 AND id > $2
                AND xid BETWEEN pg_snapshot_xmax($3::text::pg_snapshot) AND '9223372036854775807'
                AND pg_visible_in_snapshot(xid, (SELECT target FROM snapshot))
            UNION ALL
            SELECT id, records FROM tower_jwt_session_revocations
            WHERE feed = $1 AND id > $2
                AND xid = ANY (ARRAY(SELECT pg_snapshot_xip($3::text::pg_snapshot)))
                AND pg_visible_in_snapshot(xid, (SELECT target FROM snapshot))
            OFFSET 0) AS new"
);
