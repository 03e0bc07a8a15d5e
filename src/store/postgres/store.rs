//! A store in PostgreSQL: a row per entry.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgRow};
use sqlx::{Connection, Executor, PgExecutor, PgPool, Row};

use crate::clock::Timestamp;
use crate::crypto::secret_bytes::SecretBytes;
use crate::store::contract::{
    Entry, EntryName, Insertion, Loaded, Redeemed, Redemption, Store, StoreError, StoreFuture,
    StoreProperties,
};
use crate::store::listener::{Listener, Source};
use crate::store::postgres::current::{Cause, Current, Failure, is};
use crate::store::proof::{Moves, PROVEN_FOR};

/// A [`Store`] in PostgreSQL, over the application's own pool (feature `postgres`).
///
/// 1. There are two tables, `tower_jwt_session_entries` and `tower_jwt_session_redemptions`, in the
///    first schema of the pool's `search_path`. [`migrate`](Self::migrate) creates them, or the
///    application does, with [`MIGRATION`](Self::MIGRATION). Tables of a newer version of this crate
///    are refused; the version is the comment of the table of entries, which `TRUNCATE` keeps.
/// 2. An insert is one statement, `INSERT … ON CONFLICT DO NOTHING`, which notifies the others in the
///    same transaction (`NOTIFY`). It waits for a concurrent insert of the same name. If that one won,
///    a second statement reads its row; if the row was removed meanwhile, the insert is repeated.
/// 3. Redeeming a refresh token is one statement, `INSERT … ON CONFLICT DO UPDATE`, which also
///    deletes a few expired rows.
/// 4. Replicas receive changes on the channel `tower_jwt_session`, with names of rings as messages,
///    over one connection outside the pool, made when they first wait for a change.
/// 5. Once per second of use, a connection outside the pool checks whether the server is in recovery,
///    when it was started and on which timeline it writes, and is closed. A standby is an error, and so
///    is a server of the same system with a lower timeline than one seen before: after a failover the
///    old primary may answer for ever, and accept writes that are lost. Each connection of the pool is
///    asked for its server's start before it is used, which costs one round trip; one that leads to
///    another server is closed. This costs an idle replica one connection per poll, a busy one at most
///    one per second, for which a read or write waits (5 round trips, and those of TLS).
///    The store's [`staleness`](StoreProperties::staleness) is that second.
/// 6. A write that fails with "read-only transaction" is repeated once, over a new connection.
///
/// # Operation
///
/// * Everyone who can read the tables can read the entries, so keys
///   [have to be sealed](crate::store::SealingNeed::Required).
/// * The role needs `SELECT`, `INSERT` and `DELETE` on the tables, `UPDATE` on that of redemptions,
///   and `CREATE` on the schema only while they are missing.
/// * The pool must lead to one server that accepts writes. After a failover its address has to lead to
///   the new primary; replicas follow it within a second of the next read or write. Leave room in the
///   server's `max_connections` for two more connections per replica.
/// * After `TRUNCATE` or `DELETE` live replicas restore what they hold. After `DROP TABLE` every
///   operation fails until [`migrate`](Self::migrate) is called or [`MIGRATION`](Self::MIGRATION) is
///   run; then they restore it. The store does not create the tables by itself: a missing table can
///   also mean a wrong database, another `search_path`, or a backup that is being restored.
/// * Behind a proxy that pools transactions (PgBouncer's `pool_mode = transaction`) `LISTEN` receives
///   nothing: replicas then see changes when they poll. Such a proxy also has to support prepared
///   statements, as PgBouncer 1.21 does with `max_prepared_statements`.
/// * The application enables TLS in its own `Cargo.toml`, for example with sqlx's feature
///   `tls-rustls`.
///
/// ```no_run
/// use sqlx::PgPool;
/// use tower_jwt_session::store::{Entry, EntryName, Insertion, PostgresStore, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = PgPool::connect("postgres://app:password@postgres.example/app").await?;
/// let replica = PostgresStore::new(pool);
/// replica.migrate().await?;
/// let other_replica = replica.clone();
///
/// let name = EntryName::parse("generation-0").ok_or("not a name")?;
/// let entry = |value: &str| Entry::new(name.clone(), value.as_bytes().to_vec());
/// let first = replica.insert("main", &entry("first")).await?;
/// assert_eq!(first, Insertion::Inserted);
///
/// let second = other_replica.insert("main", &entry("second")).await?;
/// assert_eq!(second, Insertion::Exists(entry("first").value));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    current: Arc<Current>,
    listener: Listener<Channel>,
}

impl PostgresStore {
    /// The SQL that creates the tables, for applications that run migrations themselves. It is
    /// idempotent.
    pub const MIGRATION: &'static str = r#"
CREATE TABLE IF NOT EXISTS tower_jwt_session_entries (
    ring text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (ring, name)
);
DO $$ BEGIN
    IF obj_description(to_regclass('tower_jwt_session_entries'), 'pg_class') IS NULL THEN
        COMMENT ON TABLE tower_jwt_session_entries IS 'tower-jwt-session schema version 1';
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS tower_jwt_session_redemptions (
    ring text COLLATE "C" NOT NULL,
    family text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    at_millis bigint NOT NULL,
    until_millis bigint NOT NULL,
    PRIMARY KEY (ring, family)
);
CREATE INDEX IF NOT EXISTS tower_jwt_session_redemptions_until
    ON tower_jwt_session_redemptions (until_millis);
"#;

    /// Makes a store over `pool`, without connecting.
    pub fn new(pool: PgPool) -> Self {
        let current = Arc::new(Current::new(pool));
        let listener = Listener::new(Channel(Arc::clone(&current)));
        Self { current, listener }
    }

    /// Creates the tables if they are missing. Any number of replicas may do so at once.
    ///
    /// # Errors
    ///
    /// Fails if PostgreSQL can't be reached, the role may not create the tables, or they are of a newer
    /// version of this crate.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let migrated = async {
            let mut lease = self.current.acquire().await?;
            let connection = &mut *lease.connection;
            // If the tables exist, neither rights nor locks are needed.
            if let Some(version) = version(&mut *connection).await?
                && has_redemptions(&mut *connection).await?
            {
                return Ok(Some(version));
            }
            let mut transaction = connection.begin().await?;
            // Each statement sees what was committed before it, whatever the role's default is.
            transaction.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
            // `IF NOT EXISTS` alone does not protect against concurrent migrations.
            sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(MIGRATION_LOCK)
                .execute(&mut *transaction)
                .await?;
            sqlx::raw_sql(Self::MIGRATION).execute(&mut *transaction).await?;
            let version = version(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(version)
        };
        let failed = |failure: Failure| {
            failure
                .into_error("could not create the tables of tower-jwt-session in PostgreSQL".into())
        };
        check(migrated.await.map_err(failed)?.as_deref())
    }

    /// Reads the entries of those names, or all.
    async fn select(&self, ring: &str, names: Option<&[EntryName]>) -> Result<Loaded, StoreError> {
        let names: Option<Vec<&str>> =
            names.map(|names| names.iter().map(EntryName::as_str).collect());
        let failed = |failure: Failure| failed(&format!("read the ring {ring}"), failure);
        let mut lease = self.current.acquire().await.map_err(failed)?;
        let rows = sqlx::query(if names.is_some() { READ } else { LOAD })
            .bind(ring)
            .bind(Entry::MAX_BYTES as i32)
            .bind(names)
            .fetch_all(&mut *lease.connection)
            .await
            .map_err(|error| failed(error.into()))?;
        let place = format!("tower_jwt_session_entries {ring:?}");
        let (mut loaded, mut version) = (Loaded::default(), None);
        for row in rows {
            let Found { server, name, length, value } =
                Found::of(&row).map_err(|error| failed(error.into()))?;
            version = server.0;
            loaded.store_time = Some(Timestamp::from_unix_millis(server.1));
            // A ring without entries is one row without a name.
            if let Some(name) = name {
                let length = length.unwrap_or_default().try_into().unwrap_or_default();
                loaded.take(&place, name, length, value.unwrap_or_default());
            }
        }
        check(version.as_deref())?;
        Ok(loaded)
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
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
            let failed =
                |failure: Failure| failed(&format!("insert into the ring {ring}"), failure);
            let mut is_first = true;
            // A probe wakes nobody.
            let notified = if entry.name.is_probe() { "" } else { ring };
            for _ in 0..ATTEMPTS {
                let mut lease = self.current.acquire().await.map_err(failed)?;
                let inserted = sqlx::query(INSERT)
                    .bind(ring)
                    .bind(entry.name.as_str())
                    .bind(&*entry.value)
                    .bind(CHANNEL)
                    .bind(notified)
                    .fetch_optional(&mut *lease.connection)
                    .await;
                match inserted {
                    Ok(Some(_)) => return Ok(Insertion::Inserted),
                    Ok(None) => {}
                    // The row exists, if REPEATABLE READ is the role's default.
                    Err(error) if is(&error, SERIALIZATION_FAILURE) => {}
                    Err(error) => {
                        let left = self.current.leave(lease, error, &mut is_first).await;
                        left.map_err(failed)?;
                        continue;
                    }
                }
                let found: Option<(Vec<u8>,)> = sqlx::query_as(FIND)
                    .bind(ring)
                    .bind(entry.name.as_str())
                    .fetch_optional(&mut *lease.connection)
                    .await
                    .map_err(|error| failed(error.into()))?;
                if let Some((value,)) = found {
                    return Ok(Insertion::Exists(SecretBytes::from(value)));
                }
            }
            Err(StoreError::new(format!(
                "could not insert into the ring {ring} in PostgreSQL: {} was repeatedly inserted \
                 and removed by other writers; gave up after {ATTEMPTS} attempts",
                entry.name
            )))
        })
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let failed =
                |failure: Failure| failed(&format!("remove from the ring {ring}"), failure);
            let mut is_first = true;
            loop {
                let mut lease = self.current.acquire().await.map_err(failed)?;
                let remove = sqlx::query(REMOVE).bind(ring).bind(name.as_str());
                match remove.execute(&mut *lease.connection).await {
                    Ok(_) => return Ok(()),
                    Err(error) => {
                        let left = self.current.leave(lease, error, &mut is_first).await;
                        left.map_err(failed)?;
                    }
                }
            }
        })
    }

    fn redeem<'a>(
        &'a self,
        ring: &'a str,
        redemption: &'a Redemption,
    ) -> StoreFuture<'a, Redeemed> {
        Box::pin(async move {
            let Redemption { family, sequence, at, keep_for } = redemption;
            let failed = |failure: Failure| {
                failed(&format!("redeem a refresh token of the ring {ring}"), failure)
            };
            let (mut attempts, mut is_first) = (ATTEMPTS, true);
            loop {
                let mut lease = self.current.acquire().await.map_err(failed)?;
                let redeemed = sqlx::query_as(REDEEM)
                    .bind(ring)
                    .bind(family.as_str())
                    .bind(i64::from(*sequence))
                    .bind(at.as_unix_millis())
                    .bind((*at + *keep_for).as_unix_millis())
                    .bind(PURGED_AT_ONCE)
                    .fetch_one(&mut *lease.connection)
                    .await;
                attempts -= 1;
                match redeemed {
                    Ok((sequence, at)) => return redeemed_of(sequence, at),
                    Err(error) if is(&error, SERIALIZATION_FAILURE) && attempts > 0 => {}
                    Err(error) => {
                        let left = self.current.leave(lease, error, &mut is_first).await;
                        left.map_err(failed)?;
                    }
                }
            }
        })
    }

    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.listener.changed(ring).await;
            Ok(())
        })
    }

    fn properties(&self) -> StoreProperties {
        StoreProperties {
            notifies: true,
            redeems: true,
            // Writes to another server since the connection was proven are missed for as long.
            staleness: PROVEN_FOR,
            ..StoreProperties::default()
        }
    }
}

/// The channel of all rings, over a connection of its own.
#[derive(Clone)]
struct Channel(Arc<Current>);

impl Source for Channel {
    type Connection = (PgListener, PgPool);

    fn moves(&self) -> Moves {
        self.0.proof.moves()
    }

    async fn connect(&self) -> Result<Self::Connection, StoreError> {
        let pool = &self.0.pool;
        // This fails with the reason if there is no server, or an old one after a failover.
        self.0
            .prove()
            .await
            .map_err(|failure| failure.into_error(format!("could not {LISTEN}")))?;
        let listen = async {
            // The application closed the pool: it is done with the store.
            if pool.is_closed() {
                return Err(sqlx::Error::PoolClosed);
            }
            let options = PgConnectOptions::clone(&pool.connect_options());
            let single = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .connect_lazy_with(options);
            let mut listener = PgListener::connect_with(&single).await?;
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok(listener)
        };
        let listener = listen.await.map_err(unheard)?;
        Ok((listener, pool.clone()))
    }

    async fn next((listener, pool): &mut Self::Connection) -> Result<String, StoreError> {
        let heard = pool.close_event().do_until(listener.try_recv()).await;
        match heard.and_then(|heard| heard).map_err(unheard)? {
            Some(message) => Ok(message.payload().to_owned()),
            None => Err(StoreError::new("the connection that listens to PostgreSQL was lost")),
        }
    }

    async fn ping((listener, _): &mut Self::Connection) -> Result<(), StoreError> {
        listener.execute("SELECT 1").await.map(drop).map_err(unheard)
    }
}

/// The comment of the table of entries, if there is one.
fn version<'c>(
    connection: impl PgExecutor<'c> + 'c,
) -> impl Future<Output = Result<Option<String>, sqlx::Error>> {
    sqlx::query_scalar(VERSION).fetch_one(connection)
}

async fn has_redemptions<'c>(connection: impl PgExecutor<'c> + 'c) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(HAS_REDEMPTIONS).fetch_one(connection).await
}

/// Checks the version that the comment of the table of entries states.
fn check(comment: Option<&str>) -> Result<(), StoreError> {
    let version = comment.and_then(|comment| comment.strip_prefix(STATED));
    match version.and_then(|version| version.parse::<u32>().ok()) {
        Some(SCHEMA) => Ok(()),
        Some(newer @ 2..) => Err(StoreError::new(format!(
            "the table tower_jwt_session_entries in PostgreSQL has schema version {newer}; this \
             version of tower-jwt-session supports {SCHEMA}: upgrade this replica"
        ))),
        _ => {
            let found = comment.map_or_else(|| "none".to_owned(), |comment| format!("{comment:?}"));
            Err(StoreError::new(format!(
                "the table tower_jwt_session_entries in PostgreSQL has no schema version: its \
                 comment is {found}, expected \"{STATED}{SCHEMA}\"; remove the comment and call \
                 `PostgresStore::migrate`"
            )))
        }
    }
}

/// A row that a read found.
struct Found<'a> {
    /// The schema's version, and the time in milliseconds.
    server: (Option<String>, i64),
    name: Option<&'a str>,
    length: Option<i32>,
    value: Option<Vec<u8>>,
}

impl<'a> Found<'a> {
    fn of(row: &'a PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            server: (row.try_get("version")?, row.try_get("store_millis")?),
            name: row.try_get("name")?,
            length: row.try_get("length")?,
            value: row.try_get("value")?,
        })
    }
}

fn redeemed_of(sequence: i64, at: i64) -> Result<Redeemed, StoreError> {
    let sequence = u32::try_from(sequence).map_err(|source| {
        let context = "could not read a redemption in PostgreSQL: its sequence is out of range";
        StoreError::with_source(context, source)
    })?;
    Ok(Redeemed { sequence, at: Timestamp::from_unix_millis(at) })
}

fn failed(attempt: &str, failure: Failure) -> StoreError {
    let fix = match failure.has_code(UNDEFINED_TABLE) {
        true => {
            ": its table is missing; call `PostgresStore::migrate` or run \
             `PostgresStore::MIGRATION`, and live replicas restore what they hold (the store does \
             not create it, since this may be the wrong database or a restore in progress)"
        }
        false => "",
    };
    failure.into_error(format!("could not {attempt} in PostgreSQL{fix}"))
}

fn unheard(error: sqlx::Error) -> StoreError {
    StoreError::with_source(format!("could not {LISTEN}"), Cause(error))
}

const SCHEMA: u32 = 1;
/// The prefix of the version in the comment.
const STATED: &str = "tower-jwt-session schema version ";
const CHANNEL: &str = "tower_jwt_session";
const LISTEN: &str = "listen to PostgreSQL";

/// A random number for the advisory lock.
const MIGRATION_LOCK: i64 = 0x2c1f_9a53_7be4_06d8;

/// How often an insert is tried if other writers remove the entry each time; and a redemption, if the
/// isolation level makes concurrent ones fail.
const ATTEMPTS: usize = 5;

/// How many expired redemptions a redemption deletes: more than it adds, and few.
const PURGED_AT_ONCE: i64 = 8;

/// PostgreSQL's error codes (appendix A of its manual).
const UNDEFINED_TABLE: &str = "42P01";
const SERIALIZATION_FAILURE: &str = "40001";

/// Null also where there is no such table.
const VERSION: &str =
    "SELECT obj_description(to_regclass('tower_jwt_session_entries'), 'pg_class')";
const HAS_REDEMPTIONS: &str = "SELECT to_regclass('tower_jwt_session_redemptions') IS NOT NULL";

/// Values that are too long are not sent.
const LOAD: &str = "\
SELECT server.version, server.store_millis, entry.name, entry.length, entry.value
FROM (SELECT obj_description(to_regclass('tower_jwt_session_entries'), 'pg_class') AS version,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS store_millis) AS server
LEFT JOIN (SELECT name, octet_length(value) AS length,
        CASE WHEN octet_length(value) <= $2 THEN value END AS value
    FROM tower_jwt_session_entries WHERE ring = $1 AND $3::text[] IS NULL) AS entry ON true";

const READ: &str = "\
SELECT server.version, server.store_millis, entry.name, entry.length, entry.value
FROM (SELECT obj_description(to_regclass('tower_jwt_session_entries'), 'pg_class') AS version,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS store_millis) AS server
LEFT JOIN (SELECT name, octet_length(value) AS length,
        CASE WHEN octet_length(value) <= $2 THEN value END AS value
    FROM tower_jwt_session_entries WHERE ring = $1 AND name = ANY ($3::text[])) AS entry ON true";

/// Returns a row if it has inserted.
const INSERT: &str = "\
WITH inserted AS (
    INSERT INTO tower_jwt_session_entries (ring, name, value) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING RETURNING ring
)
SELECT pg_notify($4, $5) FROM inserted";

const FIND: &str = "SELECT value FROM tower_jwt_session_entries WHERE ring = $1 AND name = $2";
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
