//! The registers in PostgreSQL: a row for each, which rises in one statement.

use crate::clock::Timestamp;
use crate::store::contract::StoreError;
use crate::store::feed::{Advance, Register, RegisterId};
use crate::store::postgres::current::{ATTEMPTS, Current};
use crate::store::postgres::feed_hint::{add, and_hint};
use crate::store::postgres::migration::failed;

/// Advances a register as [`Register::advanced`] says, by the server's clock.
///
/// # Errors
///
/// Fails if PostgreSQL can't be reached or written, or the value would be out of bounds.
pub(crate) async fn advance(
    current: &Current,
    feed: &str,
    advance: &Advance,
) -> Result<Register, StoreError> {
    let operation = format!("advance a register of the feed {feed}");
    let (head, register) = parts(advance.id);
    // One too high stays so.
    let next = advance.above.saturating_add(1).min(Register::MAX_VERSION + 1);
    for _ in 0..ATTEMPTS {
        let statement = || {
            sqlx::query_as(ADVANCE)
                .bind(feed)
                .bind(&head)
                .bind(&register)
                .bind(next as i64)
                .bind(advance.at.as_unix_millis())
                .bind(advance.until.as_unix_millis())
                .bind(AHEAD)
                .bind(MAX_VERSION)
        };
        let advanced: Option<Advanced> =
            current.write(statement).await.map_err(failed(&operation))?;
        if let Some((is_known, _, version, at, until)) = advanced {
            if !is_known {
                add(current, feed).await.map_err(failed(&operation))?;
            }
            return value(version, at, until).ok_or_else(|| {
                StoreError::new(format!(
                    "could not {operation} in PostgreSQL: its version is out of range"
                ))
            });
        }
        // Out of bounds: the reason, unless the register or the clock have changed since.
        let (now, found) = select(current, feed, &[advance.id], &operation).await?;
        let stored = found.into_iter().next().flatten();
        Register::advanced(stored, advance, now)?;
    }
    Err(StoreError::new(format!(
        "could not {operation} in PostgreSQL: its value was repeatedly out of bounds by a clock that \
         was set meanwhile; gave up after {ATTEMPTS} attempts"
    )))
}

/// Restores registers as [`Register::restored`] says, by the server's clock.
///
/// # Errors
///
/// Fails if PostgreSQL can't be reached or written.
pub(crate) async fn restore(
    current: &Current,
    feed: &str,
    held: &[(RegisterId, Register)],
) -> Result<(), StoreError> {
    let operation = format!("restore registers of the feed {feed}");
    // In one order, so that concurrent statements don't wait for each other in a circle.
    let mut held = held.to_vec();
    held.sort_by_key(|(id, _)| *id);
    // No statement changes a register twice.
    let batches = held.chunk_by(|(id, _), (next, _)| id != next).flat_map(|run| run.chunks(BATCH));
    for batch in batches {
        let column = |number: fn(&Register) -> i64| -> Vec<i64> {
            batch.iter().map(|(_, register)| number(register)).collect()
        };
        let (heads, registers): (Vec<_>, Vec<_>) = batch.iter().map(|(id, _)| parts(*id)).unzip();
        let versions = column(|held| held.version.min(Register::MAX_VERSION + 1) as i64);
        let at = column(|held| held.at.as_unix_millis());
        let until = column(|held| held.until.as_unix_millis());
        let statement = || {
            sqlx::query_as(RESTORE)
                .bind(feed)
                .bind(&heads[0])
                .bind(&registers)
                .bind(&versions)
                .bind(&at)
                .bind(&until)
                .bind(AHEAD)
                .bind(MAX_VERSION)
        };
        let restored: Option<(bool, Option<String>)> =
            current.write(statement).await.map_err(failed(&operation))?;
        if restored.is_some_and(|(is_known, _)| !is_known) {
            add(current, feed).await.map_err(failed(&operation))?;
        }
    }
    Ok(())
}

/// Reads registers, in the order of `ids`. One that is out of bounds counts as none.
///
/// # Errors
///
/// Fails if PostgreSQL can't be reached or read.
pub(crate) async fn registers(
    current: &Current,
    feed: &str,
    ids: &[RegisterId],
) -> Result<Vec<Option<Register>>, StoreError> {
    let operation = format!("read registers of the feed {feed}");
    let (now, found) = select(current, feed, ids, &operation).await?;
    let is_kept = |register: &Register| register.is_plausible(now) && register.until > now;
    Ok(found.into_iter().map(|register| register.filter(is_kept)).collect())
}

/// Returns the server's time and what is stored.
async fn select(
    current: &Current,
    feed: &str,
    ids: &[RegisterId],
    operation: &str,
) -> Result<(Timestamp, Vec<Option<Register>>), StoreError> {
    let names: Vec<_> = ids.iter().map(|id| parts(*id).1).collect();
    let statement = || sqlx::query_as(SELECT).bind(feed).bind(&names);
    let (rows, _): (Vec<Row>, _) = current.run(statement).await.map_err(failed(operation))?;
    let now = rows.first().map_or(0, |(now, ..)| *now);
    let found = rows.into_iter().map(|(_, version, at, until)| value(version?, at?, until?));
    Ok((Timestamp::from_unix_millis(now), found.collect()))
}

/// The server's time; version, cutoff and `until`.
type Row = (i64, Option<i64>, Option<i64>, Option<i64>);

/// Whether the feed has a row, the hint; version, cutoff and `until`.
type Advanced = (bool, Option<String>, i64, i64, i64);

fn value(version: i64, at: i64, until: i64) -> Option<Register> {
    let [at, until] = [at, until].map(Timestamp::from_unix_millis);
    Some(Register::new(version.try_into().ok()?, at, until))
}

/// The bytes with which its records begin, and those that name the register.
fn parts(id: RegisterId) -> (Vec<u8>, Vec<u8>) {
    let mut head = id.encode();
    let name = head.split_off(2);
    (head, name)
}

/// The most registers that a statement restores.
const BATCH: usize = 500;

const AHEAD: i64 = Register::MOST_AHEAD.as_millis() as i64;
const MAX_VERSION: i64 = Register::MAX_VERSION as i64;

/// In the order of the names. Without names there is no row.
const SELECT: &str = "\
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    stored.version, stored.at_millis, stored.until_millis
FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (register, place)
LEFT JOIN tower_jwt_session_registers AS stored
    ON stored.feed = $1 AND stored.register = asked.register
ORDER BY asked.place";

/// Bounds, writes a register, and appends its record. The record gets its ID while the row is locked: IDs
/// of one register rise with its versions.
macro_rules! rise {
    ($values:literal, $version:literal, $condition:literal, $columns:literal) => {
        and_hint!(
            concat!(
                "\
WITH clock AS MATERIALIZED (
    SELECT now, now + $7 AS latest, least(now + $7, $8) AS highest
    FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) AS server
), risen AS (
    INSERT INTO tower_jwt_session_registers AS stored
        (feed, register, version, at_millis, until_millis) ",
                $values,
                "
    ON CONFLICT (feed, register) DO UPDATE SET (version, at_millis, until_millis) = (
        SELECT ",
                $version,
                ",
            greatest(known.at_millis, excluded.at_millis),
            greatest(known.until_millis, excluded.until_millis)
        FROM clock LEFT JOIN LATERAL (
            SELECT stored.version, stored.at_millis, stored.until_millis
            WHERE stored.version BETWEEN 1 AND clock.highest AND stored.at_millis <= clock.latest
        ) AS known ON true
    )
    WHERE (SELECT ",
                $condition,
                " FROM clock)
    RETURNING register, version, at_millis, until_millis
), appended AS (
    INSERT INTO tower_jwt_session_revocations (feed, partition, records)
    SELECT $1, until_millis / 3600000, $2::bytea || register
        || int8send(version) || int8send(at_millis) || int8send(until_millis)
    FROM risen
    RETURNING id
)"
            ),
            $columns
        )
    };
}

/// Returns no row if the value would be out of bounds.
const ADVANCE: &str = rise!(
    "
    SELECT $1, $3::bytea, greatest($4, now), $5, $6 FROM clock
    WHERE greatest($4, now) BETWEEN 1 AND highest AND $5 <= latest",
    "greatest(known.version + 1, excluded.version)",
    "stored.version <> highest OR stored.at_millis > latest",
    ", version, at_millis, until_millis FROM risen"
);

/// Changes no register that has the value already.
const RESTORE: &str = rise!(
    "
    SELECT $1, register, version, at_millis, until_millis
    FROM unnest($3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[])
        AS held (register, version, at_millis, until_millis)",
    "CASE
            WHEN known.version IS NULL THEN excluded.version
            WHEN known.version >= excluded.version AND known.at_millis >= excluded.at_millis
                THEN known.version
            ELSE least(greatest(known.version, excluded.version) + 1, $8) END",
    "NOT (stored.version BETWEEN greatest(1, excluded.version) AND highest
            AND stored.at_millis BETWEEN excluded.at_millis AND latest
            AND stored.until_millis >= excluded.until_millis)",
    ""
);
