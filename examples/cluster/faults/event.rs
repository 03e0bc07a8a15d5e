//! The faults and events: a word, a title, a sentence, and when each is possible.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{processes::cluster::Cluster, processes::view::State, store::faulty::Condition};

/// No more replicas than this.
pub(crate) const MOST_REPLICAS: usize = 9;
/// How many replicas a traffic spike adds.
pub(crate) const SPIKE_REPLICAS: usize = 2;

/// What can happen to a cluster.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event {
    /// `kill -9` of a replica.
    Kill,
    /// SIGSTOP of a replica.
    Stop,
    /// Every replica is brought back.
    Start,
    /// A replica drains.
    Drain,
    /// A rolling restart.
    Roll,
    /// One replica more.
    Add,
    /// One replica less.
    Remove,
    /// A step in the load.
    Spike,
    /// A replica's readiness fails while it lives.
    FailHealth,
    /// A replica restarts with a clock that is off.
    Clock,
    /// Another key signs.
    RotateKeys,
    /// The key that signs is revoked.
    RevokeKey,
    /// One user ends all their sessions.
    LogOutEverywhere,
    /// A stolen cookie is replayed after the logout.
    Replay,
    /// `kill -9` of the store.
    KillStore,
    /// The store is started again, or fast again.
    StartStore,
    /// Each direction to the store takes longer.
    SlowStore,
    /// Everything in the store is removed.
    EmptyStore,
    /// The store dies, and its follower takes its place.
    FailOverStore,
}

impl Event {
    /// All of them, in the order of the buttons.
    pub(crate) const ALL: [Self; 19] = [
        Self::Kill,
        Self::Stop,
        Self::Start,
        Self::Drain,
        Self::Roll,
        Self::Add,
        Self::Remove,
        Self::Spike,
        Self::FailHealth,
        Self::Clock,
        Self::RotateKeys,
        Self::RevokeKey,
        Self::LogOutEverywhere,
        Self::Replay,
        Self::KillStore,
        Self::StartStore,
        Self::SlowStore,
        Self::EmptyStore,
        Self::FailOverStore,
    ];

    /// The word for the command line, the page and JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Drain => "drain",
            Self::Roll => "roll",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Spike => "spike",
            Self::FailHealth => "fail-health",
            Self::Clock => "clock",
            Self::RotateKeys => "rotate-keys",
            Self::RevokeKey => "revoke-key",
            Self::LogOutEverywhere => "log-out-everywhere",
            Self::Replay => "replay",
            Self::KillStore => "kill-store",
            Self::StartStore => "start-store",
            Self::SlowStore => "slow-store",
            Self::EmptyStore => "empty-store",
            Self::FailOverStore => "fail-over-store",
        }
    }

    /// A few words, at most 20 characters.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Stop => "stop (SIGSTOP)",
            Self::Start => "start again",
            Self::Drain => "drain",
            Self::Roll => "rolling restart",
            Self::Add => "add a replica",
            Self::Remove => "remove a replica",
            Self::Spike => "traffic spike",
            Self::FailHealth => "health check fails",
            Self::Clock => "wrong clock",
            Self::RotateKeys => "rotate the keys",
            Self::RevokeKey => "revoke a key",
            Self::LogOutEverywhere => "log out everywhere",
            Self::Replay => "replay a cookie",
            Self::KillStore => "kill the store",
            Self::StartStore => "start the store",
            Self::SlowStore => "slow store",
            Self::EmptyStore => "empty the store",
            Self::FailOverStore => "store fails over",
        }
    }

    /// What is done, in one sentence.
    pub(crate) fn says(self) -> &'static str {
        match self {
            Self::Kill => "Users log in on a replica, which is then killed with kill -9.",
            Self::Stop => "A replica's process is stopped with SIGSTOP.",
            Self::Start => {
                "Dead and drained replicas start, stopped ones continue, unhealthy ones are healthy."
            }
            Self::Drain => "A replica fails its readiness, answers what it has, and ends.",
            Self::Roll => "Every replica is drained and started again, one after the other.",
            Self::Add => "One replica more is started.",
            Self::Remove => "The last replica is drained and taken out.",
            Self::Spike => {
                "The users ask four times as often for a while; two replicas are added meanwhile."
            }
            Self::FailHealth => "A replica's readiness check fails while its process lives.",
            Self::Clock => "A replica restarts with a clock that is 30 seconds ahead.",
            Self::RotateKeys => "Another key signs; the present one still verifies.",
            Self::RevokeKey => {
                "The key that signs is revoked, as if it had leaked: its sessions end."
            }
            Self::LogOutEverywhere => "One user with two sessions ends both from one of them.",
            Self::Replay => "A user logs out, and a copy of the cookie is shown to every replica.",
            Self::KillStore => "The store's process is killed with kill -9.",
            Self::StartStore => "The store starts again, or answers at its usual speed again.",
            Self::SlowStore => "Each message to and from the store takes 50 milliseconds longer.",
            Self::EmptyStore => "Everything in the store is removed.",
            Self::FailOverStore => {
                "The store is killed, and an asynchronous follower takes its place."
            }
        }
    }

    /// Whether it can ever happen to a cluster of this arm and store.
    ///
    /// # Errors
    /// The reason why not.
    pub(crate) fn concerns(self, cluster: &Cluster<'_>) -> Result<(), &'static str> {
        let arm = cluster.arm();
        match self {
            Self::RotateKeys | Self::RevokeKey if !arm.has_keys() => Err("this arm has no keys"),
            Self::KillStore
            | Self::StartStore
            | Self::SlowStore
            | Self::EmptyStore
            | Self::FailOverStore
                if !arm.has_store() =>
            {
                Err("this arm has no store")
            }
            Self::SlowStore | Self::FailOverStore if !cluster.meeting.has_link() => {
                Err("this store is not a Redis of this run's own")
            }
            _ => Ok(()),
        }
    }

    /// Whether it can happen to a cluster now.
    ///
    /// # Errors
    /// The reason why not.
    pub(crate) fn is_possible(self, cluster: &Cluster<'_>) -> Result<(), &'static str> {
        self.concerns(cluster)?;
        let (alive, replicas) = (cluster.alive().len(), cluster.replicas().len());
        let (holds, reason) = match self {
            Self::Kill | Self::Stop | Self::Drain | Self::FailHealth | Self::Clock | Self::Roll => {
                (alive > 1, "fewer than two replicas are alive")
            }
            Self::Remove => {
                let last = cluster.states().last().map(|it| it.state);
                (
                    alive > 1 && last == Some(State::Alive),
                    "fewer than two replicas are alive, or the last one is not",
                )
            }
            Self::Start => {
                let off = cluster.replicas().iter().any(|it| it.clock_offset() != 0);
                (off || alive < replicas, "every replica is alive")
            }
            Self::Add => (replicas < MOST_REPLICAS, "there are nine replicas already"),
            Self::Spike => (
                replicas + SPIKE_REPLICAS <= MOST_REPLICAS,
                "two more would be more than nine replicas",
            ),
            Self::RotateKeys | Self::RevokeKey | Self::LogOutEverywhere | Self::Replay => {
                (alive > 0, "no replica is alive")
            }
            Self::StartStore => (cluster.meeting.condition() != Condition::Up, "the store is up"),
            Self::KillStore | Self::EmptyStore => {
                (cluster.meeting.condition() != Condition::Down, "the store is down")
            }
            Self::SlowStore | Self::FailOverStore => {
                (cluster.meeting.condition() == Condition::Up, "the store is down or slow")
            }
        };
        if holds { Ok(()) } else { Err(reason) }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Event {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|event| event.word() == text);
        named.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::word).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_word_is_the_same_everywhere() {
        for event in Event::ALL {
            assert_eq!(event.word().parse(), Ok(event));
            let json = serde_json::to_string(&event).expect("a word");
            assert_eq!(json, format!("\"{event}\""));
        }
        assert_eq!(BTreeSet::from(Event::ALL).len(), Event::ALL.len(), "each once");
        let error = "explode".parse::<Event>().expect_err("no such event");
        assert!(error.starts_with("expected one of kill, stop, start, "), "{error}");
    }

    #[test]
    fn titles_fit_and_sentences_end() {
        for event in Event::ALL {
            assert!(event.title().len() <= 20, "{event}");
            assert!(event.says().ends_with('.') && !event.says().contains(". "), "{event}");
        }
    }
}
