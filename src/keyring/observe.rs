//! The status, readiness, metrics and events of a ring.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use metrics::gauge;

use crate::clock::Timestamp;
use crate::error::not_ready::{NotReady, NotReadyKind};
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::keyring::ring::KeyRing;
use crate::keyring::skew::watch::ClockWatch;
use crate::keyring::source::Issues;
use crate::keyring::status::{KeyRingStatus, KeyStatus};
use crate::keys::key_set::KeySet;
use crate::keys::schedule::{IssuingPaused, PauseReason};
use crate::replica::founding::Wait;
use crate::replica::writes::Writes;
use crate::store::contract::Skipped;
use crate::telemetry::{
    CLOCK_OFFSET, ISSUING_PAUSED, KEY_AGE, KEY_FINGERPRINT, KEYS, KEYS_REVOKED, READY,
    ROTATION_OVERDUE, SIGNING_GENERATION,
};

impl KeyRing {
    /// Returns the keys that the ring holds, and its health.
    pub fn status(&self) -> KeyRingStatus {
        let now = self.now();
        let (keys, tasks) = (self.keys(now), &self.0.tasks);
        let (writes, refreshed) = (self.writes(), self.0.core.refreshes.state());
        let signer = keys.signer(now);
        let skipped = refreshed.report.skipped.iter();
        KeyRingStatus {
            ring: self.name().to_string(),
            fingerprint: keys.fingerprint().to_owned(),
            generation: signer.map(|signer| signer.scheduled.generation),
            signing_key_id: signer.map(|signer| signer.key.key_id().to_owned()),
            keys: keys.keys().iter().map(|key| KeyStatus::new(&keys, key, signer, now)).collect(),
            refreshed_at: refreshed.refreshed.map(|moment| moment.time),
            failure: tasks.failure().map(str::to_owned).or_else(|| refreshed.failure.clone()),
            failures: refreshed.failures,
            write_failure: writes.and_then(Writes::failure),
            written_at: writes.and_then(Writes::written_at),
            sealed: self.0.source.rotating().map(|rotating| rotating.seals()),
            task_panics: tasks.panics(),
            rotation_overdue: self.is_overdue(&keys, now),
            issuing_paused: self.pause(&keys, now),
            clock_offset: self.clock_watch().and_then(ClockWatch::offset),
            skipped: skipped.map(|Skipped { name, reason }| format!("{name}: {reason}")).collect(),
        }
    }

    /// Checks whether this replica should receive requests.
    ///
    /// A ring whose [rotation is overdue](KeyRingStatus::rotation_overdue) stays ready as long as a
    /// key may sign: all replicas are overdue at once. So does a replica that was ready before
    /// where no key signs ([`issuing_paused`](KeyRingStatus::issuing_paused)), as long as a key
    /// verifies; one that was not becomes ready then only if it is known when a key will sign.
    ///
    /// # Errors
    ///
    /// If no key signs, with the exceptions above and those of rings that never held a private key;
    /// if the background task has stopped; if the store holds entries of a newer version; if this
    /// replica polls more slowly than the ring's keys allow; or if its clock is [too
    /// far](NotReadyKind::Clock) from the store's. A ring that follows an issuer need not sign;
    /// it is not ready once its keys are too old to verify.
    pub fn ready(&self) -> Result<(), NotReady> {
        let now = self.now();
        let ready = self.check_ready(now);
        self.record_ready(ready.is_ok(), now);
        ready
    }

    /// Remembers that this replica was ready: a replica that was stays ready longer.
    fn record_ready(&self, is_ready: bool, now: Timestamp) {
        if is_ready {
            self.0.was_ready.store(true, Ordering::Relaxed);
        }
        self.set_gauges(is_ready, now);
    }

    fn check_ready(&self, now: Timestamp) -> Result<(), NotReady> {
        if self.0.tasks.is_stopped() {
            let text = "the background task of the ring has stopped with its Tokio runtime: open \
                        the ring on a runtime that lives as long as the service";
            return Err(NotReady::new(NotReadyKind::TaskStopped, text));
        }
        let keys = self.keys(now);
        let refreshed = self.0.core.refreshes.state();
        if let Some(limit) = self.0.source.max_staleness() {
            if keys.keys().iter().any(|key| keys.verifies(key, now)) {
                return Ok(());
            }
            let failure = refreshed.failure.as_deref().unwrap_or("none was tried");
            if refreshed.refreshed.is_none() {
                let text = format!(
                    "the keys of {} were never fetched, and are tried again; the last fetch failed: \
                     {failure}",
                    self.name(),
                );
                return Err(NotReady::new(NotReadyKind::NoKeysYet, text));
            }
            let text = format!(
                "the keys of {} are older than max_staleness ({limit:?}) and no longer verify; the \
                 last fetch failed: {failure}",
                self.name(),
            );
            return Err(NotReady::new(NotReadyKind::Stale, text));
        }
        if let Some(blocked) = refreshed.report.blocked.clone() {
            return Err(blocked);
        }
        self.check_signing(&keys, now)?;
        self.check_refresh(&keys, now)?;
        self.clock_watch().map_or(Ok(()), |watch| watch.ready(now))
    }

    /// Whether a key signs. Where none does, all replicas are in the same state, and a load balancer
    /// must not remove them all at once: one that was ready stays ready while a key verifies, and one
    /// that never was becomes ready only if it is known when a key will sign.
    fn check_signing(&self, keys: &KeySet, now: Timestamp) -> Result<(), NotReady> {
        // The application or a directory gives the keys, and never gave a private one.
        let only_validates =
            self.0.source.issues() == Issues::WithPrivateKey && !self.0.core.has_held_signer();
        if keys.signer(now).is_some() || only_validates {
            return Ok(());
        }
        let verifies = keys.keys().iter().any(|key| key.scheduled.verifies(now));
        let was_ready = verifies && self.0.was_ready.load(Ordering::Relaxed);
        let resumes = self.pause(keys, now).is_some_and(|pause| pause.until.is_some());
        if was_ready || resumes {
            return Ok(());
        }
        let text = self.why_no_key_signs(keys, now);
        Err(NotReady::new(NotReadyKind::NoSigningKey, text))
    }

    /// The error of a token that no key may sign: why, until when, and how to fix it.
    #[cold]
    pub(crate) fn no_signing_key(&self, keys: &KeySet, now: Timestamp) -> OperationError {
        let text = self.why_no_key_signs(keys, now);
        OperationError::new(OperationErrorKind::NoSigningKey, text)
    }

    fn why_no_key_signs(&self, keys: &KeySet, now: Timestamp) -> String {
        let blocked = self.0.core.refreshes.state().report.blocked.clone();
        let why = match (blocked.filter(|_| keys.keys().is_empty()), self.pause(keys, now)) {
            (Some(blocked), _) => blocked.to_string(),
            (None, Some(IssuingPaused { reason, until })) => {
                let until = until.map_or_else(
                    || {
                        "no successor is written yet: see `write_failure` in /health/status"
                            .to_owned()
                    },
                    |until| format!("its successor signs from {until}, when every replica has it"),
                );
                match reason {
                    PauseReason::NoKey => {
                        "it holds none that can sign: see `failure` and `write_failure` in /health/status".to_owned()
                    }
                    PauseReason::Revoked => format!("the signing key was revoked, and {until}"),
                    PauseReason::Retired => format!("the signing key was retired, and {until}"),
                    PauseReason::Overdue => {
                        format!("the last key is max_overdue_signing past its time, and {until}")
                    }
                }
            }
            (None, None) if self.0.source.issues() == Issues::Never => {
                "it follows an issuer, whose keys only verify".to_owned()
            }
            (None, None) => {
                "it holds no private key: give it one, or issue tokens where the private \
                             key is"
                    .to_owned()
            }
        };
        format!("no key of ring {:?} may sign now: {why}", &**self.name())
    }

    /// The wait before this replica founds the ring.
    fn founding(&self) -> Option<Wait> {
        self.0.core.refreshes.state().report.founding
    }

    /// Whether this replica polls often enough for the keys that sign now and later.
    fn check_refresh(&self, keys: &KeySet, now: Timestamp) -> Result<(), NotReady> {
        let signer = keys.signer(now).map(|signer| signer.scheduled.generation);
        // Keys that are made from now on are published as early as the newest ones.
        let newer = keys.keys().iter().map(|key| &key.scheduled).filter(|key| {
            let counts = match signer {
                Some(signer) => key.generation >= signer,
                None => key.is_unmarked(),
            };
            counts && !key.times.has_no_lead()
        });
        let leads = newer.map(|key| key.times.propagated - key.times.published);
        let bound = self.policy().refresh_bound();
        match leads.map(|lead| (self.policy().allowed_bound(lead), lead)).min() {
            Some((allowed, lead)) if allowed < bound => {
                let text = format!(
                    "this replica refreshes within {bound:?}, but the ring's keys are published \
                     only {lead:?} ahead: shorten refresh_interval, or wait until keys with a \
                     longer lead are in use"
                );
                Err(NotReady::new(NotReadyKind::SlowRefresh, text))
            }
            _ => Ok(()),
        }
    }

    /// Why no key signs, and until when: of rings that rotate in a store, and of fixed and
    /// directory rings that lost their private key.
    fn pause(&self, keys: &KeySet, now: Timestamp) -> Option<IssuingPaused> {
        let issues = match self.0.source.issues() {
            Issues::Always => self.0.source.rotating().is_some(),
            Issues::WithPrivateKey => self.0.core.has_held_signer(),
            Issues::Never => false,
        };
        issues.then(|| self.policy().pause(&keys.schedule(), now)).flatten()
    }

    /// How long a client that could not be given a token should wait before it tries again; `None`
    /// if a key signs, or it is not known when one will.
    pub(crate) fn issues_again_in(&self) -> Option<std::time::Duration> {
        let now = self.now();
        match self.pause(&self.keys(now), now)?.until {
            Some(until) => Some(until - now),
            None => Some(self.founding()?.remaining(now)),
        }
    }

    /// Logs what a refresh has changed, and sets the gauges.
    pub(crate) fn observe_refresh(&self) {
        // Fixed rings share a name.
        if self.0.source.replaceable().is_some() {
            return;
        }
        let now = self.now();
        self.note_signer();
        self.log_overdue(now);
        self.log_pause(now);
        self.record_ready(self.check_ready(now).is_ok(), now);
    }

    /// Writes into the audit trail which key signs, if that is another one than before.
    pub(crate) fn note_signer(&self) {
        if self.0.source.rotating().is_some() {
            self.0.core.note_signer(true);
        }
    }

    /// Logs that issuing is paused, once for each reason and time, and that it is no longer. The wait before
    /// a ring is founded is logged where it begins.
    pub(crate) fn log_pause(&self, now: Timestamp) {
        let keys = self.keys(now);
        let pause = self.pause(&keys, now).filter(|_| self.founding().is_none());
        let mut logged = self.0.logged_pause.lock().unwrap_or_else(PoisonError::into_inner);
        if *logged == pause {
            return;
        }
        *logged = pause;
        drop(logged);
        let ring = &**self.name();
        match pause {
            Some(IssuingPaused { reason, until }) => {
                let (reason, until) = (reason.as_str(), until.map(tracing::field::display));
                tracing::warn!(ring, reason, until, "issuing is paused: no key signs");
            }
            None => {
                let generation = keys.signer(now).map(|signer| signer.scheduled.generation);
                tracing::info!(ring, generation, "issuing is no longer paused");
            }
        }
    }

    /// Logs that rotation is overdue, and that it no longer is, once each. It is asked only after a
    /// refresh: before one, a due key may not have been made yet.
    fn log_overdue(&self, now: Timestamp) {
        let keys = self.keys(now);
        let overdue = self.is_overdue(&keys, now);
        if self.0.overdue.swap(overdue, Ordering::Relaxed) == overdue {
            return;
        }
        let ring = &**self.name();
        let signer = keys.signer(now).map(|key| &key.scheduled);
        let generation = signer.map(|signer| signer.generation);
        if overdue {
            let until = signer.map(|signer| tracing::field::display(signer.times.signs_until));
            tracing::warn!(ring, generation, signs_until = until, "rotation is overdue");
        } else {
            tracing::info!(ring, generation, "rotation is no longer overdue");
        }
    }

    /// The health of writes, where keys rotate in a store.
    fn writes(&self) -> Option<&Writes> {
        self.0.source.rotating().map(|rotating| rotating.writes())
    }

    fn is_overdue(&self, keys: &KeySet, now: Timestamp) -> bool {
        self.0.source.rotating().is_some() && self.policy().is_overdue(&keys.schedule(), now)
    }

    fn set_gauges(&self, is_ready: bool, now: Timestamp) {
        // They share a name, and would overwrite each other.
        if self.0.source.replaceable().is_some() {
            return;
        }
        let set = |name, value: f64| gauge!(name, "ring" => self.name().clone()).set(value);
        let flag = |holds| f64::from(u8::from(holds));
        let keys = self.keys(now);
        set(KEYS, keys.keys().iter().filter(|key| keys.verifies(key, now)).count() as f64);
        set(READY, flag(is_ready));
        self.0.core.refreshes.set_gauges();
        if let Some(writes) = self.writes() {
            writes.set_metrics();
        }
        if self.0.source.issues() == Issues::Always {
            if let Some(offset) = self.clock_watch().and_then(ClockWatch::offset) {
                set(CLOCK_OFFSET, offset.offset_ms as f64 / 1000.);
            }
            set(ROTATION_OVERDUE, flag(self.is_overdue(&keys, now)));
            set(ISSUING_PAUSED, flag(self.pause(&keys, now).is_some()));
            set(KEY_FINGERPRINT, keys.fingerprint_number());
            let revoked = keys.keys().iter().filter(|key| key.scheduled.revoked);
            set(KEYS_REVOKED, revoked.count() as f64);
            if let Some(signer) = keys.signer(now) {
                set(SIGNING_GENERATION, signer.scheduled.generation as f64);
                set(KEY_AGE, (now - signer.scheduled.times.published).as_secs_f64());
            }
        }
    }

    /// The comparison of this replica's clock with the store's, if that has one.
    fn clock_watch(&self) -> Option<&ClockWatch> {
        self.0.source.rotating().map(|rotating| rotating.clock_watch())
    }

    /// Warns that a token of this ring's own keys was issued in the future, at most once per
    /// period. Its signature is valid: no client can cause it. Some clock is wrong, unknown which,
    /// so that no replica becomes unready.
    #[cold]
    pub(crate) fn warn_of_future_token(&self, now: Timestamp) {
        if self.issues() && self.0.future_tokens.try_begin(now) {
            let (ring, clock_skew) = (&**self.name(), self.policy().clock_skew);
            let fix = "`sessionctl doctor` with the URLs of all replicas shows whose; set it right";
            tracing::warn!(
                ring,
                ?clock_skew,
                fix,
                "a token of this ring was issued in the future: a replica's clock is wrong"
            );
        }
    }
}
