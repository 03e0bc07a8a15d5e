//! How far this replica's clock is from the store's: a warning, and for one replica at a time a
//! reason not to be ready.
//!
//! 1. Each read of a store that has a clock gives an offset: this replica's time at the middle of the
//!    round trip less the store's, give or take half of the round trip.
//! 2. Beyond half of the limit it is warned of, once for each change.
//! 3. Beyond the limit in two reads running that agree, the replica takes the store's one clock
//!    [lease](super::lease), and is not ready as long as it holds it. So where the store's own clock is
//!    wrong, and every replica's differs, all but one stay.
//!
//! A slow read proves nothing, and a store's clock that jumps gives readings that do not agree:
//! neither makes a replica unready.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::error::not_ready::{NotReady, NotReadyKind};
use crate::keyring::skew::lease::{self, LeaseDue, Leases};
use crate::keyring::skew::reading::{ClockOffset, RoundTrip};
use crate::keys::rotation_policy::RotationPolicy;

/// The comparison of this replica's clock with the store's, over the last reads.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    limit: Duration,
    /// For how long a lease is taken.
    term: Duration,
    /// The ID of this replica in a lease. Without randomness no lease is taken, and the replica stays.
    holder: Option<String>,
    /// No request looks at it, and nothing waits while it is locked.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<ClockOffset>,
    /// How many of the last readings were beyond the limit, and agreed.
    beyond: u32,
    held: Option<Held>,
    has_warned: bool,
    has_left: bool,
}

/// A lease of this replica's, and how long it is sure to hold: also while the store is down, when
/// another takes the next.
#[derive(Clone, Copy, Debug)]
struct Held {
    from_at: Instant,
    from: Timestamp,
    term: Duration,
}

impl Held {
    /// The earlier end by the two clocks: one stops in a machine that is suspended, the other may be
    /// set.
    fn holds(&self, now: Timestamp) -> bool {
        let set = now.as_unix_millis().abs_diff(self.from.as_unix_millis());
        self.from_at.elapsed() < self.term && Duration::from_millis(set) < self.term
    }
}

impl ClockWatch {
    pub(crate) fn new(policy: &RotationPolicy) -> Self {
        Self {
            // A token's times are whole seconds.
            limit: policy.clock_skew.max(Duration::from_secs(1)),
            term: policy.refresh_bound().saturating_mul(2).min(lease::LONGEST),
            holder: lease::random_holder(),
            state: Mutex::default(),
        }
    }

    /// Observes a read: the store's time, if it has a clock, and its leases. Returns the lease to
    /// write.
    pub(crate) fn observe(
        &self,
        ring: &str,
        trip: RoundTrip,
        store_time: Option<Timestamp>,
        leases: Leases,
    ) -> Option<LeaseDue> {
        let mut state = self.state();
        let reading = store_time.map(|store_time| ClockOffset::of(&trip, store_time));
        state.beyond = match reading.filter(|reading| reading.is_beyond(self.limit)) {
            None => 0,
            Some(reading) => {
                let before = state.last.filter(|last| last.agrees(&reading, self.limit / 2));
                1 + before.map_or(0, |_| state.beyond)
            }
        };
        state.last = reading;
        let due = self.observe_leases(&mut state, trip, store_time, leases);
        self.warn(ring, &mut state, trip.ended);
        due
    }

    fn observe_leases(
        &self,
        state: &mut State,
        trip: RoundTrip,
        store_time: Option<Timestamp>,
        leases: Leases,
    ) -> Option<LeaseDue> {
        state.held = None;
        let (store_time, reading) = (store_time?, state.last?);
        let leaves = state.beyond >= READS_RUNNING;
        let latest = leases.latest.as_ref();
        let left = latest.map_or(Duration::ZERO, |latest| latest.left(store_time));
        let term = if left.is_zero() {
            leaves.then_some(self.term)
        } else if latest.map(|latest| &latest.holder) == self.holder.as_ref() {
            // From before the read: the store may have looked at its clock as early as that.
            state.held = Some(Held { from_at: trip.began_at, from: trip.began, term: left });
            if reading.is_within(self.limit) {
                // The clock is right again: the next replica need not wait for the lease to end.
                Some(Duration::ZERO)
            } else {
                // In time for the next read, and not so soon that a store that pushes wakes all for
                // nothing.
                (leaves && left <= self.term / 4 * 3).then_some(self.term)
            }
        } else {
            None
        };
        leases.next(self.holder.as_deref()?, store_time + term?)
    }

    fn warn(&self, ring: &str, state: &mut State, now: Timestamp) {
        let Some(reading) = state.last else { return };
        let (offset_ms, uncertainty_ms) = (reading.offset_ms, reading.uncertainty_ms);
        let clock_skew = tracing::field::debug(self.limit);
        if !state.has_warned && reading.is_beyond(self.limit / 2) {
            state.has_warned = true;
            tracing::warn!(
                ring,
                offset_ms,
                uncertainty_ms,
                clock_skew,
                "this replica's clock differs from the store's"
            );
        } else if state.has_warned && reading.is_within(self.limit / 2) {
            state.has_warned = false;
            tracing::info!(ring, offset_ms, "this replica's clock agrees with the store's again");
        }
        let leaves = state.leaves(now);
        if std::mem::replace(&mut state.has_left, leaves) == leaves {
            return;
        }
        if leaves {
            tracing::warn!(
                ring,
                offset_ms,
                uncertainty_ms,
                clock_skew,
                "this replica is not ready because of its clock"
            );
        } else {
            tracing::info!(
                ring,
                offset_ms,
                "this replica is no longer unready because of its clock"
            );
        }
    }

    /// Whether this replica is to be left out because of its clock.
    pub(crate) fn ready(&self, now: Timestamp) -> Result<(), NotReady> {
        let state = self.state();
        match state.last {
            Some(ClockOffset { offset_ms: offset, .. }) if state.leaves(now) => {
                let direction = if offset < 0 { "behind" } else { "ahead of" };
                let text = format!(
                    "this replica's clock is {} ms {direction} the store's clock, more than \
                     clock_skew ({:?}): synchronize the clocks, for example by NTP",
                    offset.unsigned_abs(),
                    self.limit,
                );
                Err(NotReady::new(NotReadyKind::Clock, text))
            }
            _ => Ok(()),
        }
    }

    /// The offset that the last read gave.
    pub(crate) fn offset(&self) -> Option<ClockOffset> {
        self.state().last
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn leaves(&self, now: Timestamp) -> bool {
        self.beyond >= READS_RUNNING && self.held.is_some_and(|held| held.holds(now))
    }
}

/// How many reads in a row have to be beyond the limit.
const READS_RUNNING: u32 = 2;
