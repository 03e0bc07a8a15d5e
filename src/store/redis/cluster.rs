//! Redis Cluster: a majority of the masters says which node owns a ring's slot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, ErrorKind, RedisError, Value, from_redis_value};
use tokio::sync::watch;

use crate::store::contract::StoreError;
use crate::store::proof::Proof;
use crate::store::redis::address::{Address, read_urls};
use crate::store::redis::majority::majority;
use crate::store::redis::server::{Cause, Node, entries_key, open};
use crate::sync::lock;

/// The nodes of a cluster.
pub(crate) struct Cluster {
    /// The nodes that the application names.
    seeds: Vec<Address>,
    /// How to log in at each node.
    like: ConnectionInfo,
    view: Mutex<View>,
    /// A connection to each master, for all rings: a feed has many.
    voters: Mutex<BTreeMap<Address, Arc<Proof<Voter>>>>,
}

/// A master, and who is in the cluster as it sees it.
struct Voter {
    node: Node,
    view: View,
}

/// Who is in a cluster, as one of its nodes sees it.
#[derive(Clone, Default, Eq, PartialEq)]
struct View {
    /// Those that own slots, and so have a vote.
    masters: BTreeSet<Address>,
    replicas: BTreeSet<Address>,
}

impl Cluster {
    /// Reads the nodes' URLs.
    pub(crate) fn read<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
    ) -> Result<Self, StoreError> {
        let (seeds, mut like): (Vec<_>, Vec<_>) =
            read_urls("node of a cluster", urls)?.into_iter().unzip();
        let like = like.swap_remove(0);
        let database = like.redis_settings().db();
        if database != 0 {
            return Err(StoreError::new(format!(
                "the URL of a node of a cluster names database {database}, expected 0: Redis \
                 Cluster has no other; remove it from the URL"
            )));
        }
        Ok(Self { seeds, like, view: Mutex::default(), voters: Mutex::default() })
    }

    /// Connects to every master that answers.
    pub(crate) async fn masters(&self) -> Result<Vec<Node>, StoreError> {
        self.look().await?;
        let masters = lock(&self.view).masters.clone();
        let nodes = masters.iter().map(|master| self.connect(master));
        // A dead one is no reason not to start.
        Ok(join_all(nodes).await.into_iter().flatten().collect())
    }

    /// Connects to the node that owns the slot of a ring.
    pub(crate) async fn prove(&self, ring: &str) -> Result<Node, StoreError> {
        let view = lock(&self.view).clone();
        let failed = match self.owner(&view, ring).await {
            Ok(node) => return Ok(node),
            Err(failed) => failed,
        };
        // Those that were masters may all be gone.
        let now = self.look().await?;
        if now == view { Err(failed) } else { self.owner(&now, ring).await }
    }

    /// Connects to the node that the majority of these masters names, and that says so itself.
    async fn owner(&self, view: &View, ring: &str) -> Result<Node, StoreError> {
        let question = format!("which node owns the slot of the ring {ring}");
        let named = view.masters.iter().map(async |master| {
            let (named, _) = self.named_by(master, ring).await?;
            Ok::<_, Cause>(named)
        });
        let owner = majority(&question, named).await?;
        let failed = |cause| {
            let context = format!("could not ask the node {owner} of the cluster of Redis");
            StoreError::with_source(context, cause)
        };
        let (named, voter) = self.named_by(&owner, ring).await.map_err(failed)?;
        if named != owner {
            return Err(StoreError::new(format!(
                "the masters of the cluster of Redis say that the slot of the ring {ring} is at \
                 {owner}, which says that it is at {named}, expected itself"
            )));
        }
        lock(&self.voters).retain(|master, _| voter.view.masters.contains(master));
        *lock(&self.view) = voter.view.clone();
        Ok(voter.node.clone())
    }

    /// The owner of a ring's slot as a master knows it now.
    async fn named_by(&self, master: &Address, ring: &str) -> Result<(Address, Arc<Voter>), Cause> {
        let proof = Arc::clone(
            lock(&self.voters)
                .entry(master.clone())
                .or_insert_with(|| Arc::new(Proof::new(None, watch::Sender::new(0)))),
        );
        let mut is_first = true;
        loop {
            let connect = || async {
                let node = self.connect(master).await?;
                let failed = |error| {
                    let context =
                        format!("could not ask the node {master} of the cluster of Redis");
                    StoreError::with_source(context, error)
                };
                let view = seen_by(master, &mut node.connection.clone()).await.map_err(failed)?;
                let since = node.since;
                Ok((Voter { node, view }, None, since))
            };
            let voter = proof.current(&self.text(), connect).await?;
            match asked_owner(master, ring, &mut voter.node.connection.clone()).await {
                Ok(named) => return Ok((named, voter)),
                Err(error) => {
                    let is_dropped = error.is_connection_dropped();
                    if is_dropped || error.is_timeout() {
                        proof.forget(&voter).await;
                    }
                    // The server may have been restarted.
                    if !is_dropped || !std::mem::take(&mut is_first) {
                        return Err(error.into());
                    }
                }
            }
        }
    }

    /// Asks all known nodes who is in the cluster, and returns what most say.
    async fn look(&self) -> Result<View, StoreError> {
        let View { masters, replicas } = lock(&self.view).clone();
        let known: BTreeSet<_> = masters.into_iter().chain(replicas).collect();
        let known: BTreeSet<_> = known.into_iter().chain(self.seeds.iter().cloned()).collect();
        let asked = known.iter().map(|node| async {
            let client = node.client(&self.like).map_err(io_error)?;
            seen_by(node, &mut open(&client).await?).await
        });
        let (mut views, mut last_error) = (Vec::<(usize, View)>::new(), None);
        for view in join_all(asked).await {
            match view {
                Ok(view) => match views.iter_mut().find(|(_, known)| *known == view) {
                    Some((count, _)) => *count += 1,
                    None => views.push((1, view)),
                },
                Err(error) => last_error = Some(error),
            }
        }
        let Some((_, view)) = views.into_iter().max_by_key(|(count, _)| *count) else {
            let context = format!(
                "no node of {} could say who is in its cluster; a server without Redis Cluster \
                 needs RedisStore::connect",
                self.text(),
            );
            return Err(match last_error {
                Some(error) => StoreError::with_source(context, error),
                None => StoreError::new(context),
            });
        };
        *lock(&self.view) = view.clone();
        Ok(view)
    }

    async fn connect(&self, node: &Address) -> Result<Node, StoreError> {
        Node::connect(&node.client(&self.like)?).await
    }

    /// The node to which a node redirects one command.
    pub(crate) async fn redirected(&self, from: &Node, error: &RedisError) -> Option<Node> {
        let from = Address::of(from.client.get_connection_info())?;
        self.connect(&redirected(&from, error)?).await.ok()
    }

    /// The nodes that the application names, for errors and logs.
    pub(crate) fn text(&self) -> String {
        let seeds: Vec<_> = self.seeds.iter().map(ToString::to_string).collect();
        format!("the cluster of {}", seeds.join(", "))
    }
}

/// Asks a node for the life of a key in the ring's slot: it answers if it owns the slot, or names the
/// owner.
async fn asked_owner(
    node: &Address,
    ring: &str,
    connection: &mut MultiplexedConnection,
) -> Result<Address, RedisError> {
    let probe = redis::cmd("PTTL").arg(entries_key(ring)).take();
    match probe.query_async::<Value>(connection).await {
        Ok(_) => Ok(node.clone()),
        // The key is on its way elsewhere, the slot is not yet.
        Err(error) if error.code() == Some("ASK") => Ok(node.clone()),
        Err(error) => redirected(node, &error).ok_or(error),
    }
}

/// Where an error of a node says that a key is.
fn redirected(node: &Address, error: &RedisError) -> Option<Address> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    Some(node.seen_from(Some(host), port.parse().ok()?))
}

/// Who is in the cluster, as a node sees it.
async fn seen_by(
    node: &Address,
    connection: &mut MultiplexedConnection,
) -> Result<View, RedisError> {
    let mut view = View::default();
    let mut slots = redis::cmd("CLUSTER");
    // First and last slot, the master, its replicas.
    let ranges: Vec<Vec<Value>> = slots.arg("SLOTS").query_async(connection).await?;
    for range in ranges {
        for (place, member) in range.into_iter().skip(2).enumerate() {
            let mut member = from_redis_value::<Vec<Value>>(member)?.into_iter();
            let (Some(host), Some(port)) = (member.next(), member.next()) else {
                return Err(
                    (ErrorKind::UnexpectedReturnType, "a node without host and port").into()
                );
            };
            let host: Option<String> = from_redis_value(host)?;
            let address = node.seen_from(host.as_deref(), from_redis_value(port)?);
            if place == 0 { &mut view.masters } else { &mut view.replicas }.insert(address);
        }
    }
    Ok(view)
}

fn io_error(error: StoreError) -> RedisError {
    std::io::Error::other(error).into()
}
