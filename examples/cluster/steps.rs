//! What is done to a cluster: seven steps, the same for both arms.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    BoxError,
    args::Arm,
    client::{Client, Credentials, Jar},
    cluster::Cluster,
    load::Load,
    tally::Tally,
    tour,
};

/// How many replicas there are at the start, and how many come later.
pub(crate) const REPLICAS: usize = 3;
const MORE_REPLICAS: usize = 2;
/// How many different keys have to have signed, at least, while they rotate.
const LEAST_KIDS: usize = 3;
/// After how many the step ends, and after how long at the latest.
const ENOUGH_KIDS: usize = LEAST_KIDS + 2;
const ROTATION_TIMEOUT: Duration = Duration::from_secs(20);
/// How long replicas may take to hold the same keys.
const AGREEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// One step of the script.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// Log in once; every replica serves that session.
    Turns,
    /// Kill the replica that made the session.
    Kill,
    /// Start it again and ask it first.
    Return,
    /// Replace every process.
    RollingRestart,
    /// Let the keys change several times.
    Rotate,
    /// Add replicas.
    Grow,
    /// Log out.
    Logout,
}

/// What a step showed.
pub(crate) struct Outcome {
    /// What was counted.
    pub(crate) tally: Tally,
    /// The replicas that have to have answered.
    pub(crate) expected: Vec<String>,
    /// How many keys have to have been met, at least.
    pub(crate) least_kids: usize,
}

/// A cluster, and what the steps hand on to each other.
pub(crate) struct Run {
    /// The cluster.
    pub(crate) cluster: Cluster,
    /// The session that was made at the start.
    pub(crate) jar: Arc<Jar>,
    /// The place of the replica that is dead, if one is.
    pub(crate) killed: Option<usize>,
}

impl Step {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 7] = [
        Self::Turns,
        Self::Kill,
        Self::Return,
        Self::RollingRestart,
        Self::Rotate,
        Self::Grow,
        Self::Logout,
    ];

    /// A few words; at most 22 characters, which is what the table has room for.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Turns => "every replica, in turn",
            Self::Kill => "kill -9 under load",
            Self::Return => "the killed one returns",
            Self::RollingRestart => "rolling restart",
            Self::Rotate => "keys rotate",
            Self::Grow => "3 → 5 replicas",
            Self::Logout => "log out",
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// If the cluster itself fails; what the application does wrong is in the outcome.
    pub(crate) async fn perform(self, run: &mut Run) -> Result<Outcome, BoxError> {
        let mut least_kids = 0;
        let tally = match self {
            Self::Turns => tour::turns(run).await?,
            Self::Kill => kill(run).await?,
            Self::Return => tour::come_back(run).await?,
            Self::RollingRestart => rolling_restart(run).await?,
            Self::Rotate => {
                least_kids = LEAST_KIDS;
                rotate(run).await?
            }
            Self::Grow => grow(run).await?,
            Self::Logout => tour::log_out(run).await?,
        };
        Ok(Outcome { tally, expected: run.cluster.names(), least_kids })
    }
}

impl Run {
    fn load(&self) -> Load {
        Load::start(self.cluster.url(), &self.jar)
    }

    /// The place of the replica that made the session of the start.
    fn maker(&self) -> usize {
        let maker = self.jar.maker();
        self.cluster.replicas().iter().position(|it| it.name == maker).unwrap_or_default()
    }
}

/// Kills the very replica that made the session.
async fn kill(run: &mut Run) -> Result<Tally, BoxError> {
    let load = run.load();
    sleep(Duration::from_millis(800)).await;
    let held = load.hold_logins().await;
    let victim = run.maker();
    run.cluster.kill(victim).await?;
    run.killed = Some(victim);
    drop(held);
    sleep(Duration::from_millis(1500)).await;
    load.finish().await
}

/// Replaces every process, one after the other.
async fn rolling_restart(run: &mut Run) -> Result<Tally, BoxError> {
    let load = run.load();
    for index in 0..run.cluster.replicas().len() {
        sleep(Duration::from_millis(300)).await;
        run.cluster.restart(index).await?;
    }
    sleep(Duration::from_millis(500)).await;
    load.finish().await
}

/// Does nothing but wait: the keys change by themselves. In the control there are none.
async fn rotate(run: &mut Run) -> Result<Tally, BoxError> {
    let load = run.load();
    if run.cluster.arm() == Arm::Memory {
        sleep(Duration::from_secs(2)).await;
        return load.finish().await;
    }
    let start = Instant::now();
    while load.kids() < ENOUGH_KIDS && start.elapsed() < ROTATION_TIMEOUT {
        sleep(Duration::from_millis(50)).await;
    }
    let mut tally = load.finish().await?;
    if !agree(&run.cluster).await {
        tally.note_surprise("the replicas do not come to hold the same keys".to_owned());
    }
    Ok(tally)
}

/// Whether all replicas show the same fingerprint within a while.
async fn agree(cluster: &Cluster) -> bool {
    let clients: Vec<_> = cluster.replicas().iter().map(|it| Client::new(&it.url)).collect();
    let start = Instant::now();
    while start.elapsed() < AGREEMENT_TIMEOUT {
        let mut fingerprints = Vec::new();
        for client in &clients {
            if let Ok(answer) = client.get("/health/ready", Credentials::Nobody).await {
                fingerprints.extend(answer.json["fingerprint"].as_str().map(str::to_owned));
            }
        }
        let all = fingerprints.len() == clients.len();
        if all && fingerprints.windows(2).all(|pair| pair[0] == pair[1]) {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Adds replicas that are younger than the session.
async fn grow(run: &mut Run) -> Result<Tally, BoxError> {
    let load = run.load();
    sleep(Duration::from_millis(500)).await;
    run.cluster.grow(MORE_REPLICAS).await?;
    sleep(Duration::from_millis(1500)).await;
    load.finish().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_fit_the_table_and_tell_the_truth() {
        for step in Step::ALL {
            assert!(step.title().chars().count() <= 22, "{step:?}");
        }
        assert_eq!((REPLICAS, REPLICAS + MORE_REPLICAS), (3, 5), "as the title of `Grow` says");
    }
}
