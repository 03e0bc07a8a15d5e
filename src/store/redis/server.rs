//! A connection to one Redis server, which must accept writes.

use std::error::Error;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, InfoDict, RedisError};

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
}

impl Node {
    /// Connects to a server, which must be a master.
    pub(crate) async fn connect(client: &Client) -> Result<Self, StoreError> {
        let address = client.get_connection_info().addr();
        let context = format!("could not connect to Redis at {address}");
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
                Ok(Self { client: client.clone(), connection, incarnation })
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

/// Opens a connection whose commands never wait for longer than [`TIMEOUT`].
pub(crate) async fn open(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Shorter than what a ring waits by default, so that a silent connection is noticed.
const TIMEOUT: Duration = Duration::from_secs(2);
