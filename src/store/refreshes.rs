//! How the refreshes of one handle went: remembered for its status, counted, and logged once per
//! change.

use std::sync::Arc;

use metrics::{counter, gauge};

use crate::clock::{Clock, Moment};
use crate::store::contract::Skipped;
use crate::sync::ArcSwap;

/// Records the refreshes of one handle. `F` is what the last good read found, beside the data.
pub(crate) struct Refreshes<F> {
    ring: Arc<str>,
    clock: Arc<dyn Clock>,
    state: ArcSwap<RefreshState<F>>,
}

/// How the last refreshes went.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefreshState<F> {
    /// When the store was last read without a failure.
    pub(crate) refreshed: Option<Moment>,
    pub(crate) failure: Option<String>,
    /// How many refreshes failed in a row, to read or to write.
    pub(crate) failures: u32,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) found: F,
}

/// How one refresh went.
pub(crate) enum Outcome<F> {
    Read {
        skipped: Vec<Skipped>,
        found: F,
        /// Whether the writes that were due after the read succeeded, too.
        written: bool,
    },
    /// The last known state stays in use.
    Failed(String),
}

impl<F: Clone + Default> Refreshes<F> {
    pub(crate) fn new(ring: Arc<str>, clock: Arc<dyn Clock>) -> Self {
        Self { ring, clock, state: ArcSwap::from_pointee(RefreshState::default()) }
    }

    pub(crate) fn state(&self) -> Arc<RefreshState<F>> {
        self.state.load_full()
    }

    /// Records a refresh. It logs each failure and each skipped entry once.
    pub(crate) fn record(&self, outcome: Outcome<F>) {
        let (ring, before) = (&*self.ring, self.state());
        let failures = before.failures.saturating_add(1);
        let (label, state) = match outcome {
            Outcome::Read { skipped, found, written } => {
                let refreshed = Some(Moment::now(&*self.clock));
                let failures = if written { 0 } else { failures };
                let state = RefreshState { refreshed, failure: None, failures, skipped, found };
                (if written { "ok" } else { "unwritten" }, state)
            }
            Outcome::Failed(error) => {
                let failure = Some(error);
                ("failed", RefreshState { failure, failures, ..(*before).clone() })
            }
        };
        counter!(REFRESHES, "ring" => self.ring.clone(), "outcome" => label).increment(1);
        if before.skipped != state.skipped {
            for Skipped { name, reason } in &state.skipped {
                tracing::warn!(ring, entry = name, reason, "skipped an entry");
            }
        }
        match &state.failure {
            Some(error) if before.failure != state.failure => {
                tracing::warn!(ring, error, "refresh failed; serving the last known keys");
            }
            None if before.failure.is_some() => tracing::info!(ring, "refreshes succeed again"),
            _ => {}
        }
        self.state.store(Arc::new(state));
    }

    pub(crate) fn set_gauges(&self) {
        let state = self.state();
        let Some(refreshed) = state.refreshed else { return };
        gauge!(REFRESH_FAILURES, "ring" => self.ring.clone()).set(f64::from(state.failures));
        let lag = refreshed.age(&*self.clock).as_secs_f64();
        gauge!(REFRESH_LAG, "ring" => self.ring.clone()).set(lag);
    }
}

pub(crate) const REFRESHES: &str = "tower_jwt_session_refreshes_total";
pub(crate) const REFRESH_FAILURES: &str = "tower_jwt_session_refresh_failures";
pub(crate) const REFRESH_LAG: &str = "tower_jwt_session_refresh_lag_seconds";
