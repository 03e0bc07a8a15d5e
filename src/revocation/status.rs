//! The status of revocations, for operators, readiness checks and dashboards.

use metrics::{counter, gauge};
use serde::Serialize;

use crate::clock::Timestamp;
use crate::error::not_ready::{NotReady, NotReadyKind};
use crate::revocation::handle::Revocations;
use crate::store::contract::Skipped;
use crate::telemetry::{FEED_LAG, READY, RECORDED, REVOCATIONS};

/// The revocations that a replica holds, as counts and times, at one time. Serializable; contains no
/// IDs or subjects.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RevocationsStatus {
    /// The name of the revocations.
    pub name: String,
    /// The number of revoked sessions that may not have expired.
    pub sessions: usize,
    /// The number of subjects whose sessions were revoked.
    pub subjects: usize,
    /// The time before which all logins were revoked, if they were.
    pub logins_before: Option<Timestamp>,
    /// The memory that all of them take, in bytes.
    pub bytes: usize,
    /// The upper limit, in milliseconds, until this replica refuses a session that another replica has
    /// revoked: the [refresh bound](Revocations::refresh_bound).
    pub refresh_bound_ms: u64,
    /// When the store was last read without a failure.
    pub refreshed_at: Timestamp,
    /// The error of the last read, if it failed, or the reason why none is tried.
    pub failure: Option<String>,
    /// The error of the last write, until one succeeds; logouts fail until then. While nothing is due, a
    /// small entry and an append without a session are written as a test: once per refresh interval after a
    /// failure, otherwise when nothing was written for 40 intervals. The replica stays ready: it refuses the
    /// sessions that it knows to be revoked.
    pub write_failure: Option<String>,
    /// When this replica last wrote to the store.
    pub written_at: Option<Timestamp>,
    /// The number of panics in background tasks, which are restarted.
    pub task_panics: u64,
    /// The records and entries of the store that were skipped, and why; at most a hundred.
    pub skipped: Vec<String>,
    /// The format of records or entries that only a newer version of this crate understands.
    pub newer_format: Option<u64>,
}

impl Revocations {
    /// Returns the numbers of revocations held, the last read and write, and failures.
    pub fn status(&self) -> RevocationsStatus {
        let state = self.0.refreshes.state();
        let (tasks, writes) = (&self.0.tasks, &self.0.place.writes);
        let [sessions, subjects, bytes] = self.0.known.counts();
        let skipped =
            state.report.skipped.iter().map(|Skipped { name, reason }| format!("{name}: {reason}"));
        RevocationsStatus {
            name: self.0.name.to_string(),
            sessions,
            subjects,
            logins_before: self.0.known.all().map(|all| all.at),
            bytes,
            refresh_bound_ms: u64::try_from(self.refresh_bound().as_millis()).unwrap_or(u64::MAX),
            refreshed_at: self.read_at(),
            failure: tasks.failure().map(str::to_owned).or_else(|| state.failure.clone()),
            write_failure: writes.failure(),
            written_at: writes.written_at(),
            task_panics: tasks.panics(),
            skipped: skipped.collect(),
            newer_format: self.0.found.load().newer_format,
        }
    }

    /// Returns whether this replica should get requests, as far as revocations are concerned. A replica
    /// whose store accepts no writes stays ready: see [`RevocationsStatus::write_failure`].
    ///
    /// # Errors
    ///
    /// Returns the reason if this replica waits for live replicas to restore what an empty store may have
    /// lost, if a background task has stopped, if it could not read the store for longer than
    /// [`max_staleness`](crate::RevocationsBuilder::max_staleness), or if the store holds revocations written
    /// by a newer version.
    pub fn ready(&self) -> Result<(), NotReady> {
        let ready = self.check_ready();
        self.set_gauges(ready.is_ok());
        ready
    }

    fn check_ready(&self) -> Result<(), NotReady> {
        let found = self.0.found.load();
        if self.0.tasks.is_stopped() {
            let text = "a background task of the revocations has stopped with its Tokio runtime: \
                        open them on a runtime that lives as long as the service";
            return Err(NotReady::new(NotReadyKind::TaskStopped, text));
        }
        if let Some(wait) = &found.wait {
            return Err(wait.not_ready("the revocations"));
        }
        if self.is_stale() {
            let (refreshed_at, limit) = (self.read_at(), self.0.max_staleness);
            let text = format!(
                "revocations were last refreshed at {refreshed_at}, which exceeds max_staleness \
                 ({limit:?})"
            );
            return Err(NotReady::new(NotReadyKind::Stale, text));
        }
        let Some(format) = found.newer_format else { return Ok(()) };
        let text = format!(
            "the store holds revocations written by a newer version (format {format}); upgrade this \
             replica"
        );
        Err(NotReady::new(NotReadyKind::NewerFormat, text))
    }

    fn set_gauges(&self, is_ready: bool) {
        let set = |name, value: f64| gauge!(name, "ring" => self.0.place.name.clone()).set(value);
        set(READY, f64::from(u8::from(is_ready)));
        set(FEED_LAG, self.age().as_secs_f64());
        self.0.refreshes.set_gauges();
        self.0.place.writes.set_metrics();
        for outcome in ["recorded", "failed"] {
            let ring = self.0.place.name.clone();
            counter!(RECORDED, "ring" => ring, "outcome" => outcome).increment(0);
        }
        let [sessions, subjects, _] = self.0.known.counts();
        set(REVOCATIONS, (sessions + subjects) as f64);
    }
}
