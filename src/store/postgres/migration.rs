//! The tables in PostgreSQL: their creation, and their version.

use sqlx::{Connection, Executor, PgConnection};

use crate::store::contract::StoreError;
use crate::store::postgres::current::{Current, Failure, is};

pub(crate) const MIGRATION: &str = r#"
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
CREATE TABLE IF NOT EXISTS tower_jwt_session_feeds (
    feed text COLLATE "C" NOT NULL,
    incarnation uuid NOT NULL DEFAULT gen_random_uuid(),
    hinted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (feed)
);
CREATE TABLE IF NOT EXISTS tower_jwt_session_revocations (
    feed text COLLATE "C" NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    partition bigint NOT NULL,
    records bytea NOT NULL,
    PRIMARY KEY (feed, id)
);
CREATE INDEX IF NOT EXISTS tower_jwt_session_revocations_xid
    ON tower_jwt_session_revocations (feed, xid);
CREATE INDEX IF NOT EXISTS tower_jwt_session_revocations_partition
    ON tower_jwt_session_revocations (partition);
CREATE TABLE IF NOT EXISTS tower_jwt_session_registers (
    feed text COLLATE "C" NOT NULL,
    register bytea NOT NULL,
    version bigint NOT NULL,
    at_millis bigint NOT NULL,
    until_millis bigint NOT NULL,
    PRIMARY KEY (feed, register)
);
CREATE INDEX IF NOT EXISTS tower_jwt_session_registers_until
    ON tower_jwt_session_registers (until_millis);
"#;

/// Creates the tables if any is missing.
///
/// # Errors
///
/// Fails if PostgreSQL can't be reached, the role may not create the tables, or they are of another
/// version.
pub(crate) async fn migrate(current: &Current) -> Result<(), StoreError> {
    let migrated = async {
        let (mut connection, _) = current.acquire().await?;
        // If the tables exist, neither rights nor locks are needed.
        if let (Some(version), true) = tables(&mut connection).await? {
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
        sqlx::raw_sql(MIGRATION).execute(&mut *transaction).await?;
        let (version, _) = tables(&mut transaction).await?;
        transaction.commit().await?;
        Ok(version)
    };
    let failed = |failure: Failure| {
        let context = "could not create the tables of tower-jwt-session in PostgreSQL";
        StoreError::with_source(context, failure)
    };
    check(migrated.await.map_err(failed)?.as_deref())
}

/// Reads the comment of the table of entries, if there is one, and whether the other tables exist.
async fn tables(connection: &mut PgConnection) -> Result<(Option<String>, bool), sqlx::Error> {
    sqlx::query_as(TABLES).fetch_one(connection).await
}

/// Checks the version that the comment of the table of entries states.
pub(crate) fn check(comment: Option<&str>) -> Result<(), StoreError> {
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

/// The error of an operation, such as "read the ring app".
pub(crate) fn failed(operation: &str) -> impl FnOnce(Failure) -> StoreError {
    move |failure| {
        let fix = match &failure {
            Failure::Sql(error) if is(error, UNDEFINED_TABLE) => {
                ": its table is missing; call `PostgresStore::migrate` or run \
                 `PostgresStore::MIGRATION`, and live replicas restore what they hold (the store does \
                 not create it, since this may be the wrong database or a restore in progress)"
            }
            _ => "",
        };
        let context = format!("could not {operation} in PostgreSQL{fix}");
        StoreError::with_source(context, failure)
    }
}

const SCHEMA: u32 = 1;
/// The prefix of the version in the comment.
const STATED: &str = "tower-jwt-session schema version ";

/// A random number for the advisory lock.
const MIGRATION_LOCK: i64 = 0x2c1f_9a53_7be4_06d8;

/// PostgreSQL's error code for a missing table (appendix A of its manual).
const UNDEFINED_TABLE: &str = "42P01";

/// The comment is null also where there is no such table.
const TABLES: &str = "\
SELECT obj_description(to_regclass('tower_jwt_session_entries'), 'pg_class'),
    to_regclass('tower_jwt_session_redemptions') IS NOT NULL
    AND to_regclass('tower_jwt_session_feeds') IS NOT NULL
    AND to_regclass('tower_jwt_session_revocations') IS NOT NULL
    AND to_regclass('tower_jwt_session_registers') IS NOT NULL";
