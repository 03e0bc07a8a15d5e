//! The offset between this replica's clock and the store's, measured by one read.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::clock::Timestamp;

/// A read of the store, as clocks saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrip {
    /// By this replica's clock.
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
    /// By a clock that nobody sets.
    pub(crate) began_at: Instant,
    pub(crate) took: Duration,
}

/// The offset of a replica's clock from that of its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClockOffset {
    /// The replica's time less the store's, in milliseconds: positive where the replica is ahead.
    pub offset_ms: i64,
    /// The uncertainty of `offset_ms`, in milliseconds: half of the round trip to the store.
    pub uncertainty_ms: u64,
}

impl ClockOffset {
    /// The store looked at its clock at some time of the round trip.
    pub(crate) fn of(trip: &RoundTrip, store_time: Timestamp) -> Self {
        let [began, ended, store] =
            [trip.began, trip.ended, store_time].map(|time| i128::from(time.as_unix_millis()));
        let offset = (began + ended).div_euclid(2) - store;
        // The longer of both, lest a clock that was set meanwhile, or a machine that was suspended,
        // is taken for a wrong clock.
        let took = trip.took.as_micros().div_ceil(1000).max((ended - began).unsigned_abs());
        Self {
            offset_ms: offset.clamp(i64::MIN.into(), i64::MAX.into()) as i64,
            uncertainty_ms: took.div_ceil(2).try_into().unwrap_or(u64::MAX),
        }
    }

    /// Whether the clocks are sure to differ by more than `limit`.
    pub(crate) fn is_beyond(&self, limit: Duration) -> bool {
        let least = self.offset_ms.unsigned_abs().saturating_sub(self.uncertainty_ms);
        u128::from(least) > limit.as_millis()
    }

    /// Whether the clocks are sure to differ by no more than `limit`.
    pub(crate) fn is_within(&self, limit: Duration) -> bool {
        let most = self.offset_ms.unsigned_abs().saturating_add(self.uncertainty_ms);
        u128::from(most) <= limit.as_millis()
    }

    /// Whether both readings can be of clocks that stayed as they were, but for `slack`.
    pub(crate) fn agrees(&self, other: &Self, slack: Duration) -> bool {
        let uncertainty = u128::from(self.uncertainty_ms) + u128::from(other.uncertainty_ms);
        u128::from(self.offset_ms.abs_diff(other.offset_ms)) <= uncertainty + slack.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(began: i64, ended: i64, took_micros: u64, store: i64) -> (i64, u64) {
        let [began, ended, store] = [began, ended, store].map(Timestamp::from_unix_millis);
        let took = Duration::from_micros(took_micros);
        let trip = RoundTrip { began, ended, began_at: Instant::now(), took };
        let ClockOffset { offset_ms, uncertainty_ms } = ClockOffset::of(&trip, store);
        (offset_ms, uncertainty_ms)
    }

    #[test]
    fn the_offset_is_that_of_the_middle_give_or_take_half_of_the_round_trip() {
        assert_eq!(reading(1000, 1000, 0, 1000), (0, 0));
        assert_eq!(reading(1000, 1010, 10_000, 905), (100, 5));
        assert_eq!(reading(1000, 1010, 10_000, 1105), (-100, 5));
        // A stopped clock, and one of fine steps.
        assert_eq!(reading(1000, 1000, 10_000, 1000), (0, 5));
        assert_eq!(reading(1000, 1000, 1, 1000), (0, 1));
        // A clock that was set meanwhile, and a machine that was suspended.
        assert_eq!(reading(91_000, 1000, 10, 1000), (45_000, 45_000));
        assert_eq!(reading(1000, 91_000, 10, 1000), (45_000, 45_000));
    }

    #[test]
    fn no_time_of_a_store_is_too_odd() {
        assert_eq!(reading(i64::MAX, i64::MAX, 0, i64::MIN), (i64::MAX, 0));
        assert_eq!(reading(i64::MIN, i64::MIN, 0, i64::MAX), (i64::MIN, 0));
        assert_eq!(reading(i64::MIN, i64::MAX, 0, 0), (-1, u64::MAX / 2 + 1));
        let odd = ClockOffset { offset_ms: i64::MIN, uncertainty_ms: u64::MAX };
        let other = ClockOffset { offset_ms: i64::MAX, uncertainty_ms: u64::MAX };
        assert!(!odd.is_beyond(Duration::ZERO) && !odd.is_within(Duration::from_secs(1)));
        assert!(odd.agrees(&other, Duration::ZERO));
    }

    #[test]
    fn a_limit_is_passed_only_when_that_is_sure() {
        let limit = Duration::from_millis(100);
        for sign in [1, -1] {
            let reading = |offset: i64, uncertainty_ms| ClockOffset {
                offset_ms: sign * offset,
                uncertainty_ms,
            };
            assert!(!reading(100, 0).is_beyond(limit) && reading(100, 0).is_within(limit));
            assert!(reading(101, 0).is_beyond(limit) && !reading(101, 0).is_within(limit));
            assert!(!reading(101, 1).is_beyond(limit) && !reading(100, 1).is_within(limit));
            assert!(!reading(90_000, 90_000).is_beyond(limit));
        }
    }
}
