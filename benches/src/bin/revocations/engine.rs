//! The stores, each with a server or a directory of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;
use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{FileStore, PostgresStore, RedisStore, RevocationStore};

use crate::fed::revoked;
use crate::server::{Server, ServerKind};

/// The name of the revocations, and of their feed in a store.
pub(crate) const NAME: &str = "bench";
pub(crate) const FEED: &str = "bench.ended";
const PASSWORD: &str = "only-on-loopback";
/// Connections of a replica to PostgreSQL.
const CONNECTIONS: u32 = 3;
/// How many sessions are appended at once.
const BATCH: u64 = 8_000;

/// Where revocations are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Redis,
    Postgres,
    Files,
}

/// Those with a server.
pub(crate) const SERVERS: [Kind; 2] = [Kind::Redis, Kind::Postgres];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
            Self::Files => "files",
        })
    }
}

/// A store's server or directory, which ends with it.
pub(crate) struct Engine {
    kind: Kind,
    held: Held,
}

enum Held {
    Server(Server),
    Directory(TempDir),
}

/// The way to a store.
#[derive(Clone)]
pub(crate) struct Door {
    kind: Kind,
    /// The URL, or the directory.
    place: String,
}

impl Engine {
    /// Starts an empty one.
    pub(crate) async fn start(kind: Kind) -> Self {
        let server = match kind {
            Kind::Files => {
                let directory = tempfile::tempdir().expect("a directory");
                return Self { kind, held: Held::Directory(directory) };
            }
            Kind::Redis => ServerKind::Redis,
            Kind::Postgres => ServerKind::Postgres,
        };
        let server = Server::start(server, PASSWORD).await;
        let server = server.unwrap_or_else(|reason| panic!("{reason}"));
        let engine = Self { kind, held: Held::Server(server) };
        if kind == Kind::Postgres {
            engine.door().postgres().migrate().await.expect("makes its tables");
        }
        engine
    }

    /// The port of its server.
    pub(crate) fn port(&self) -> u16 {
        match &self.held {
            Held::Server(server) => server.port,
            Held::Directory(_) => panic!("files have no port"),
        }
    }

    /// The way to it.
    pub(crate) fn door(&self) -> Door {
        match &self.held {
            Held::Server(server) => self.door_at(server.port),
            Held::Directory(directory) => {
                let place = directory.path().join("store").display().to_string();
                Door { kind: self.kind, place }
            }
        }
    }

    /// The way to its server by another port.
    pub(crate) fn door_at(&self, port: u16) -> Door {
        let Held::Server(server) = &self.held else { panic!("files have no port") };
        let (url, own) = (server.url(), format!(":{}", server.port));
        let place = url.strip_suffix(&own).expect("ends with its port");
        let database = if self.kind == Kind::Postgres { "/postgres" } else { "" };
        Door { kind: self.kind, place: format!("{place}:{port}{database}") }
    }
}

impl Door {
    /// A store with connections of its own.
    pub(crate) async fn store(&self) -> Arc<dyn RevocationStore> {
        match self.kind {
            Kind::Files => Arc::new(FileStore::open(&self.place).expect("opens")),
            Kind::Postgres => Arc::new(self.postgres()),
            Kind::Redis => Arc::new(RedisStore::connect(&self.place).await.expect("connects")),
        }
    }

    fn postgres(&self) -> PostgresStore {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
        PostgresStore::new(pool.connect_lazy(&self.place).expect("a URL"))
    }
}

/// Appends so many sessions, which nobody uses.
pub(crate) async fn fill(store: &dyn RevocationStore, count: usize) {
    let now = now();
    for first in (0..count as u64).step_by(BATCH as usize) {
        let last = (first + BATCH).min(count as u64);
        let batch: Vec<_> = (first..last).map(|number| revoked(number, now)).collect();
        store.append(FEED, &batch, now).await.expect("is recorded");
    }
}

pub(crate) fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

/// Waits until it is so, for at most `limit`; how long that took.
pub(crate) async fn until(
    limit: Duration,
    mut is_so: impl AsyncFnMut() -> bool,
) -> Option<Duration> {
    let start = std::time::Instant::now();
    while !is_so().await {
        if start.elapsed() > limit {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Some(start.elapsed())
}
