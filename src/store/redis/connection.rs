//! How commands reach the current Redis server: a proven connection, and one repetition.

use std::fmt;
use std::sync::Arc;

use redis::{Client, Cmd, FromRedisValue, RedisError};
use tokio::sync::watch;

use crate::store::contract::StoreError;
use crate::store::proof::Proof;
use crate::store::redis::server::{Cause, Node};

/// The connections of a store. Each command names the ring that it is about, which decides which
/// server gets it; all keys of a command have the ring's hash tag.
pub(crate) struct Servers {
    client: Client,
    /// Host and port, or the path of a socket.
    address: String,
    proof: Proof<Node>,
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Servers {
    /// The server behind the client's address.
    pub(crate) async fn at(client: Client) -> Result<Self, StoreError> {
        let address = client.get_connection_info().addr().to_string();
        let node = Node::connect(&client).await?;
        let incarnation = node.incarnation.clone();
        let proof = Proof::new(Some((node, incarnation)));
        Ok(Self { client, address, proof })
    }

    /// Sends the command of an operation on a ring.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        verb: &str,
        ring: &str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        self.query(ring, command).await.map_err(self.failed(verb, ring))
    }

    /// Sends a command about a ring, and once more if its connection was dead or led to a server that
    /// accepts no writes.
    pub(crate) async fn query<T: FromRedisValue>(
        &self,
        ring: &str,
        command: &Cmd,
    ) -> Result<T, Cause> {
        self.query_at(ring, command).await.map(|(value, _)| value)
    }

    /// As [`query`](Self::query), and returns the server that has answered, too.
    pub(crate) async fn query_at<T: FromRedisValue>(
        &self,
        ring: &str,
        command: &Cmd,
    ) -> Result<(T, Arc<Node>), Cause> {
        let mut is_first = true;
        loop {
            let node = self.node(ring).await?;
            let error = match command.query_async(&mut node.connection.clone()).await {
                Ok(value) => return Ok((value, node)),
                Err(error) => error,
            };
            let is_repeated = error.is_connection_dropped() || leads_elsewhere(&error);
            // A connection whose answer did not arrive in time is not used again.
            if is_repeated || error.is_timeout() {
                self.proof.forget(&node).await;
            }
            if !(is_repeated && std::mem::take(&mut is_first)) {
                return Err(error.into());
            }
        }
    }

    /// The server that accepts writes about a ring, proven less than a second ago.
    pub(crate) async fn node(&self, _ring: &str) -> Result<Arc<Node>, Arc<StoreError>> {
        let prove = || async {
            let node = Node::connect(&self.client).await?;
            let incarnation = node.incarnation.clone();
            Ok((node, incarnation))
        };
        self.proof.current(&self.address, prove).await
    }

    /// The moves from one server to another.
    pub(crate) fn moves(&self) -> watch::Receiver<u64> {
        self.proof.moves()
    }

    /// The number of the database.
    pub(crate) fn database(&self) -> i64 {
        self.client.get_connection_info().redis_settings().db()
    }

    /// Where the servers are, for errors and logs.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The error of an operation on a ring.
    pub(crate) fn failed(&self, verb: &str, ring: &str) -> impl FnOnce(Cause) -> StoreError {
        let context = format!("could not {verb} the ring {ring} in Redis at {}", self.address);
        move |cause| StoreError::with_source(context, cause)
    }
}

/// Whether the server is not, or not yet, a master that serves. Redis 6 wraps a script's error.
fn leads_elsewhere(error: &RedisError) -> bool {
    let is_wrapped = || error.to_string().contains("-READONLY");
    matches!(error.code(), Some("READONLY" | "MASTERDOWN" | "LOADING")) || is_wrapped()
}
