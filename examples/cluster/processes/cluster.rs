//! The cluster in the hands of the parent: a balancer, and replicas whose keys meet somewhere.

use std::{collections::HashMap, time::Duration};

use tokio::{sync::watch, time::timeout};

use crate::{
    BoxError,
    arms::replica::{DRAIN, ReplicaOptions},
    arms::telemetry::Log,
    command::{arm::Arm, pace::Pace},
    processes::process::Process,
    store::meeting::Meeting,
    users::client::Client,
};

/// How long the balancer may take to see a change.
const SEEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a replica may take to answer what is in flight.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Processes that end with this value.
pub(crate) struct Cluster<'m> {
    options: ClusterOptions,
    replicas: Vec<Replica>,
    balancer: Balancer,
    /// Where the keys meet. Replicas hear of a change there when they start.
    pub(crate) meeting: &'m mut Meeting,
}

/// What a cluster is to be.
#[derive(Clone)]
pub(crate) struct ClusterOptions {
    /// Where the sessions are.
    pub(crate) arm: Arm,
    /// How fast keys change and sessions end.
    pub(crate) pace: Pace,
    /// How many replicas it begins with.
    pub(crate) replicas: usize,
    /// Where the balancer listens on 127.0.0.1; 0 picks a free port.
    pub(crate) port: u16,
    /// Where the replicas' logs go.
    pub(crate) log: Log,
}

/// One replica; its name stays when its process is replaced.
pub(crate) struct Replica {
    /// `replica-1`, …
    pub(crate) name: String,
    /// Where it listens; this stays, too.
    pub(crate) url: String,
    port: u16,
    process: Process,
}

impl Replica {
    /// The number of its present process, for those who want to kill it.
    pub(crate) fn id(&self) -> u32 {
        self.process.id().unwrap_or_default()
    }
}

impl<'m> Cluster<'m> {
    /// Starts a balancer and the replicas, all at once; returns when the balancer knows that all are ready.
    ///
    /// # Errors
    /// If a process does not come up.
    pub(crate) async fn start(
        options: ClusterOptions,
        meeting: &'m mut Meeting,
    ) -> Result<Self, BoxError> {
        let balancer = Balancer::start(options.port, options.arm.needs_affinity()).await?;
        let count = options.replicas;
        let mut cluster = Self { options, replicas: Vec::new(), balancer, meeting };
        cluster.grow(count).await?;
        Ok(cluster)
    }

    /// Where the balancer listens.
    pub(crate) fn url(&self) -> &str {
        &self.balancer.url
    }

    /// Which arm it runs.
    pub(crate) fn arm(&self) -> Arm {
        self.options.arm
    }

    /// How fast keys change and sessions end.
    pub(crate) fn pace(&self) -> Pace {
        self.options.pace
    }

    /// The replicas, in the order of their names.
    pub(crate) fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// A user agent for each replica, past the balancer.
    pub(crate) fn clients(&self) -> Vec<Client> {
        self.replicas.iter().map(|replica| Client::new(&replica.url)).collect()
    }

    /// The names of the replicas.
    pub(crate) fn names(&self) -> Vec<String> {
        self.replicas.iter().map(|replica| replica.name.clone()).collect()
    }

    /// Adds `count` replicas, which start at the same time.
    ///
    /// # Errors
    /// If one does not come up.
    pub(crate) async fn grow(&mut self, count: usize) -> Result<(), BoxError> {
        let first = self.replicas.len();
        let starting: Vec<_> = (first..first + count)
            .map(|index| {
                tokio::spawn(start_replica(self.options(&format!("replica-{}", index + 1), 0)))
            })
            .collect();
        for replica in starting {
            self.replicas.push(replica.await??);
        }
        for replica in &self.replicas[first..] {
            self.balancer.process.tell(&format!("add {}", replica.url)).await?;
        }
        for replica in &self.replicas[first..] {
            self.balancer.seen(&replica.url, Seen::Up).await?;
        }
        Ok(())
    }

    /// Kills a replica as `kill -9` does; returns when the balancer has noticed.
    ///
    /// # Errors
    /// If the balancer does not notice.
    pub(crate) async fn kill(&mut self, index: usize) -> Result<(), BoxError> {
        self.replicas[index].process.kill().await;
        self.balancer.seen(&self.replicas[index].url, Seen::Down).await
    }

    /// Starts the process of a replica again, and does not tell the balancer yet.
    ///
    /// # Errors
    /// If it does not come up.
    pub(crate) async fn revive(&mut self, index: usize) -> Result<(), BoxError> {
        self.leave(index).await?;
        self.start_again(index).await
    }

    /// Gives a replica its share of the requests.
    ///
    /// # Errors
    /// If it does not become ready.
    pub(crate) async fn join(&mut self, index: usize) -> Result<(), BoxError> {
        let url = self.replicas[index].url.clone();
        self.balancer.process.tell(&format!("add {url}")).await?;
        self.balancer.seen(&url, Seen::Up).await
    }

    /// Replaces the process of a replica and loses no request: out of the balancer, drained, ended,
    /// started, into the balancer.
    ///
    /// # Errors
    /// If any of it fails or takes too long.
    pub(crate) async fn restart(&mut self, index: usize) -> Result<(), BoxError> {
        self.leave(index).await?;
        let replica = &mut self.replicas[index];
        replica.process.tell(DRAIN).await?;
        replica.process.wait(DRAIN_TIMEOUT).await?;
        self.start_again(index).await?;
        self.join(index).await
    }

    /// The replicas whose process has ended.
    pub(crate) fn ended(&mut self) -> Vec<usize> {
        let replicas = self.replicas.iter_mut().enumerate();
        replicas.filter_map(|(index, it)| it.process.ended().map(|_| index)).collect()
    }

    /// Whether the balancer has ended.
    pub(crate) fn balancer_ended(&mut self) -> bool {
        self.balancer.process.ended().is_some()
    }

    /// Ends every process, and waits for that.
    pub(crate) async fn stop(mut self) {
        self.balancer.process.kill().await;
        for replica in &mut self.replicas {
            replica.process.kill().await;
        }
    }

    /// Takes a replica out of the balancer; returns when it has answered its last request.
    async fn leave(&mut self, index: usize) -> Result<(), BoxError> {
        let url = self.replicas[index].url.clone();
        self.balancer.process.tell(&format!("remove {url}")).await?;
        self.balancer.seen(&url, Seen::Removed).await
    }

    /// Starts a process in the place of one that has ended, on its port.
    async fn start_again(&mut self, index: usize) -> Result<(), BoxError> {
        let Replica { name, port, .. } = &self.replicas[index];
        self.replicas[index] = start_replica(self.options(name, *port)).await?;
        Ok(())
    }

    fn options(&self, name: &str, port: u16) -> ReplicaOptions {
        ReplicaOptions {
            name: name.to_owned(),
            port,
            arm: self.options.arm,
            pace: self.options.pace,
            keys: self.meeting.options(name, self.replicas.is_empty()),
            log: self.options.log.clone(),
        }
    }
}

async fn start_replica(options: ReplicaOptions) -> Result<Replica, BoxError> {
    let mut process = Process::start(&options.name, &["replica"])?;
    process.tell(&serde_json::to_string(&options)?).await?;
    let (url, _) = process.listens().await?;
    let port = url.rsplit_once(':').map_or(Ok(0), |(_, port)| port.parse())?;
    Ok(Replica { name: options.name, url, port, process })
}

/// The state of a replica that the balancer last reported.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Up,
    Down,
    Removed,
}

struct Balancer {
    url: String,
    process: Process,
    seen: watch::Receiver<HashMap<String, Seen>>,
}

impl Balancer {
    async fn start(port: u16, affinity: bool) -> Result<Self, BoxError> {
        let (port, affinity) = (port.to_string(), affinity.to_string());
        let arguments = ["balancer", "--port", &port, "--affinity", &affinity];
        let mut process = Process::start("the balancer", &arguments)?;
        let (url, mut lines) = process.listens().await?;
        let (sender, seen) = watch::channel(HashMap::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((url, state)) = read_event(&line) {
                    sender.send_modify(|seen| {
                        seen.insert(url.to_owned(), state);
                    });
                }
            }
        });
        Ok(Self { url, process, seen })
    }

    async fn seen(&mut self, url: &str, state: Seen) -> Result<(), BoxError> {
        let change = self.seen.wait_for(|seen| seen.get(url) == Some(&state));
        match timeout(SEEN_TIMEOUT, change).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("the balancer has ended".into()),
            Err(_) => Err(format!("the balancer did not see {url} as {state:?}").into()),
        }
    }
}

fn read_event(line: &str) -> Option<(&str, Seen)> {
    let (event, url) = line.split_once(' ')?;
    let state = match event {
        "up" => Seen::Up,
        "down" => Seen::Down,
        "removed" => Seen::Removed,
        _ => return None,
    };
    Some((url, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_a_word_and_an_address() {
        assert_eq!(read_event("up http://a"), Some(("http://a", Seen::Up)));
        assert_eq!(read_event("removed http://a"), Some(("http://a", Seen::Removed)));
        assert_eq!(read_event("up"), None);
        assert_eq!(read_event("went http://a"), None);
    }
}
