//! A balancer, and replicas whose keys meet somewhere.

use std::time::Duration;

use tokio::sync::watch;

use crate::{
    BoxError,
    arms::replica::{DRAIN, HEALTHY, ReplicaOptions, Service, UNHEALTHY},
    arms::replicated::discovery,
    arms::telemetry::Log,
    command::{arm::Arm, balancer::BalancerKind, pace::Pace},
    processes::balancer::Balancer,
    processes::process::Process,
    processes::view::{Known, Phase, Shown, State, View},
    store::meeting::Meeting,
    users::client::Client,
};

/// How long a replica may take to be noticed, and to answer what is in flight.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Processes that end with this value.
pub(crate) struct Cluster<'m> {
    options: ClusterOptions,
    /// Where replicas that send each other copies announce themselves.
    discovery: Vec<u16>,
    replicas: Vec<Replica>,
    balancer: Balancer,
    known: watch::Sender<Vec<Known>>,
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
    /// Which service it is.
    pub(crate) service: Service,
}

/// One replica; its name stays when its process is replaced.
pub(crate) struct Replica {
    /// `replica-1`, …
    pub(crate) name: String,
    /// Where it listens; this stays, too.
    pub(crate) url: String,
    port: u16,
    process: Process,
    phase: Phase,
    clock_offset: i64,
}

impl Replica {
    /// The number of its present process, for those who want to kill it.
    pub(crate) fn id(&self) -> u32 {
        self.process.id().unwrap_or_default()
    }

    /// By how many milliseconds its clock is ahead.
    pub(crate) fn clock_offset(&self) -> i64 {
        self.clock_offset
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
        Self::behind(BalancerKind::Own, options, meeting).await
    }

    /// The same, behind another balancer.
    ///
    /// # Errors
    /// Likewise; and if the balancer is not installed.
    pub(crate) async fn behind(
        balancer: BalancerKind,
        options: ClusterOptions,
        meeting: &'m mut Meeting,
    ) -> Result<Self, BoxError> {
        let balancer =
            Balancer::start(balancer, options.port, options.arm.needs_affinity()).await?;
        let discovery = match options.arm {
            Arm::Replicated => discovery::free_ports()?,
            _ => Vec::new(),
        };
        let count = options.replicas;
        let (replicas, known) = (Vec::new(), watch::Sender::default());
        let mut cluster = Self { options, discovery, replicas, balancer, known, meeting };
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

    /// A look at the replicas and their states, also while the cluster is at work.
    pub(crate) fn view(&self) -> View {
        View { replicas: self.known.subscribe(), seen: self.balancer.seen.clone() }
    }

    /// The replicas and their states.
    pub(crate) fn states(&self) -> Vec<Shown> {
        self.view().replicas()
    }

    /// The places of the replicas that get requests.
    pub(crate) fn alive(&self) -> Vec<usize> {
        let states = self.states().into_iter().enumerate();
        states.filter(|(_, it)| it.state == State::Alive).map(|(index, _)| index).collect()
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
        let mut starting = Vec::new();
        for index in first..first + count {
            let port = self.balancer.port_of(index)?;
            let options = self.options(&format!("replica-{}", index + 1), port, 0);
            starting.push(tokio::spawn(start_replica(options)));
        }
        for replica in starting {
            self.replicas.push(replica.await??);
            self.publish();
        }
        for replica in &self.replicas[first..] {
            self.balancer.add(&replica.url).await?;
        }
        for index in first..self.replicas.len() {
            self.comes_up(index).await?;
        }
        Ok(())
    }

    /// Kills a replica as `kill -9` does; returns when the balancer has noticed.
    ///
    /// # Errors
    /// If the balancer does not notice.
    pub(crate) async fn kill(&mut self, index: usize) -> Result<(), BoxError> {
        self.replicas[index].process.kill().await;
        self.set(index, Phase::Dead);
        self.balancer.sees_down(&self.replicas[index].url).await
    }

    /// Stops the process of a replica where it is; returns when the balancer has noticed.
    ///
    /// # Errors
    /// If it cannot be stopped, or the balancer does not notice.
    pub(crate) async fn stop(&mut self, index: usize) -> Result<(), BoxError> {
        self.replicas[index].process.signal("STOP").await?;
        self.set(index, Phase::Stopped);
        self.balancer.sees_down(&self.replicas[index].url).await
    }

    /// Orders a replica to fail its readiness checks while it still serves; returns when the balancer has
    /// noticed.
    ///
    /// # Errors
    /// If the balancer does not notice.
    pub(crate) async fn fail_health(&mut self, index: usize) -> Result<(), BoxError> {
        self.replicas[index].process.tell(UNHEALTHY).await?;
        self.balancer.sees_down(&self.replicas[index].url).await
    }

    /// Drains a replica as services do: its readiness fails, it answers until the balancer has
    /// noticed, then it accepts nothing new, answers what is in flight, and ends.
    ///
    /// # Errors
    /// If it does not end.
    pub(crate) async fn drain(&mut self, index: usize) -> Result<(), BoxError> {
        self.set(index, Phase::Draining);
        self.balancer.expect_drain(&self.replicas[index].url).await?;
        let replica = &mut self.replicas[index];
        replica.process.tell(DRAIN).await?;
        replica.process.wait(DRAIN_TIMEOUT).await?;
        self.set(index, Phase::Drained);
        self.balancer.sees_down(&self.replicas[index].url).await
    }

    /// Drains the last replica, and takes it out for good.
    ///
    /// # Errors
    /// If there is none, or it does not end.
    pub(crate) async fn shrink(&mut self) -> Result<(), BoxError> {
        let last = self.replicas.len().checked_sub(1).ok_or("there is no replica")?;
        if self.states()[last].state == State::Alive {
            self.drain(last).await?;
        }
        self.leave(last).await?;
        let mut replica = self.replicas.remove(last);
        self.publish();
        replica.process.kill().await;
        Ok(())
    }

    /// Brings a replica back, whatever happened to it: a stopped one continues, an unhealthy one is
    /// healthy, the process of any other one is started again, with a clock that is right.
    ///
    /// # Errors
    /// If it does not become ready.
    pub(crate) async fn recover(&mut self, index: usize) -> Result<(), BoxError> {
        let replica = &mut self.replicas[index];
        match replica.phase {
            _ if replica.clock_offset != 0 => return self.restart_with_clock(index, 0).await,
            Phase::Stopped => {
                replica.process.signal("CONT").await?;
                self.set(index, Phase::Running);
            }
            Phase::Starting | Phase::Running => replica.process.tell(HEALTHY).await?,
            Phase::Draining | Phase::Drained | Phase::Dead => self.start_again(index, 0).await?,
        }
        self.comes_up(index).await
    }

    /// Starts the process of a replica again, and does not tell the balancer yet.
    ///
    /// # Errors
    /// If it does not come up.
    pub(crate) async fn revive(&mut self, index: usize) -> Result<(), BoxError> {
        self.leave(index).await?;
        self.start_again(index, 0).await
    }

    /// Gives a replica its share of the requests.
    ///
    /// # Errors
    /// If it does not become ready.
    pub(crate) async fn join(&mut self, index: usize) -> Result<(), BoxError> {
        let url = self.replicas[index].url.clone();
        self.balancer.add(&url).await?;
        self.comes_up(index).await
    }

    /// Replaces the process of a replica and loses no request: drained, then started again.
    ///
    /// # Errors
    /// If any of it fails or takes too long.
    pub(crate) async fn restart(&mut self, index: usize) -> Result<(), BoxError> {
        self.restart_with_clock(index, 0).await
    }

    /// The same, with a clock that is ahead by so many milliseconds. A replica whose clock is wrong
    /// need not become ready, and is not waited for.
    ///
    /// # Errors
    /// As for [`Cluster::restart`].
    pub(crate) async fn restart_with_clock(
        &mut self,
        index: usize,
        offset: i64,
    ) -> Result<(), BoxError> {
        self.drain(index).await?;
        self.start_again(index, offset).await?;
        if offset == 0 {
            return self.comes_up(index).await;
        }
        self.set(index, Phase::Running);
        Ok(())
    }

    /// The replicas whose process has ended.
    pub(crate) fn ended(&mut self) -> Vec<usize> {
        let replicas = self.replicas.iter_mut().enumerate();
        let ended: Vec<_> =
            replicas.filter_map(|(index, it)| it.process.ended().map(|_| index)).collect();
        for &index in &ended {
            if self.replicas[index].phase != Phase::Drained {
                self.set(index, Phase::Dead);
            }
        }
        ended
    }

    /// Whether the balancer has ended.
    pub(crate) fn balancer_ended(&mut self) -> bool {
        self.balancer.ended()
    }

    /// Ends every process, and waits for that.
    pub(crate) async fn end(mut self) {
        self.balancer.end().await;
        for replica in &mut self.replicas {
            replica.process.kill().await;
        }
    }

    /// Takes a replica out of the balancer; returns when it has answered its last request.
    async fn leave(&mut self, index: usize) -> Result<(), BoxError> {
        let url = self.replicas[index].url.clone();
        self.balancer.remove(&url).await
    }

    /// Returns when the balancer has seen that a replica is ready.
    async fn comes_up(&mut self, index: usize) -> Result<(), BoxError> {
        self.balancer.sees_up(&self.replicas[index].url).await?;
        self.set(index, Phase::Running);
        Ok(())
    }

    /// Starts a process in the place of one that has ended, on its port.
    async fn start_again(&mut self, index: usize, clock_offset: i64) -> Result<(), BoxError> {
        self.set(index, Phase::Starting);
        let Replica { name, port, .. } = &self.replicas[index];
        self.replicas[index] = start_replica(self.options(name, *port, clock_offset)).await?;
        self.publish();
        Ok(())
    }

    fn set(&mut self, index: usize, phase: Phase) {
        self.replicas[index].phase = phase;
        self.publish();
    }

    /// Shows the replicas to those who watch.
    fn publish(&self) {
        let known = self.replicas.iter().map(|it| Known {
            name: it.name.clone(),
            url: it.url.clone(),
            id: it.id(),
            phase: it.phase,
        });
        self.known.send_replace(known.collect());
    }

    fn options(&self, name: &str, port: u16, clock_offset: i64) -> ReplicaOptions {
        ReplicaOptions {
            name: name.to_owned(),
            port,
            arm: self.options.arm,
            pace: self.options.pace,
            keys: Some(self.meeting.options(name, self.replicas.is_empty())),
            log: self.options.log.clone(),
            clock_offset,
            discovery: self.discovery.clone(),
            service: self.options.service.clone(),
        }
    }
}

async fn start_replica(options: ReplicaOptions) -> Result<Replica, BoxError> {
    let mut process = Process::start(&options.name, &["child"])?;
    process.tell(&serde_json::to_string(&options)?).await?;
    let (url, _) = process.listens().await?;
    let port = url.rsplit_once(':').map_or(Ok(0), |(_, port)| port.parse())?;
    let ReplicaOptions { name, clock_offset, .. } = options;
    Ok(Replica { name, url, port, process, phase: Phase::Starting, clock_offset })
}
