//! A store and its replicas, to which a fault is done.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::time::sleep;

use crate::setup::process::faketime_directory;
use crate::setup::replica::{Peer, Replica};
use crate::setup::store::{Store, StoreKind};
use crate::{Fault, Problem};

/// How long replicas may take until they are ready: the first ones look for others before they make keys.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What a fault is done to.
pub struct Cluster {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) store: Store,
    /// What a fault holds until it is lifted.
    pub(crate) held: Vec<Box<dyn Any + Send>>,
}

impl Cluster {
    /// Starts a store and three replicas, and waits until all are ready.
    ///
    /// # Errors
    /// If one does not start.
    pub(crate) async fn start(fault: &Fault) -> Result<Self, Problem> {
        Self::of(fault.store, 3, fault.prefix, fault.options).await
    }

    /// The same with so many replicas; `prefix` precedes the command line of the last one.
    pub(crate) async fn of(
        kind: StoreKind,
        count: usize,
        prefix: &[&str],
        options: &[&str],
    ) -> Result<Self, Problem> {
        let store = Store::start(kind).await?;
        let mut cluster = Self { replicas: Vec::new(), store, held: Vec::new() };
        let home = cluster.store.home().display().to_string();
        let faketime = faketime_directory().unwrap_or_default().display().to_string();
        for index in 0..count {
            let fill = |word: &&str| word.replace("{home}", &home).replace("{faketime}", &faketime);
            let prefix: Vec<_> = prefix.iter().map(fill).collect();
            let prefix = if index + 1 == count { &prefix[..] } else { &[] };
            cluster.add(prefix, options).await?;
        }
        for replica in &cluster.replicas {
            until_ready(&replica.peer).await?;
        }
        Ok(cluster)
    }

    /// Starts one more replica.
    pub(crate) async fn add(&mut self, prefix: &[String], options: &[&str]) -> Result<(), Problem> {
        let index = self.replicas.len();
        self.replicas.push(Replica::start(index, &self.store, prefix, options).await?);
        Ok(())
    }

    /// The replicas, for their users.
    pub(crate) fn peers(&self) -> Vec<Arc<Peer>> {
        self.replicas.iter().map(|replica| Arc::clone(&replica.peer)).collect()
    }

    /// The replica to which faults of single replicas are done.
    pub(crate) fn last(&mut self) -> Result<&mut Replica, Problem> {
        self.replicas.last_mut().ok_or_else(|| "there is no replica".to_owned())
    }
}

/// Waits until a replica answers that it is ready.
pub(crate) async fn until_ready(peer: &Peer) -> Result<(), Problem> {
    let start = Instant::now();
    let client = client(Duration::from_secs(2));
    let url = format!("{}/health/ready", peer.url);
    loop {
        let answer = match client.get(&url).send().await {
            Ok(answer) if answer.status() == 200 => break,
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        if start.elapsed() > READY_WITHIN {
            let log = std::fs::read_to_string(&peer.log).unwrap_or_default();
            return Err(format!("replica-{} is not ready: {answer}; log: {log}", peer.index + 1));
        }
        sleep(Duration::from_millis(50)).await;
    }
    peer.put_in_rotation(true);
    Ok(())
}

/// A client of the replicas, without the proxy of the environment.
///
/// # Panics
/// Never: its settings are constant.
pub(crate) fn client(timeout: Duration) -> Client {
    Client::builder().no_proxy().timeout(timeout).build().expect("good settings")
}
