//! The connections of the application's pool that lead to the current server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow, PgConnection, PgPool, Postgres};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::store::contract::StoreError;
use crate::store::proof::Proof;
use crate::sync::lock;

/// A pool, and the state of the server to which its address leads.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) pool: PgPool,
    proof: Proof<Server>,
    /// The moves from one server to another.
    pub(crate) moves: watch::Sender<u64>,
    /// The system, and its highest timeline that was seen.
    newest: Mutex<Option<(i64, u32)>>,
}

/// When the server was started, in microseconds: no two servers share it.
type Started = i64;

/// The reason why a statement failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The address leads to no current server, or to none that can be reached.
    #[error(transparent)]
    Unproven(Arc<StoreError>),
    #[error("{}", text(.0))]
    Sql(#[from] sqlx::Error),
}

impl Current {
    pub(crate) fn new(pool: PgPool) -> Self {
        let moves = watch::Sender::new(0);
        Self { pool, proof: Proof::new(None, moves.clone()), moves, newest: Mutex::default() }
    }

    /// Returns a connection of the pool that leads to the current server. Connections that lead
    /// elsewhere are closed, so that the pool connects to its address anew.
    ///
    /// # Errors
    ///
    /// Fails if the server is not current, or there is no connection to it.
    pub(crate) async fn acquire(&self) -> Result<(PoolConnection<Postgres>, Arc<Server>), Failure> {
        let mut attempts = self.pool.options().get_max_connections().saturating_add(1);
        let mut is_first = true;
        loop {
            let mut proven = self.prove().await?;
            let mut connection = match self.pool.acquire().await {
                Ok(connection) => connection,
                // The pool hides why it could not connect. If a connection works, all are in use.
                Err(error @ sqlx::Error::PoolTimedOut) => {
                    self.proof.forget(&proven).await;
                    self.prove().await?;
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            };
            let started: Started = sqlx::query_scalar(STARTED).fetch_one(&mut *connection).await?;
            if started != proven.started && std::mem::take(&mut is_first) {
                // The connection may be newer than the proof: the server was restarted since.
                self.proof.forget(&proven).await;
                proven = self.prove().await?;
            }
            if started == proven.started {
                return Ok((connection, proven));
            }
            connection.close_on_drop();
            attempts -= 1;
            if attempts == 0 {
                let error = StoreError::new(
                    "the connections of the pool lead to another server than new ones to the same \
                     address; let the address lead to one server, which takes writes",
                );
                return Err(Failure::Unproven(Arc::new(error)));
            }
        }
    }

    /// Runs a statement that writes, and returns its row if it has one, as [`run`](Self::run) does.
    ///
    /// # Errors
    ///
    /// Fails as `run` does.
    pub(crate) async fn write<'q, T>(
        &self,
        statement: impl Fn() -> QueryAs<'q, Postgres, T, PgArguments>,
    ) -> Result<Option<T>, Failure>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let (rows, _) = self.run(statement).await?;
        Ok(rows.into_iter().next())
    }

    /// Runs a statement, and returns its rows and the server that answered. It is repeated if concurrent
    /// statements made it fail, and once over another connection if the server accepts no writes.
    ///
    /// # Errors
    ///
    /// Fails as [`acquire`](Self::acquire) does, or with the error of the last attempt.
    pub(crate) async fn run<'q, T>(
        &self,
        statement: impl Fn() -> QueryAs<'q, Postgres, T, PgArguments>,
    ) -> Result<(Vec<T>, Arc<Server>), Failure>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let (mut attempts, mut is_first) = (ATTEMPTS, true);
        loop {
            let (mut connection, proven) = self.acquire().await?;
            let error = match statement().fetch_all(&mut *connection).await {
                Ok(rows) => return Ok((rows, proven)),
                Err(error) => error,
            };
            attempts -= 1;
            if is(&error, SERIALIZATION_FAILURE) && attempts > 0 {
                continue;
            }
            if is(&error, READ_ONLY) {
                connection.close_on_drop();
                self.proof.forget(&proven).await;
                if std::mem::take(&mut is_first) {
                    continue;
                }
            }
            return Err(error.into());
        }
    }

    pub(crate) async fn prove(&self) -> Result<Arc<Server>, Failure> {
        let options = self.pool.connect_options();
        let address = address(&options);
        let prove = || async {
            let context = format!("could not connect to PostgreSQL at {address}");
            let (mut closing, began) = (self.pool.close_event(), Instant::now());
            let asking = closing.do_until(tokio::time::timeout(LIMIT, ask(&options)));
            let server = match asking.await {
                Ok(Ok(Ok(server))) => server,
                Ok(Ok(Err(error))) | Err(error) => {
                    return Err(StoreError::with_source(context, Failure::Sql(error)));
                }
                Ok(Err(_)) => {
                    return Err(StoreError::new(format!("{context}: no answer in {LIMIT:?}")));
                }
            };
            self.check(&server, &context)?;
            let started = server.started.to_string();
            Ok((server, Some(started), began))
        };
        self.proof.current(&address, prove).await.map_err(Failure::Unproven)
    }

    /// Checks that the server accepts writes, and is not older than one seen before.
    fn check(&self, server: &Server, context: &str) -> Result<(), StoreError> {
        if server.is_standby {
            return Err(StoreError::new(format!(
                "{context}: it is in recovery (a standby), expected the primary; let the address \
                 lead to the server that takes writes"
            )));
        }
        let Some((system, timeline)) = server.timeline else { return Ok(()) };
        let mut newest = lock(&self.newest);
        match *newest {
            Some((same, newest)) if same == system && newest > timeline => {
                Err(StoreError::new(format!(
                    "{context}: its timeline is {timeline}, expected at least {newest}, which was \
                     seen before: it is a server from before a failover; let the address lead to \
                     the server that was promoted, or restart this replica if an older server was \
                     put in its place on purpose"
                )))
            }
            _ => {
                *newest = Some((system, timeline));
                Ok(())
            }
        }
    }
}

/// The state that a server reports.
#[derive(Debug)]
pub(crate) struct Server {
    is_standby: bool,
    started: Started,
    /// The system's identifier and the timeline on which it writes, if it shows them. A server that
    /// takes writes stays on its timeline until it is restarted.
    pub(crate) timeline: Option<(i64, u32)>,
}

/// Connects, queries, and closes the connection.
async fn ask(options: &PgConnectOptions) -> Result<Server, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let server = match ask_for(&mut connection, SERVER).await {
        // Compatible servers may lack these functions, or restrict them.
        Err(error) if UNSHOWN.iter().any(|code| is(&error, code)) => {
            ask_for(&mut connection, SERVER_WITHOUT_TIMELINE).await
        }
        server => server,
    };
    let _ = connection.close().await;
    server
}

async fn ask_for(
    connection: &mut PgConnection,
    query: &'static str,
) -> Result<Server, sqlx::Error> {
    // In one round trip, as nothing is prepared.
    let row = sqlx::raw_sql(query).fetch_one(connection).await?;
    let (is_standby, started, segment, system): (_, _, Option<String>, Option<_>) =
        FromRow::from_row(&row)?;
    let timeline = segment.as_deref().and_then(|segment| segment.get(..8));
    let timeline = timeline.and_then(|hex| u32::from_str_radix(hex, 16).ok());
    Ok(Server { is_standby, started, timeline: system.zip(timeline) })
}

/// Host and port, or the path of a socket.
fn address(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// The text of an error, without the line of PostgreSQL's own source, and with the error's code.
fn text(error: &sqlx::Error) -> String {
    match (error, error.as_database_error()) {
        (_, Some(answer)) => {
            format!("{} (SQLSTATE {})", answer.message(), answer.code().unwrap_or_default())
        }
        (sqlx::Error::PoolTimedOut, _) => "all connections of the pool are in use; set a higher \
                                           `max_connections` of the pool"
            .to_owned(),
        _ => error.to_string(),
    }
}

/// Whether the server answered with this SQLSTATE.
pub(crate) fn is(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|found| found == code)
}

/// How long connecting and asking may take: less than what a replica waits for a read by default.
const LIMIT: Duration = Duration::from_secs(4);

/// How often a statement is tried if concurrent ones make it fail, and an insert if other writers remove
/// the entry each time.
pub(crate) const ATTEMPTS: usize = 5;

/// PostgreSQL's error codes (appendix A of its manual): a write in a transaction that only reads; a
/// conflict of transactions; and a function that is not supported, missing or not allowed.
const READ_ONLY: &str = "25006";
const SERIALIZATION_FAILURE: &str = "40001";
const UNSHOWN: [&str; 3] = ["0A000", "42883", "42501"];

const STARTED: &str = "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint";

/// The name of the write-ahead log's segment begins with the timeline. `pg_control_checkpoint()` is
/// behind for minutes after a promotion.
const SERVER: &str = "\
SELECT pg_is_in_recovery() AS is_standby,
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END AS segment,
    system_identifier AS system
FROM pg_control_system()";

const SERVER_WITHOUT_TIMELINE: &str = "\
SELECT pg_is_in_recovery() AS is_standby,
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started,
    NULL::text AS segment, NULL::bigint AS system";
