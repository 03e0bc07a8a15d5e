//! A connection to one Redis server, which must accept writes and keep what is written.

use std::error::Error;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, InfoDict, RedisError};
use tokio::time::Instant;

use crate::store::contract::StoreError;

/// The reason why a command failed: a [`RedisError`], or that no current server was found.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// A server that said that it accepts writes when its connection was made.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) client: Client,
    pub(crate) connection: MultiplexedConnection,
    /// Changes when a replica becomes the master. No two servers that accept writes share one.
    pub(crate) incarnation: Option<String>,
    /// When its connection was begun.
    pub(crate) since: Instant,
}

impl Node {
    /// Connects to a server, which must be a master.
    pub(crate) async fn connect(client: &Client) -> Result<Self, StoreError> {
        let address = client.get_connection_info().addr();
        let context = format!("could not connect to Redis at {address}");
        let since = Instant::now();
        let asked = async {
            let mut connection = open(client).await?;
            let info = redis::cmd("INFO").arg("replication").query_async(&mut connection).await?;
            Ok::<(_, InfoDict), RedisError>((connection, info))
        };
        let failed = |error| StoreError::with_source(&*context, error);
        let (connection, info) = asked.await.map_err(failed)?;
        let text = |field| info.get::<String>(field);
        match text("role").as_deref() {
            Some("master") => {
                let incarnation = text("master_replid");
                Ok(Self { client: client.clone(), connection, incarnation, since })
            }
            role => {
                let role = role.unwrap_or("unknown");
                let master = text("master_host").unwrap_or_default();
                Err(StoreError::new(format!(
                    "{context}: its role is {role} (of {master:?}), expected master; let the \
                     address lead to the server that takes writes"
                )))
            }
        }
    }
}

impl Node {
    /// Whether the server keeps its entries when its memory is full.
    ///
    /// # Errors
    ///
    /// If it may drop some, or can't be asked.
    pub(crate) async fn check_eviction(&self) -> Result<(), StoreError> {
        let address = self.client.get_connection_info().addr();
        let info = redis::cmd("INFO").arg("memory").take();
        let info: InfoDict =
            info.query_async(&mut self.connection.clone()).await.map_err(|error| {
                StoreError::with_source(format!("could not connect to Redis at {address}"), error)
            })?;
        match info.get::<String>("maxmemory_policy").as_deref() {
            Some("noeviction") => Ok(()),
            Some(policy) => Err(StoreError::new(format!(
                "maxmemory-policy of Redis at {address} is {policy}, expected noeviction: any other \
                 may drop keys and revocations; run CONFIG SET maxmemory-policy noeviction, and \
                 change it in the configuration, too"
            ))),
            None => {
                tracing::warn!(%address, "cannot read maxmemory-policy of Redis; set it to noeviction");
                Ok(())
            }
        }
    }
}

/// The key of a ring's entries. All keys of a ring have its hash tag, and so one slot.
pub(crate) fn entries_key(ring: &str) -> String {
    format!("{{tower-jwt-session:{ring}}}:entries")
}

/// Opens a connection whose commands never wait for longer than [`TIMEOUT`].
pub(crate) async fn open(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Shorter than what a ring waits by default, so that a silent connection is noticed.
const TIMEOUT: Duration = Duration::from_secs(2);
