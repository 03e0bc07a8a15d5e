//! The counters of one lane: since the last reset, and of the last two seconds.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::users::tally::{Tally, nearest_rank};

/// The time that rates and percentiles are about.
const WINDOW: Duration = Duration::from_secs(2);

/// What the answers to one lane's crowd add up to.
pub(crate) struct Counters {
    /// 401 for good sessions.
    pub(crate) lost: u64,
    /// 5xx, and connections that broke.
    pub(crate) refused: u64,
    /// Copies of sessions that were accepted after their logout.
    pub(crate) accepted: u64,
    since: Instant,
    recent: VecDeque<(Instant, Tally)>,
}

/// What the last two seconds show.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Recent {
    /// Requests per second.
    pub(crate) rate: f64,
    /// The median time of an answer.
    pub(crate) p50: Option<Duration>,
    /// The time that one answer in a hundred exceeds.
    pub(crate) p99: Option<Duration>,
}

impl Counters {
    /// Everything is zero.
    pub(crate) fn new(now: Instant) -> Self {
        Self { lost: 0, refused: 0, accepted: 0, since: now, recent: VecDeque::new() }
    }

    /// Adds what was counted since the last call.
    pub(crate) fn add(&mut self, tally: Tally, now: Instant) {
        self.lost += tally.unexpected_401;
        self.refused += tally.failed;
        self.accepted += tally.accepted_after_logout;
        self.recent.push_back((now, tally));
        while self.recent.front().is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.recent.pop_front();
        }
    }

    /// The last two seconds, or the time since the start if that is shorter.
    pub(crate) fn recent(&self, now: Instant) -> Recent {
        let time = WINDOW.min(now - self.since).as_secs_f64();
        let requests: u64 = self.recent.iter().map(|(_, tally)| tally.requests).sum();
        let mut micros: Vec<u64> =
            self.recent.iter().flat_map(|(_, tally)| tally.micros.iter().copied()).collect();
        micros.sort_unstable();
        let within = |percent| nearest_rank(&micros, percent).map(Duration::from_micros);
        Recent {
            rate: if time > 0.0 { requests as f64 / time } else { 0.0 },
            p50: within(50),
            p99: within(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_stay_and_rates_are_of_the_window() {
        let start = Instant::now();
        let mut counters = Counters::new(start);
        assert_eq!(counters.recent(start), Recent::default());
        let tally = |micros: &[u64]| Tally {
            requests: micros.len() as u64,
            unexpected_401: 1,
            failed: 2,
            micros: micros.to_vec(),
            ..Tally::default()
        };
        let later = |seconds| start + Duration::from_secs(seconds);
        counters.add(tally(&[5, 1, 9]), later(1));
        let recent = counters.recent(later(1));
        assert_eq!((recent.rate, recent.p50), (3.0, Some(Duration::from_micros(5))));
        counters.add(tally(&[7]), later(3));
        let recent = counters.recent(later(3));
        assert_eq!((recent.rate, recent.p99), (0.5, Some(Duration::from_micros(7))));
        assert_eq!((counters.lost, counters.refused), (2, 4));
    }
}
