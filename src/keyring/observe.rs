//! What a ring tells of itself: its status, whether it is ready, its metrics and its events.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use metrics::{counter, gauge};

use crate::clock::{Moment, Timestamp};
use crate::keyring::ring::{KeyRing, RingError, Source};
use crate::keyring::rotating::replica::Report;
use crate::keyring::skew::ClockWatch;
use crate::keyring::status::{NotReady, RefreshState, RingStatus};
use crate::keys::key_set::KeySet;
use crate::keys::schedule::IssuingPaused;
use crate::store::contract::Skipped;
use crate::store::writes::Writes;
use crate::telemetry::{
    CLOCK_OFFSET, KEY_AGE, KEYS, READY, REFRESH_FAILURES, REFRESH_LAG, REFRESHES, ROTATION_OVERDUE,
    SIGNING_GENERATION,
};

impl KeyRing {
    /// What the ring holds and how it fares.
    pub fn status(&self) -> RingStatus {
        let now = self.now();
        let refreshed = self.0.refreshed.load_full();
        let keys = self.keys(now);
        let overdue = self.is_overdue(&keys, now);
        let paused = self.pause(&keys, now);
        let offset = self.clock_watch().and_then(ClockWatch::offset);
        let (refreshed, health) = (refreshed.as_deref(), (self.writes(), &*self.0.tasks, offset));
        RingStatus::new(&self.0.name, &keys, refreshed, health, overdue, paused, now)
    }

    /// Whether this replica should be given requests.
    ///
    /// A ring whose [rotation is overdue](RingStatus::rotation_overdue) stays ready as long as a key
    /// may sign: all replicas are overdue at once. So does a replica that was ready before where no
    /// key signs ([`issuing_paused`](RingStatus::issuing_paused)), as long as a key verifies; one that
    /// was not becomes ready then only if it is known when a key will sign.
    ///
    /// # Errors
    ///
    /// If it can't sign, but for what is said above and for a ring that has only ever held public
    /// keys, if its background task has stopped, if the store holds what only a newer version
    /// understands, if this replica polls more slowly than the ring's keys allow for, or if its clock is
    /// [too far](NotReady::Clock) from the store's. A ring that follows an issuer need
    /// not sign; it is not ready once its keys are too old to verify.
    pub fn ready(&self) -> Result<(), NotReady> {
        let now = self.now();
        let ready = self.check_ready(now);
        self.note_ready(ready.is_ok(), now);
        ready
    }

    /// Remembers that this replica was ready, which may be all that keeps it ready later.
    fn note_ready(&self, is_ready: bool, now: Timestamp) {
        if is_ready {
            self.0.was_ready.store(true, Ordering::Relaxed);
        }
        self.set_gauges(is_ready, now);
    }

    fn check_ready(&self, now: Timestamp) -> Result<(), NotReady> {
        if self.0.tasks.is_stopped() {
            return Err(NotReady::TaskStopped);
        }
        let keys = self.keys(now);
        let refreshed = self.0.refreshed.load();
        if let Some(follower) = self.follower() {
            let failure = refreshed.as_ref().and_then(|state| state.failure.as_deref());
            return follower.ready(&keys, failure, now);
        }
        if let Some(blocked) = refreshed.as_ref().and_then(|state| state.blocked.clone()) {
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
        if keys.signer(now).is_some() || self.only_validates() {
            return Ok(());
        }
        let verifies = keys.keys().iter().any(|key| key.scheduled.verifies(now));
        let was_ready = verifies && self.0.was_ready.load(Ordering::Relaxed);
        let resumes = self.pause(keys, now).is_some_and(|pause| pause.until.is_some());
        if was_ready || resumes { Ok(()) } else { Err(NotReady::NoSigningKey) }
    }

    /// Whether its keys come from the application or a directory, and none of them ever could sign.
    fn only_validates(&self) -> bool {
        matches!(self.0.source, Source::Fixed | Source::Directory(_))
            && !self.0.issuing.load(Ordering::Relaxed)
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
        let bound = self.0.policy.refresh_bound();
        match leads.map(|lead| (self.0.policy.allowed_bound(lead), lead)).min() {
            Some((allowed, lead)) if allowed < bound => Err(NotReady::SlowRefresh { bound, lead }),
            _ => Ok(()),
        }
    }

    /// Why no key signs, and until when, where keys rotate in a store; and where a ring of the
    /// application's keys or of a directory has lost the one that signed.
    fn pause(&self, keys: &KeySet, now: Timestamp) -> Option<IssuingPaused> {
        let issues = match self.0.source {
            Source::Rotated(_) => true,
            Source::Fixed | Source::Directory(_) => !self.only_validates(),
            Source::Derived(_) | Source::Followed(_) => false,
        };
        issues.then(|| self.0.policy.pause(&keys.schedule(), now)).flatten()
    }

    /// How long a client that could not be given a token should wait before it tries again; `None`
    /// if a key signs, or it is not known when one will.
    pub(crate) fn issues_again_in(&self) -> Option<std::time::Duration> {
        let now = self.now();
        Some(self.pause(&self.keys(now), now)?.until? - now)
    }

    /// Remembers how a refresh went, counts it, and tells what has changed, once for each change.
    pub(crate) fn note_refresh(&self, result: &Result<Report, RingError>) {
        let (ring, now) = (&*self.0.name, self.now());
        let before = self.0.refreshed.load_full();
        let moment = Moment::now(&*self.0.clock);
        let state = RefreshState::after(before.as_deref(), result, moment);
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
        self.log_pause(now);
        self.note_ready(self.check_ready(now).is_ok(), now);
    }

    /// Logs that issuing is paused, once for each reason and time, and that it is no longer.
    pub(crate) fn log_pause(&self, now: Timestamp) {
        let keys = self.keys(now);
        let pause = self.pause(&keys, now);
        let mut logged = self.0.logged_pause.lock().unwrap_or_else(PoisonError::into_inner);
        if *logged == pause {
            return;
        }
        *logged = pause;
        drop(logged);
        let ring = &*self.0.name;
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

    /// Logs what was done to keys here or at another replica.
    pub(crate) fn log_marks(&self, before: &KeySet, after: &KeySet) {
        let ring = &*self.0.name;
        for key in after.keys() {
            let (kid, scheduled) = (key.key.key_id(), &key.scheduled);
            let Some(before) = before.by_key_id(kid, key.key.algorithm()) else { continue };
            let before = &before.scheduled;
            let generation = scheduled.generation;
            if scheduled.revoked && !before.revoked {
                tracing::warn!(ring, generation, kid, "a key was revoked");
            }
            if let Some(at) = scheduled.retire_at.filter(|_| before.retire_at.is_none()) {
                tracing::info!(ring, generation, kid, %at, "a key stops signing ahead of its time");
            }
        }
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

    /// How writes fare, where the keys rotate in a store.
    fn writes(&self) -> Option<&Writes> {
        self.rotator().ok().map(|rotator| &rotator.writes)
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
            if let Some(refreshed) = state.refreshed {
                set(REFRESH_LAG, refreshed.age(&*self.0.clock).as_secs_f64());
            }
        }
        if let Some(writes) = self.writes() {
            writes.set_metrics();
        }
        if let Source::Rotated(_) | Source::Derived(_) = self.0.source {
            if let Some(offset) = self.clock_watch().and_then(ClockWatch::offset) {
                set(CLOCK_OFFSET, offset.millis as f64 / 1000.);
            }
            set(ROTATION_OVERDUE, flag(self.is_overdue(&keys, now)));
            if let Some(signer) = keys.signer(now) {
                set(SIGNING_GENERATION, signer.scheduled.generation as f64);
                set(KEY_AGE, (now - signer.scheduled.times.published).as_secs_f64());
            }
        }
    }

    /// Where the store has a clock, what it says of this replica's.
    fn clock_watch(&self) -> Option<&ClockWatch> {
        match &self.0.source {
            Source::Rotated(rotator) => Some(&rotator.clock_watch),
            _ => None,
        }
    }

    /// Warns that a token of this ring's own keys was issued in the future, once in a while. Its
    /// signature was good, so that no client can cause it. Some clock is wrong: this says not which,
    /// and so it never makes a replica unready.
    #[cold]
    pub(crate) fn note_future_token(&self, now: Timestamp) {
        if self.issues() && self.0.future_tokens.try_begin(now) {
            let (ring, clock_skew) = (&*self.0.name, self.0.policy.clock_skew);
            tracing::warn!(
                ring,
                ?clock_skew,
                "a token of this ring was issued in the future: a replica's clock is wrong"
            );
        }
    }
}
