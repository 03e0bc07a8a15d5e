//! `compare`: all arms through the same faults.

use std::path::PathBuf;

use crate::{
    command::{arm::Arm, flags::Flags},
    faults::event::Event,
};

/// The text of `compare --help`.
pub(crate) const USAGE: &str = "\
Every arm through the same faults, with the same users: sessions lost, answers that failed, latencies,
and what each arm costs. Exit status 0 only if each arm shows what it has to show.

Usage: cargo run --release --example cluster --features redis -- compare [options]

Options:
  --arms A,B,…     of stateless (the crate), memory, sticky, replicated, database (all that this
                   build and this machine can run)
  --faults F,G,…   of kill, stop, drain, roll, fail-health, clock, add, remove, spike, rotate-keys,
                   revoke-key, log-out-everywhere, replay, slow-store, kill-store, empty-store,
                   fail-over-store (all)
  --seconds N      how long the users are watched after each fault, 1 to 60 (2)
  --json FILE      writes all figures there
  --svg FILE       writes a picture of the sessions lost there

With the feature redis and an installed redis-server, the arms stateless and database have a Redis
each, which this run starts and breaks. Else the keys of stateless are in a directory, and database
is left out.";

/// The faults, in the order in which they happen.
pub(crate) const FAULTS: [Event; 17] = [
    Event::Kill,
    Event::Stop,
    Event::Drain,
    Event::Roll,
    Event::FailHealth,
    Event::Clock,
    Event::Add,
    Event::Remove,
    Event::Spike,
    Event::RotateKeys,
    Event::RevokeKey,
    Event::LogOutEverywhere,
    Event::Replay,
    Event::SlowStore,
    Event::KillStore,
    Event::EmptyStore,
    Event::FailOverStore,
];

/// The options of `compare`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompareOptions {
    /// The arms that were asked for; none if all that can be run are wanted.
    pub(crate) arms: Option<Vec<Arm>>,
    /// The faults, in their order.
    pub(crate) faults: Vec<Event>,
    /// How long the users are watched after each fault.
    pub(crate) seconds: u32,
    /// Where the figures go.
    pub(crate) json: Option<PathBuf>,
    /// Where the picture goes.
    pub(crate) svg: Option<PathBuf>,
}

impl CompareOptions {
    /// Takes the options.
    ///
    /// # Errors
    /// If one is wrong.
    pub(crate) fn take(flags: &mut Flags) -> Result<Self, String> {
        let arms = flags.arms()?;
        let wanted = flags.list::<Event>("faults")?.unwrap_or_else(|| FAULTS.to_vec());
        if let Some(remedy) = wanted.iter().find(|event| !FAULTS.contains(event)) {
            return Err(format!(
                "--faults: `{remedy}` undoes others, and comes after each of them"
            ));
        }
        let seconds = match flags.take("seconds")?.unwrap_or(2) {
            seconds @ 1..=60 => seconds,
            seconds => return Err(format!("--seconds {seconds}: expected 1 to 60")),
        };
        Ok(Self {
            arms,
            faults: FAULTS.into_iter().filter(|fault| wanted.contains(fault)).collect(),
            seconds,
            json: flags.take("json")?,
            svg: flags.take("svg")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_names_every_fault() {
        for fault in FAULTS {
            assert!(USAGE.contains(fault.word()), "{fault}");
        }
        assert_eq!(FAULTS.len() + 2, Event::ALL.len(), "all but what undoes the others");
    }
}
