//! How the refreshes of a ring, or of revocations, went: remembered for the status, counted, and logged
//! once per change.

use std::sync::Arc;

use metrics::{counter, gauge};

use crate::clock::{Clock, Moment};
use crate::error::not_ready::NotReady;
use crate::error::operation::OperationError;
use crate::replica::founding::Wait;
use crate::store::contract::Skipped;
use crate::sync::ArcSwap;
use crate::telemetry::{REFRESH_FAILURES, REFRESH_LAG, REFRESHES};

/// What a good read found beside the keys or revocations, and how the writes after it went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) skipped: Vec<Skipped>,
    /// Why this replica makes no keys, and is not ready: entries that it may not go past, or a wait
    /// before it founds the ring.
    pub(crate) blocked: Option<NotReady>,
    /// That wait.
    pub(crate) founding: Option<Wait>,
    /// Whether there was no readable key, and something that may be one.
    pub(crate) unreadable: bool,
    /// The error of the writes after the read.
    pub(crate) failure: Option<OperationError>,
}

/// Records the refreshes of one handle.
pub(crate) struct Refreshes {
    ring: Arc<str>,
    clock: Arc<dyn Clock>,
    state: ArcSwap<RefreshState>,
}

/// How the last refreshes went.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefreshState {
    /// When the store was last read without a failure.
    pub(crate) refreshed: Option<Moment>,
    /// The error of the last read.
    pub(crate) failure: Option<String>,
    /// How many refreshes failed in a row, to read or to write.
    pub(crate) failures: u32,
    /// Of the last good read.
    pub(crate) report: Report,
}

impl Refreshes {
    pub(crate) fn new(ring: Arc<str>, clock: Arc<dyn Clock>) -> Self {
        Self { ring, clock, state: ArcSwap::from_pointee(RefreshState::default()) }
    }

    pub(crate) fn state(&self) -> Arc<RefreshState> {
        self.state.load_full()
    }

    /// Records a refresh. It logs each failure and each skipped entry once.
    pub(crate) fn record(&self, result: &Result<Report, impl ToString>) {
        let (ring, before) = (&*self.ring, self.state());
        let failures = before.failures.saturating_add(1);
        let (label, state) = match result {
            Ok(report) => {
                let (label, failures) = match report.failure {
                    None => ("ok", 0),
                    Some(_) => ("unwritten", failures),
                };
                let refreshed = Some(Moment::now(&*self.clock));
                let report = report.clone();
                (label, RefreshState { refreshed, failure: None, failures, report })
            }
            Err(error) => {
                let failure = Some(error.to_string());
                ("failed", RefreshState { failure, failures, ..(*before).clone() })
            }
        };
        counter!(REFRESHES, "ring" => self.ring.clone(), "outcome" => label).increment(1);
        if before.report.skipped != state.report.skipped {
            for Skipped { name, reason } in &state.report.skipped {
                tracing::warn!(ring, entry = name, reason, "skipped an entry");
            }
        }
        match &state.failure {
            Some(error) if before.failure != state.failure && before.refreshed.is_none() => {
                tracing::warn!(ring, error, "refresh failed; nothing was read yet");
            }
            Some(error) if before.failure != state.failure => {
                tracing::warn!(ring, error, "refresh failed; serving the last known state");
            }
            None if before.failure.is_some() => tracing::info!(ring, "refreshes succeed again"),
            _ => {}
        }
        self.state.store(Arc::new(state));
    }

    pub(crate) fn set_gauges(&self) {
        let state = self.state();
        if state.refreshed.is_some() || state.failures > 0 {
            let failures = gauge!(REFRESH_FAILURES, "ring" => self.ring.clone());
            failures.set(f64::from(state.failures));
        }
        let Some(refreshed) = state.refreshed else { return };
        let lag = refreshed.age(&*self.clock).as_secs_f64();
        gauge!(REFRESH_LAG, "ring" => self.ring.clone()).set(lag);
    }
}
