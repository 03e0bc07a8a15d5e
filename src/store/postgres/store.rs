//! A store in PostgreSQL: a row per entry.

use std::slice;
use std::sync::Arc;

use sqlx::PgPool;

use crate::clock::Timestamp;
use crate::store::contract::{
    Entry, EntryName, Insertion, Loaded, Skipped, Store, StoreError, StoreFuture, StoreProperties,
};
use crate::store::listener::Listener;
use crate::store::postgres::channel::{CHANNEL, Channel};
use crate::store::postgres::current::{ATTEMPTS, Current};
use crate::store::postgres::expiry::Expiry;
use crate::store::postgres::migration::{self, check, failed};
use crate::store::proof;
use crate::store::redemption::{Redeemed, Redemption, RefreshTokenStore};

/// A [`Store`] and [`RefreshTokenStore`] in PostgreSQL, over the application's own pool (feature `postgres`).
///
/// 1. There are five tables in the first schema of the pool's `search_path`: `tower_jwt_session_entries`,
///    `…_redemptions`, `…_feeds`, `…_revocations` and `…_registers`. [`migrate`](Self::migrate) creates
///    them, or the application does, with [`MIGRATION`](Self::MIGRATION), which requires PostgreSQL 13.
///    Tables of a newer version of this crate are refused; the version is the comment of the table of
///    entries, which `TRUNCATE` keeps.
/// 2. An insert is one statement, `INSERT … ON CONFLICT DO NOTHING`, which notifies the others in the
///    same transaction (`NOTIFY`). It waits for a concurrent insert of the same name. If that one won,
///    a second statement reads its row; if the row was removed meanwhile, the insert is repeated.
/// 3. Redeeming a refresh token is one statement, `INSERT … ON CONFLICT DO UPDATE`, which also
///    deletes a few expired rows.
/// 4. Replicas receive changes on the channel `tower_jwt_session`, with names of rings and feeds as
///    messages, over one connection outside the pool, made when they first wait for a change. All
///    writers of a feed together notify at most about twice a second, since `NOTIFY` lets commits wait
///    for each other.
/// 5. Once per second of use, a connection outside the pool checks whether the server is in recovery,
///    when it was started and on which timeline it writes, and is closed. A standby is an error, and so
///    is a server of the same system with a lower timeline than one seen before: after a failover the
///    old primary may answer for ever, and accept writes that are lost. Each connection of the pool is
///    asked for its server's start before it is used, which costs one round trip; one that leads to
///    another server is closed. This costs an idle replica one connection per poll, a busy one at most
///    one per second, for which a read or write waits (5 round trips, and those of TLS).
///    The store's [`staleness`](StoreProperties::staleness) is that second.
/// 6. A write that fails with "read-only transaction" is repeated once, over a new connection.
/// 7. Revoked sessions are appended in one statement, up to 75 in a row of the table. A register is
///    advanced in one statement by the server's clock; its row is locked until the commit, and its new
///    value is a row of the feed, too.
/// 8. A [cursor](crate::store::Cursor) is a snapshot of transactions (`pg_snapshot`): a read returns what
///    is visible now and was not visible then, in whatever order transactions have committed. An open
///    transaction holds back its own rows only. All pages of a read are of one snapshot.
/// 9. A cursor is a [gap](crate::store::FeedRead::Gap) if transaction IDs or rows may have been lost since:
///    in another system or on another timeline (if the server shows them), after a crash or a promotion,
///    after `TRUNCATE` (also after `VACUUM FULL`, which loses nothing), if the feed's row in
///    `…_feeds` was deleted, after a dump was restored, or if the cursor is from the future of older
///    files. A crash is recognized by the time since which `pg_stat_bgwriter` counts. Rows that are
///    deleted from `…_revocations` alone are not noticed.
/// 10. A row of the feed is deleted once the last hour of its sessions has passed by the server's clock.
///     A process that appends does so, at most 2,000 rows at once and one process at a time, up to once a
///     minute, and once a second while there are more.
///
/// An attacker with read access to the tables can read the entries, so keys
/// [have to be sealed](crate::store::SealingNeed::Required). How to operate the server is in the
/// [guide](crate::guide::stores#postgresql).
///
/// ```no_run
/// use sqlx::PgPool;
/// use tower_jwt_session::store::PostgresStore;
/// use tower_jwt_session::{KeyRing, SealingKey};
///
/// # async fn open(sealing: SealingKey) -> Result<KeyRing, Box<dyn std::error::Error>> {
/// let pool = PgPool::connect("postgres://app:password@postgres.example/app").await?;
/// let store = PostgresStore::new(pool);
/// store.migrate().await?;
/// let keys = KeyRing::builder("app").store(store).seal_with([sealing]).open().await?;
/// # Ok(keys)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pub(crate) current: Arc<Current>,
    pub(crate) expiry: Arc<Expiry>,
    listener: Listener<Channel>,
}

impl PostgresStore {
    /// The SQL that creates the tables, for applications that run migrations themselves. It is
    /// idempotent.
    pub const MIGRATION: &'static str = migration::MIGRATION;

    /// Makes a store over `pool`, without connecting.
    pub fn new(pool: PgPool) -> Self {
        let current = Arc::new(Current::new(pool));
        let listener = Listener::new(Channel(Arc::clone(&current)));
        Self { current, expiry: Arc::default(), listener }
    }

    /// Creates the tables if they are missing. Any number of replicas may do so at once.
    ///
    /// # Errors
    ///
    /// Fails if PostgreSQL can't be reached, the role may not create the tables, or they are of a newer
    /// version of this crate.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migration::migrate(&self.current).await
    }

    /// Reads the entries of those names, or all.
    async fn select(&self, ring: &str, names: Option<&[EntryName]>) -> Result<Loaded, StoreError> {
        let names: Option<Vec<&str>> =
            names.map(|names| names.iter().map(EntryName::as_str).collect());
        let read = async {
            let (mut connection, _) = self.current.acquire().await?;
            let select =
                sqlx::query_as(SELECT).bind(ring).bind(Entry::MAX_BYTES as i32).bind(names);
            Ok(select.fetch_all(&mut *connection).await?)
        };
        let rows: Vec<Row> = read.await.map_err(failed(&format!("read the ring {ring}")))?;
        let place = format!("tower_jwt_session_entries {ring:?}");
        let (mut loaded, mut stated) = (Loaded::default(), None);
        for (version, store_millis, name, length, value) in rows {
            stated = version;
            loaded.store_time = Some(Timestamp::from_unix_millis(store_millis));
            // A ring without entries is one row without a name.
            if let Some(name) = name {
                let length = length.unwrap_or_default().try_into().unwrap_or_default();
                loaded.take(&place, &name, length, value.unwrap_or_default());
            }
        }
        check(stated.as_deref())?;
        Ok(loaded)
    }
}

impl Store for PostgresStore {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(self.select(ring, None))
    }

    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        Box::pin(self.select(ring, Some(names)))
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        Box::pin(async move {
            entry.check_length()?;
            let name = &entry.name;
            // A probe wakes nobody.
            let notified = if name.is_probe() { "" } else { ring };
            let insert = || {
                let insert = sqlx::query_as(INSERT).bind(ring).bind(name.as_str());
                insert.bind(&*entry.value).bind(CHANNEL).bind(notified)
            };
            for _ in 0..ATTEMPTS {
                let inserted = self.current.write(insert).await;
                if let Some(()) =
                    inserted.map_err(failed(&format!("insert into the ring {ring}")))?
                {
                    return Ok(Insertion::Inserted);
                }
                let found = self.select(ring, Some(slice::from_ref(name))).await?;
                if let Some(entry) = found.entries.into_iter().next() {
                    return Ok(Insertion::Exists(entry.value));
                }
                if let Some(Skipped { name, reason }) = found.skipped.into_iter().next() {
                    return Ok(Insertion::Unreadable(format!("{name} {reason}")));
                }
            }
            Err(StoreError::new(format!(
                "could not insert into the ring {ring} in PostgreSQL: {name} was repeatedly inserted \
                 and removed by other writers; gave up after {ATTEMPTS} attempts"
            )))
        })
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let remove = || sqlx::query_as::<_, ()>(REMOVE).bind(ring).bind(name.as_str());
            self.current
                .write(remove)
                .await
                .map(drop)
                .map_err(failed(&format!("remove from the ring {ring}")))
        })
    }

    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(self.listener.changed(ring))
    }

    fn properties(&self) -> StoreProperties {
        proof::properties()
    }
}

impl RefreshTokenStore for PostgresStore {
    fn redeem<'a>(
        &'a self,
        ring: &'a str,
        redemption: &'a Redemption,
    ) -> StoreFuture<'a, Redeemed> {
        Box::pin(async move {
            let Redemption { family, sequence, at, keep_for } = redemption;
            let redeem = || {
                sqlx::query_as(REDEEM)
                    .bind(ring)
                    .bind(family.as_str())
                    .bind(i64::from(*sequence))
                    .bind(at.as_unix_millis())
                    .bind((*at + *keep_for).as_unix_millis())
                    .bind(PURGED_AT_ONCE)
            };
            let redeemed = self.current.write(redeem).await;
            let redeemed: Option<(i64, i64)> =
                redeemed.map_err(failed(&format!("redeem a refresh token of the ring {ring}")))?;
            let valid = redeemed.and_then(|(sequence, at)| {
                let at = Timestamp::from_unix_millis(at);
                Some(Redeemed { sequence: sequence.try_into().ok()?, at })
            });
            valid.ok_or_else(|| {
                StoreError::new(
                    "could not read a redemption in PostgreSQL: its sequence is out of range",
                )
            })
        })
    }
}

/// A row that a read finds: the comment of the table and the server's time in milliseconds; and an
/// entry's name, length and value.
type Row = (Option<String>, i64, Option<String>, Option<i32>, Option<Vec<u8>>);

/// How many expired redemptions a redemption deletes: more than it adds, and few.
const PURGED_AT_ONCE: i64 = 8;

/// All entries, or those of the names given. Values that are too long are not sent.
const SELECT: &str = "\
SELECT server.version, server.store_millis, entry.name, entry.length, entry.value
FROM (SELECT obj_description(to_regclass('tower_jwt_session_entries'), 'pg_class') AS version,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS store_millis) AS server
LEFT JOIN (SELECT name, octet_length(value) AS length,
        CASE WHEN octet_length(value) <= $2 THEN value END AS value
    FROM tower_jwt_session_entries
    WHERE ring = $1 AND ($3::text[] IS NULL OR name = ANY ($3::text[]))) AS entry ON true";

/// Returns a row if it has inserted.
const INSERT: &str = "\
WITH inserted AS (
    INSERT INTO tower_jwt_session_entries (ring, name, value) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING RETURNING ring
)
SELECT pg_notify($4, $5) FROM inserted";

const REMOVE: &str = "DELETE FROM tower_jwt_session_entries WHERE ring = $1 AND name = $2";

/// Returns the latest redemption. If the stored row is later, it is locked and rewritten unchanged, so
/// that the statement returns it, in whatever order transactions commit.
const REDEEM: &str = "\
WITH expired AS (
    SELECT ring, family FROM tower_jwt_session_redemptions
    WHERE until_millis < $4 AND (ring, family) <> ($1, $2)
    ORDER BY until_millis LIMIT $6 FOR UPDATE SKIP LOCKED
), purged AS (
    DELETE FROM tower_jwt_session_redemptions AS gone USING expired
    WHERE (gone.ring, gone.family) = (expired.ring, expired.family)
)
INSERT INTO tower_jwt_session_redemptions AS last (ring, family, sequence, at_millis, until_millis)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (ring, family) DO UPDATE SET
    sequence = GREATEST(last.sequence, excluded.sequence),
    at_millis = CASE WHEN last.sequence < excluded.sequence
        THEN excluded.at_millis ELSE last.at_millis END,
    until_millis = GREATEST(last.until_millis, excluded.until_millis)
RETURNING sequence, at_millis";
