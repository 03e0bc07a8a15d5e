//! What a comparison has found: for each arm and each fault the figures, as they are written to JSON.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

use crate::{command::arm::Arm, faults::event::Event, store::choice::Store, users::tally::Tally};

/// The whole.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// How long each fault was watched, in seconds.
    pub(crate) seconds: u32,
    /// How many users there were.
    pub(crate) users: usize,
    /// How many replicas there were.
    pub(crate) replicas: usize,
    /// The arms, in the order in which they ran.
    pub(crate) arms: Vec<ArmOutcome>,
    /// What is not as it has to be; empty if the comparison shows what it is to show.
    pub(crate) reasons: Vec<String>,
}

/// One arm.
#[derive(Debug, Serialize)]
pub(crate) struct ArmOutcome {
    /// Which.
    pub(crate) arm: Arm,
    /// Where its keys or its sessions meet, if it has a store.
    #[serde(serialize_with = "word")]
    pub(crate) store: Store,
    /// Its faults, in their order.
    pub(crate) rows: Vec<Row>,
    /// What many sessions cost.
    pub(crate) growth: Growth,
    /// The upper limit in milliseconds until a session that was ended on one replica is refused by all,
    /// as a replica states it; none if none is stated.
    pub(crate) bound_ms: Option<u64>,
    /// Commands that the store processes without users, per second; none without a store.
    pub(crate) background_commands: Option<f64>,
}

impl ArmOutcome {
    /// The figures of a phase, if it was run.
    pub(crate) fn row(&self, phase: Phase) -> Option<&Row> {
        self.rows.iter().find(|row| row.phase == phase)
    }

    /// Whether a replica cannot notice that its clock is off: a directory has no clock.
    pub(crate) fn is_without_clock(&self) -> bool {
        self.arm == Arm::Stateless && self.store == Store::File
    }

    /// Everything that the users met in all rows.
    pub(crate) fn total(&self) -> Tally {
        let mut total = Tally::default();
        for row in &self.rows {
            total.merge(row.tally.clone());
        }
        total
    }
}

/// What is done to an arm while it is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    /// Nothing.
    Steady,
    /// A fault, and what undoes it.
    Fault(Event),
}

impl Phase {
    /// A few words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Steady => "nothing happens",
            Self::Fault(event) => event.title(),
        }
    }

    /// What is done, in one sentence.
    pub(crate) fn says(self) -> &'static str {
        match self {
            Self::Steady => "Nothing is done.",
            Self::Fault(event) => event.says(),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steady => f.pad("steady"),
            Self::Fault(event) => event.fmt(f),
        }
    }
}

impl Serialize for Phase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The figures of one phase.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) phase: Phase,
    /// The same in a sentence, with names.
    pub(crate) said: String,
    /// What the users met.
    #[serde(flatten, serialize_with = "figures")]
    pub(crate) tally: Tally,
    /// How long it took, in seconds.
    pub(crate) took: f64,
    /// Requests per second.
    pub(crate) rate: f64,
    /// Commands that the store processed, by request of a user, without those in the background; none
    /// without a store, or if the store's own count was lost with its process.
    pub(crate) commands_per_request: Option<f64>,
    /// Bytes per second from replica to replica.
    pub(crate) copied_per_second: f64,
    /// The resident memory of a replica in bytes, on average; none where the system does not say so.
    pub(crate) memory_per_replica: Option<u64>,
    /// The course of it, of a traffic spike.
    pub(crate) spike: Option<Spike>,
}

/// A traffic spike.
#[derive(Debug, Serialize)]
pub(crate) struct Spike {
    /// Moment by moment.
    pub(crate) samples: Vec<Sample>,
    /// The replicas that were added while it lasted.
    pub(crate) added: Vec<Added>,
}

/// A moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    /// How many milliseconds after the beginning.
    pub(crate) at_ms: u64,
    /// Requests per second.
    pub(crate) rate: f64,
    /// The 99th percentile of the times of answers, in milliseconds; none without answers.
    pub(crate) p99_ms: Option<f64>,
}

/// A replica that was added.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Added {
    /// Its name.
    pub(crate) name: String,
    /// How many milliseconds after the beginning of the spike it first answered a user; none if never.
    pub(crate) first_answer_ms: Option<u64>,
    /// How many requests it answered.
    pub(crate) answers: u64,
    /// How many of those refused a session that another replica had made.
    pub(crate) refused: u64,
}

/// What many sessions cost.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Growth {
    /// How many sessions were made and used once.
    pub(crate) sessions: u64,
    /// By how many bytes all replicas together grew, by 1,000 sessions; none where the system does not
    /// say how large a process is.
    pub(crate) replicas_per_1000: Option<i64>,
    /// By how many bytes the store grew, by 1,000 sessions; none without a store that says so.
    pub(crate) store_per_1000: Option<i64>,
    /// How many bytes went from replica to replica, by session.
    pub(crate) copied_per_session: u64,
    /// How many other replicas there were.
    pub(crate) peers: u64,
}

fn word<S: Serializer>(store: &Store, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(store)
}

/// As much of a tally as a reader can use.
fn figures<S: Serializer>(tally: &Tally, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown {
        requests: u64,
        lost: u64,
        failed: u64,
        retries: u64,
        p50_ms: Option<f64>,
        p99_ms: Option<f64>,
        accepted_after_logout: u64,
        accepted_for_ms: u64,
        surprise: Option<String>,
    }
    let percentile = |percent| tally.percentile(percent).map(milliseconds);
    let shown = Shown {
        requests: tally.requests,
        lost: tally.unexpected_401,
        failed: tally.failed,
        retries: tally.retries,
        p50_ms: percentile(50),
        p99_ms: percentile(99),
        accepted_after_logout: tally.accepted_after_logout,
        accepted_for_ms: u64::try_from(tally.accepted_for.as_millis()).unwrap_or(u64::MAX),
        surprise: tally.surprise.clone(),
    };
    shown.serialize(serializer)
}

/// With three digits behind the point.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
