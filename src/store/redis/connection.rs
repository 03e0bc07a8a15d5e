//! How commands reach the current Redis server: a proven connection, and one repetition.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::{Client, Cmd, FromRedisValue, RedisError};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::store::contract::StoreError;
use crate::store::proof::Proof;
use crate::store::redis::cluster::Cluster;
use crate::store::redis::sentinel::Sentinels;
use crate::store::redis::server::{Cause, Node};
use crate::sync::lock;

/// The connections of a store. Each command names the ring that it is about, which decides which
/// server gets it; all keys of a command have the ring's hash tag.
pub(crate) struct Servers {
    route: Route,
    /// Where they are.
    address: String,
    database: i64,
    /// One for all rings, or one per ring where each ring may be at another server.
    proofs: Mutex<HashMap<Box<str>, Arc<Proof<Node>>>>,
    /// The masters whose configuration was looked at.
    checked: Mutex<HashSet<String>>,
    moves: watch::Sender<u64>,
}

/// How the current server is found.
enum Route {
    Address(Client),
    Sentinels(Sentinels),
    Cluster(Cluster),
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Servers {
    /// The server behind the client's address.
    pub(crate) async fn at(client: Client) -> Result<Self, StoreError> {
        let node = Node::connect(&client).await?;
        let address = client.get_connection_info().addr().to_string();
        let database = client.get_connection_info().redis_settings().db();
        Self::new(Route::Address(client), address, database).starting_at(node).await
    }

    /// The server that the Sentinels name.
    pub(crate) async fn of_sentinels(sentinels: Sentinels) -> Result<Self, StoreError> {
        let (address, database) = (sentinels.text(), sentinels.database());
        let connected = sentinels.prove().await;
        let connected = connected.map_err(|source| {
            StoreError::with_source(format!("could not connect to Redis at {address}"), source)
        });
        let node = connected?;
        Self::new(Route::Sentinels(sentinels), address, database).starting_at(node).await
    }

    /// The nodes of a cluster.
    pub(crate) async fn of_cluster(cluster: Cluster) -> Result<Self, StoreError> {
        let address = cluster.text();
        let masters = cluster.masters().await?;
        let servers = Self::new(Route::Cluster(cluster), address, 0);
        for node in &masters {
            servers.note(node);
            node.check_eviction().await?;
        }
        Ok(servers)
    }

    fn new(route: Route, address: String, database: i64) -> Self {
        let (proofs, checked, moves) = Default::default();
        Self { route, address, database, proofs, checked, moves }
    }

    /// The server that was found first, for all rings.
    async fn starting_at(self, node: Node) -> Result<Self, StoreError> {
        self.note(&node);
        node.check_eviction().await?;
        let incarnation = node.incarnation.clone();
        let proof = Proof::new(Some((node, incarnation)), self.moves.clone());
        lock(&self.proofs).insert(ALL.into(), Arc::new(proof));
        Ok(self)
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
        let mut attempts = 0;
        loop {
            attempts += 1;
            let node = self.node(ring).await?;
            let error = match command.query_async(&mut node.connection.clone()).await {
                Ok(value) => return Ok((value, node)),
                Err(error) => error,
            };
            match error.code() {
                Some("ASK") => {
                    if let Route::Cluster(cluster) = &self.route
                        && let Some(there) = cluster.redirected(&node, &error).await
                    {
                        let mut asking = redis::pipe();
                        asking.cmd("ASKING").ignore().add_command(command.clone());
                        let (value,) = asking.query_async(&mut there.connection.clone()).await?;
                        return Ok((value, Arc::new(there)));
                    }
                }
                // The keys of the command are on their way to another node.
                Some("TRYAGAIN") if attempts <= TRIES => {
                    sleep(PAUSE).await;
                    continue;
                }
                _ => {}
            }
            let is_repeated = error.is_connection_dropped() || leads_elsewhere(&error);
            // A connection whose answer did not arrive in time is not used again.
            if is_repeated || error.is_timeout() {
                self.proof(ring).forget(&node).await;
            }
            if !is_repeated || attempts > 1 {
                return Err(error.into());
            }
        }
    }

    /// The server that accepts writes about a ring, proven less than a second ago.
    pub(crate) async fn node(&self, ring: &str) -> Result<Arc<Node>, Arc<StoreError>> {
        let prove = || async {
            let node = match &self.route {
                Route::Address(client) => Node::connect(client).await,
                Route::Sentinels(sentinels) => sentinels.prove().await,
                Route::Cluster(cluster) => cluster.prove(ring).await,
            }?;
            if self.note(&node)
                && let Err(error) = node.check_eviction().await
            {
                tracing::warn!(%error, "the new server of the store may evict entries");
            }
            let (incarnation, since) = (node.incarnation.clone(), node.since);
            Ok((node, incarnation, since))
        };
        self.proof(ring).current(&self.address, prove).await
    }

    fn proof(&self, ring: &str) -> Arc<Proof<Node>> {
        let name = if matches!(self.route, Route::Cluster(_)) { ring } else { ALL };
        let mut proofs = lock(&self.proofs);
        if let Some(proof) = proofs.get(name) {
            return Arc::clone(proof);
        }
        let proof = Arc::new(Proof::new(None, self.moves.clone()));
        proofs.insert(name.into(), Arc::clone(&proof));
        proof
    }

    /// Whether the master is one that was not seen before.
    fn note(&self, node: &Node) -> bool {
        let incarnation = node.incarnation.clone();
        incarnation.is_some_and(|incarnation| lock(&self.checked).insert(incarnation))
    }

    /// The moves from one server to another.
    pub(crate) fn moves(&self) -> watch::Receiver<u64> {
        self.moves.subscribe()
    }

    /// Into how many parts a feed is split, each of which may be at another server.
    pub(crate) fn shards(&self) -> usize {
        match &self.route {
            Route::Address(_) | Route::Sentinels(_) => 1,
            Route::Cluster(_) => 16,
        }
    }

    /// The number of the database.
    pub(crate) fn database(&self) -> i64 {
        self.database
    }

    /// Where the servers are, for errors and logs.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The error of an operation on a ring.
    pub(crate) fn failed(&self, verb: &str, ring: &str) -> impl FnOnce(Cause) -> StoreError {
        let mut context = format!("could not {verb} the ring {ring} in Redis at {}", self.address);
        let is_cluster = matches!(self.route, Route::Cluster(_));
        move |cause| {
            let code = cause.downcast_ref::<RedisError>().and_then(RedisError::code);
            if code == Some("MOVED") && !is_cluster {
                context += ", which is a node of a cluster: open it with RedisStore::cluster";
            }
            StoreError::with_source(context, cause)
        }
    }
}

/// Whether the server is not, or not yet, a master that serves, or not that of the slot. Redis 6 wraps a
/// script's error.
fn leads_elsewhere(error: &RedisError) -> bool {
    let is_wrapped = || error.to_string().contains("-READONLY");
    let codes = ["READONLY", "MASTERDOWN", "LOADING", "MOVED", "CLUSTERDOWN"];
    error.code().is_some_and(|code| codes.contains(&code)) || is_wrapped()
}

/// The proof that is for all rings.
const ALL: &str = "";
/// How often, and when, a command is sent again whose keys are on their way to another node.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);
