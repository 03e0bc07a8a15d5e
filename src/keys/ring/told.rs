//! What a ring tells of itself: its status, whether it is ready, its metrics and its events.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use metrics::{counter, gauge};

use super::{KeyRing, RingError, Source};
use crate::clock::Timestamp;
use crate::error::{IssueError, RejectionKind};
use crate::keys::rotator::Report;
use crate::keys::set::KeySet;
use crate::keys::status::{NotReady, RefreshState, RingStatus};
use crate::store::Skipped;
use crate::telemetry::{
    KEY_AGE, KEYS, READY, REFRESH_FAILURES, REFRESH_LAG, REFRESHES, ROTATION_OVERDUE,
    SIGNING_GENERATION,
};

impl KeyRing {
    /// What the ring holds and how it fares.
    pub fn status(&self) -> RingStatus {
        let now = self.now();
        let refreshed = self.0.refreshed.load_full();
        let keys = self.keys(now);
        let overdue = self.is_overdue(&keys, now);
        RingStatus::new(&self.0.name, &keys, refreshed.as_deref(), overdue, now)
    }

    /// Whether this replica should be given requests.
    ///
    /// A ring whose [rotation is overdue](RingStatus::rotation_overdue) stays ready as long as a key
    /// may sign: all replicas are overdue at once.
    ///
    /// # Errors
    ///
    /// If it can't sign, if the store holds what only a newer version understands, or if this
    /// replica polls more slowly than the ring's keys allow for. A ring that follows an issuer need
    /// not sign; it is not ready once its keys are too old to verify.
    pub fn ready(&self) -> Result<(), NotReady> {
        let now = self.now();
        let ready = self.check_ready(now);
        self.set_gauges(ready.is_ok(), now);
        ready
    }

    fn check_ready(&self, now: Timestamp) -> Result<(), NotReady> {
        let keys = self.keys(now);
        let refreshed = self.0.refreshed.load();
        if let Some(follower) = self.follower() {
            let failure = refreshed.as_ref().and_then(|state| state.failure.as_deref());
            return follower.ready(&keys, failure, now);
        }
        if let Some(blocked) = refreshed.as_ref().and_then(|state| state.blocked.clone()) {
            return Err(blocked);
        }
        let signer = keys.signer(now).ok_or(NotReady::NoSigningKey)?;
        // Keys that are made from now on are published as early as the newest ones.
        let newer = keys.keys().iter().filter(|key| {
            key.scheduled.generation >= signer.scheduled.generation
                && !key.scheduled.times.has_no_lead()
        });
        let leads = newer.map(|key| key.scheduled.times.propagated - key.scheduled.times.published);
        let bound = self.0.policy.refresh_bound();
        match leads.map(|lead| (self.0.policy.allowed_bound(lead), lead)).min() {
            Some((allowed, lead)) if allowed < bound => Err(NotReady::SlowRefresh { bound, lead }),
            _ => Ok(()),
        }
    }

    /// Remembers how a refresh went, counts it, and tells what has changed, once for each change.
    pub(in crate::keys) fn note_refresh(&self, result: &Result<Report, RingError>) {
        let (ring, now) = (&*self.0.name, self.now());
        let before = self.0.refreshed.load_full();
        let state = RefreshState::after(before.as_deref(), result, now);
        let outcome = match result {
            Ok(Report { failure: None, .. }) => "ok",
            Ok(_) => "unwritten",
            Err(_) => "failed",
        };
        counter!(REFRESHES, "ring" => self.0.name.clone(), "outcome" => outcome).increment(1);
        let failed_before = before.as_ref().is_some_and(|before| before.failure.is_some());
        if before.is_none_or(|before| before.differs(&state)) {
            for Skipped { name, reason } in &state.skipped {
                tracing::warn!(ring, entry = name, reason, "skipped an entry");
            }
            match &state.failure {
                Some(error) => {
                    tracing::warn!(ring, error, "a refresh failed; the last known keys go on");
                }
                None if failed_before => tracing::info!(ring, "refreshes succeed again"),
                None => {}
            }
        }
        self.0.refreshed.store(Some(Arc::new(state)));
        self.tell_overdue(now);
        self.set_gauges(self.check_ready(now).is_ok(), now);
    }

    /// Tells that rotation is overdue, and that it is no longer, once each. Only a refresh asks for
    /// it: between two, a key may be missing that is about to be made.
    fn tell_overdue(&self, now: Timestamp) {
        let keys = self.keys(now);
        let overdue = self.is_overdue(&keys, now);
        if self.0.overdue.swap(overdue, Ordering::Relaxed) == overdue {
            return;
        }
        let ring = &*self.0.name;
        let signer = keys.signer(now).map(|key| &key.scheduled);
        let generation = signer.map(|signer| signer.generation);
        if overdue {
            let until = signer.map(|signer| tracing::field::display(signer.times.signs_until));
            tracing::warn!(ring, generation, signs_until = until, "rotation is overdue");
        } else {
            tracing::info!(ring, generation, "rotation is no longer overdue");
        }
    }

    fn is_overdue(&self, keys: &KeySet, now: Timestamp) -> bool {
        let is_rotated = matches!(self.0.source, Source::Rotated(_));
        is_rotated && self.0.policy.is_overdue(&keys.schedule(), now)
    }

    fn set_gauges(&self, is_ready: bool, now: Timestamp) {
        // They share a name, and would overwrite each other.
        if matches!(self.0.source, Source::Fixed) {
            return;
        }
        let set = |name, value: f64| gauge!(name, "ring" => self.0.name.clone()).set(value);
        let flag = |holds| f64::from(u8::from(holds));
        let keys = self.keys(now);
        set(KEYS, keys.keys().iter().filter(|key| keys.verifies(key, now)).count() as f64);
        set(READY, flag(is_ready));
        if let Some(state) = &*self.0.refreshed.load() {
            set(REFRESH_FAILURES, f64::from(state.failures));
            if let Some(refreshed_at) = state.refreshed_at {
                set(REFRESH_LAG, (now - refreshed_at).as_secs_f64());
            }
        }
        if let Source::Rotated(_) | Source::Derived(_) = self.0.source {
            set(ROTATION_OVERDUE, flag(self.is_overdue(&keys, now)));
            if let Some(signer) = keys.signer(now) {
                set(SIGNING_GENERATION, signer.scheduled.generation as f64);
                set(KEY_AGE, (now - signer.scheduled.times.published).as_secs_f64());
            }
        }
    }

    /// Counts a validation; `is_cached` where there is a cache.
    #[inline]
    pub(crate) fn count_valid(&self, is_cached: Option<bool>) {
        self.0.counters.valid(&self.0.name, is_cached);
    }

    #[cold]
    pub(crate) fn count_invalid(&self, is_cached: Option<bool>, kind: RejectionKind) {
        self.0.counters.invalid(&self.0.name, is_cached, kind);
    }

    pub(crate) fn count_rejected(&self, kind: RejectionKind) {
        self.0.counters.rejected(&self.0.name, kind);
    }

    pub(crate) fn count_issued<T>(&self, result: &Result<T, IssueError>) {
        self.0.counters.issued(&self.0.name, result.as_ref().err());
    }
}
