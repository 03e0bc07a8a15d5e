//! The replicas as their parent knows them, for those who watch while the cluster is at work.

use serde::Serialize;
use tokio::sync::watch;

use crate::processes::program::{AllSeen, Seen};

/// The state of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Its process runs, and the balancer has not seen it ready yet.
    Starting,
    /// It gets its share of the requests.
    Alive,
    /// Its process runs, and its readiness fails.
    Unhealthy,
    /// Its process is stopped (SIGSTOP).
    Stopped,
    /// Its readiness fails on purpose; it answers until the balancer has noticed, then it ends.
    Draining,
    /// Its process has ended after it was drained.
    Drained,
    /// Its process was killed, or died.
    Dead,
}

/// What the parent last did to the process of a replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    /// Started it, and waits for the balancer.
    Starting,
    /// Lets it run.
    Running,
    /// Stopped it.
    Stopped,
    /// Ordered it to drain.
    Draining,
    /// Saw it end after that.
    Drained,
    /// Killed it, or saw that it was dead.
    Dead,
}

/// A replica, as seen from outside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Shown {
    /// `replica-1`, …
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) url: String,
    /// The number of its process; 0 if there is none.
    pub(crate) id: u32,
    /// Its state.
    pub(crate) state: State,
}

/// What is known of one replica.
#[derive(Clone)]
pub(crate) struct Known {
    /// Its name.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) url: String,
    /// The number of its process.
    pub(crate) id: u32,
    /// What the parent last did to it.
    pub(crate) phase: Phase,
}

/// A look at a cluster, which does not disturb it.
#[derive(Clone)]
pub(crate) struct View {
    /// What the parent knows.
    pub(crate) replicas: watch::Receiver<Vec<Known>>,
    /// What the balancer has seen, by address.
    pub(crate) seen: watch::Receiver<AllSeen>,
}

impl View {
    /// The replicas, in the order of their names.
    pub(crate) fn replicas(&self) -> Vec<Shown> {
        let seen = self.seen.borrow();
        let replicas = self.replicas.borrow();
        let shown = replicas.iter().map(|it| Shown {
            name: it.name.clone(),
            url: it.url.clone(),
            id: it.id,
            state: state(it.phase, seen.get(&it.url) == Some(&Seen::Up)),
        });
        shown.collect()
    }
}

/// The state of a replica; `is_up` if the balancer has last seen it ready.
fn state(phase: Phase, is_up: bool) -> State {
    match phase {
        Phase::Starting => State::Starting,
        Phase::Running if is_up => State::Alive,
        Phase::Running => State::Unhealthy,
        Phase::Stopped => State::Stopped,
        Phase::Draining => State::Draining,
        Phase::Drained => State::Drained,
        Phase::Dead => State::Dead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balancer_decides_whether_a_running_replica_is_alive() {
        assert_eq!(state(Phase::Running, true), State::Alive);
        assert_eq!(state(Phase::Running, false), State::Unhealthy);
        assert_eq!(state(Phase::Stopped, true), State::Stopped, "it has not noticed yet");
    }
}
