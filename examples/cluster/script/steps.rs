//! The steps: the same for all arms, and then those about keys and revocations.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    BoxError,
    command::arm::Arm,
    processes::cluster::Cluster,
    script::outage,
    script::refresh,
    script::replay,
    script::revocation,
    script::root,
    script::tour,
    script::unrecorded,
    store::choice::Store,
    users::client::{Credentials, Jar},
    users::load::Load,
    users::tally::Tally,
};

/// How many replicas there are at the start, and how many come later.
pub(crate) const REPLICAS: usize = 3;
const MORE_REPLICAS: usize = 2;
/// How many different keys have to have signed, at least, while they rotate.
const LEAST_KIDS: usize = 3;
/// After how long the step ends at the latest.
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
    /// Stop a replica where it is, and let it go on.
    Stop,
    /// Replace every process.
    RollingRestart,
    /// Let the keys change several times.
    Rotate,
    /// Add replicas.
    Grow,
    /// Log out.
    Logout,
    /// End sessions while copies of their cookies are in use.
    Replay,
    /// Refresh a session many times at once, and then with a copy of an old refresh token.
    Refresh,
    /// Log out before and while the server of the revocations is dead.
    Unrecorded,
    /// Kill the server that holds the keys, and start it again.
    Outage,
    /// Revoke the key that signs.
    Revoke,
    /// Replace the root secret from which all keys are derived.
    ReplaceRoot,
}

/// The outcome of a step.
pub(crate) struct Outcome {
    /// The counts.
    pub(crate) tally: Tally,
    /// The replicas that have to have answered.
    pub(crate) expected: Vec<String>,
    /// How many keys have to have been met, at least.
    pub(crate) least_kids: usize,
    /// The finding, in words.
    pub(crate) finding: Option<String>,
}

/// A cluster, and what the steps hand on to each other.
pub(crate) struct Run<'m> {
    /// The cluster.
    pub(crate) cluster: Cluster<'m>,
    /// The session that was made at the start.
    pub(crate) jar: Arc<Jar>,
    /// The place of the replica that is dead, if one is.
    pub(crate) killed: Option<usize>,
    /// The finding of the current step, in words.
    pub(crate) finding: Option<String>,
}

impl Step {
    /// The steps for all arms, in their order.
    const ALL: [Self; 8] = [
        Self::Turns,
        Self::Kill,
        Self::Return,
        Self::Stop,
        Self::RollingRestart,
        Self::Rotate,
        Self::Grow,
        Self::Logout,
    ];

    /// The steps over an arm, in their order. What else is done depends on where the keys meet: only
    /// a server of one's own is killed, and what is derived cannot be revoked one by one.
    pub(crate) fn of(arm: Arm, store: &Store) -> Vec<Self> {
        let more: &[Self] = match (arm, store) {
            (
                Arm::Memory | Arm::Sticky | Arm::Replicated | Arm::Database | Arm::Cold | Arm::Bare,
                _,
            ) => &[],
            (Arm::Stateless, Store::Own(_)) => {
                &[Self::Outage, Self::Revoke, Self::Replay, Self::Refresh, Self::Unrecorded]
            }
            (Arm::Stateless, Store::File | Store::Given(_)) => {
                &[Self::Revoke, Self::Replay, Self::Refresh]
            }
            (Arm::Stateless, Store::Derived) => &[Self::ReplaceRoot, Self::Replay, Self::Refresh],
        };
        [&Self::ALL, more].concat()
    }

    /// A few words; at most 22 characters, which is what the table has room for.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Turns => "every replica, in turn",
            Self::Kill => "kill -9 under load",
            Self::Return => "the killed one returns",
            Self::Stop => "stop, then continue",
            Self::RollingRestart => "rolling restart",
            Self::Rotate => "keys rotate",
            Self::Grow => "3 → 5 replicas",
            Self::Logout => "log out",
            Self::Replay => "a copied cookie",
            Self::Refresh => "50 refreshes, a copy",
            Self::Unrecorded => "logouts and an outage",
            Self::Outage => "the keys' server dies",
            Self::Revoke => "a key is revoked",
            Self::ReplaceRoot => "a new root secret",
        }
    }

    /// Runs the step.
    ///
    /// # Errors
    /// If the cluster itself fails; what the application does wrong is in the outcome.
    pub(crate) async fn perform(self, run: &mut Run<'_>) -> Result<Outcome, BoxError> {
        let mut least_kids = 0;
        let tally = match self {
            Self::Turns => tour::turns(run).await?,
            Self::Kill => kill(run).await?,
            Self::Return => tour::come_back(run).await?,
            Self::Stop => stop(run).await?,
            Self::RollingRestart => rolling_restart(run).await?,
            Self::Rotate => {
                if run.cluster.arm() == Arm::Stateless {
                    least_kids = LEAST_KIDS;
                }
                rotate(run).await?
            }
            Self::Grow => grow(run).await?,
            Self::Logout => tour::log_out(run).await?,
            Self::Replay => replay::replay(run).await?,
            Self::Refresh => refresh::refresh(run).await?,
            Self::Unrecorded => unrecorded::unrecorded(run).await?,
            Self::Outage => outage::outage(run).await?,
            Self::Revoke => revocation::revoke(run).await?,
            Self::ReplaceRoot => root::replace(run).await?,
        };
        // With affinity one user meets one replica.
        let all_answer = !run.cluster.arm().needs_affinity();
        Ok(Outcome {
            tally,
            expected: if all_answer { run.cluster.names() } else { Vec::new() },
            least_kids,
            finding: run.finding.take(),
        })
    }
}

impl Run<'_> {
    /// Users at work on the whole cluster.
    pub(crate) fn load(&self) -> Load {
        Load::start(self.cluster.url(), &self.jar)
    }

    /// The place of the replica that made the session of the start.
    fn maker(&self) -> usize {
        let maker = self.jar.maker();
        self.cluster.replicas().iter().position(|it| it.name == maker).unwrap_or_default()
    }
}

/// Kills the very replica that made the session.
async fn kill(run: &mut Run<'_>) -> Result<Tally, BoxError> {
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

/// Stops a replica, which neither answers nor closes its connections, and lets it go on later.
async fn stop(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let load = run.load();
    sleep(Duration::from_millis(500)).await;
    let held = load.hold_logins().await;
    let victim = run.maker();
    run.cluster.stop(victim).await?;
    drop(held);
    sleep(Duration::from_millis(1500)).await;
    run.cluster.recover(victim).await?;
    sleep(Duration::from_millis(300)).await;
    load.finish().await
}

/// Replaces every process, one after the other.
async fn rolling_restart(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let load = run.load();
    for index in 0..run.cluster.replicas().len() {
        sleep(Duration::from_millis(300)).await;
        run.cluster.restart(index).await?;
    }
    sleep(Duration::from_millis(500)).await;
    load.finish().await
}

/// Does nothing but wait: the keys change by themselves. In the control there are none.
async fn rotate(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let load = run.load();
    if run.cluster.arm() != Arm::Stateless {
        sleep(Duration::from_secs(2)).await;
        return load.finish().await;
    }
    let start = Instant::now();
    while load.kids().len() < LEAST_KIDS && start.elapsed() < ROTATION_TIMEOUT {
        sleep(Duration::from_millis(50)).await;
    }
    let mut tally = load.finish().await?;
    if !agree(&run.cluster).await {
        tally.note_surprise("the replicas do not hold the same keys".to_owned());
    }
    Ok(tally)
}

/// Whether all replicas show the same fingerprint within a while.
async fn agree(cluster: &Cluster<'_>) -> bool {
    let same = |states: &[Value]| {
        let fingerprint = |state: &Value| state["ring"]["fingerprint"].clone();
        let all = states.iter().all(|state| fingerprint(state).is_string());
        all && states.windows(2).all(|pair| fingerprint(&pair[0]) == fingerprint(&pair[1]))
    };
    come_to(cluster, AGREEMENT_TIMEOUT, same).await
}

/// Whether the states that the replicas report satisfy `check` within a while.
pub(crate) async fn come_to(
    cluster: &Cluster<'_>,
    limit: Duration,
    as_they_should: impl Fn(&[Value]) -> bool,
) -> bool {
    let clients = cluster.clients();
    let start = Instant::now();
    while start.elapsed() < limit {
        let mut states = Vec::new();
        for client in &clients {
            let answer = client.get("/health/status", Credentials::Nobody).await;
            states.push(answer.map(|it| it.json).unwrap_or_default());
        }
        if as_they_should(&states) {
            return true;
        }
        sleep(Duration::from_millis(20)).await;
    }
    false
}

/// Adds replicas that are younger than the session.
async fn grow(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let load = run.load();
    sleep(Duration::from_millis(500)).await;
    run.cluster.grow(MORE_REPLICAS).await?;
    sleep(Duration::from_millis(1500)).await;
    load.finish().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::server::ServerKind;

    #[test]
    fn titles_fit_the_table_and_tell_the_truth() {
        let stores = [Store::Own(ServerKind::Redis), Store::Derived];
        for step in stores.iter().flat_map(|store| Step::of(Arm::Stateless, store)) {
            assert!(step.title().chars().count() <= 22, "{step:?}");
        }
        assert_eq!((REPLICAS, REPLICAS + MORE_REPLICAS), (3, 5), "as the title of `Grow` says");
        assert_eq!(refresh::AT_ONCE, 50, "as the title of `Refresh` says");
    }
}
