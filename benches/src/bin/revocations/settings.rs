//! What a run measures: its parts, and their sizes.

use std::str::FromStr;

/// The sizes, each of which an environment variable of its name sets.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Whether the sizes are so small that the times mean little.
    pub(crate) is_quick: bool,
    /// `REVOKED`: revoked sessions that a replica holds and starts with.
    pub(crate) revoked: usize,
    /// `MOST_REVOKED`: revoked sessions at which a lookup and one more are measured, too.
    pub(crate) most_revoked: usize,
    /// `REPLICAS` and `LOGOUTS`: the fleet, and its logouts per second in total.
    pub(crate) replicas: usize,
    pub(crate) logouts: usize,
    /// `LOAD_SECONDS`: how long it is under load.
    pub(crate) load_seconds: u64,
    /// `OUTAGE_REPLICAS`, `OUTAGE_REVOKED`, `OUTAGE_SECONDS`: who loses the store, holding what, for how long.
    pub(crate) outage_replicas: usize,
    pub(crate) outage_revoked: usize,
    pub(crate) outage_seconds: u64,
    /// `SOAK_CYCLES`: logins, validations and logouts on each store.
    pub(crate) soak_cycles: usize,
}

impl Settings {
    pub(crate) fn new(is_quick: bool) -> Self {
        let size =
            |name, long, quick| variable(name).unwrap_or(if is_quick { quick } else { long });
        Self {
            is_quick,
            revoked: size("REVOKED", 1_000_000, 100_000),
            most_revoked: size("MOST_REVOKED", 10_000_000, 200_000),
            replicas: size("REPLICAS", 20, 20),
            logouts: size("LOGOUTS", 300, 300),
            load_seconds: size("LOAD_SECONDS", 30, 2) as u64,
            outage_replicas: size("OUTAGE_REPLICAS", 8, 4),
            outage_revoked: size("OUTAGE_REVOKED", 200_000, 5_000),
            outage_seconds: size("OUTAGE_SECONDS", 30, 3) as u64,
            soak_cycles: size("SOAK_CYCLES", 20_000, 1_600),
        }
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    let number = value.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{name} is {value:?}, expected a number")))
}
