//! What the replicas of one lane say of themselves, as rates: they count from their start on.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::arms::figures::Figures;

/// The last figures of each replica, and what they say together.
#[derive(Default)]
pub(crate) struct Rates {
    last: BTreeMap<String, Figures>,
    at: Option<Instant>,
    /// Bytes per second from replica to replica.
    pub(crate) copied: Option<f64>,
    /// Round trips to a store per second; none if they are not counted.
    pub(crate) trips: Option<f64>,
    /// Bytes of physical memory of one replica, on average.
    pub(crate) memory: Option<f64>,
}

impl Rates {
    /// Takes over the figures of the replicas that answered, by their names.
    pub(crate) fn see(&mut self, figures: BTreeMap<String, Figures>, now: Instant) {
        let time = self.at.map_or(Duration::ZERO, |at| now - at).as_secs_f64();
        if time > 0.0 {
            let more = |read: fn(&Figures) -> u64| -> f64 {
                let each = figures.iter().map(|(name, it)| {
                    let before = self.last.get(name).map_or(0, read);
                    // A process that was replaced has begun anew.
                    let now = read(it);
                    now.checked_sub(before).unwrap_or(now)
                });
                each.sum::<u64>() as f64 / time
            };
            let is_counted = figures.values().any(|it| it.store_round_trips.is_some());
            self.copied = Some(more(|it| it.bytes_sent));
            self.trips = is_counted.then(|| more(|it| it.store_round_trips.unwrap_or_default()));
        }
        let memory: Vec<u64> = figures.values().filter_map(|it| it.memory_bytes).collect();
        let total = memory.iter().sum::<u64>() as f64;
        self.memory = (!memory.is_empty()).then(|| total / memory.len() as f64);
        self.last = figures;
        self.at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(bytes_sent: u64, trips: Option<u64>, memory: u64) -> Figures {
        let (store_round_trips, memory_bytes) = (trips, Some(memory));
        Figures { bytes_sent, store_round_trips, memory_bytes, ..Figures::default() }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let mut rates = Rates::default();
        let start = Instant::now();
        let see = |rates: &mut Rates, one: Figures, two: Figures, seconds| {
            let both = BTreeMap::from([("replica-1".into(), one), ("replica-2".into(), two)]);
            rates.see(both, start + Duration::from_secs(seconds));
        };
        see(&mut rates, figures(100, Some(7), 10), figures(50, Some(1), 30), 0);
        assert_eq!((rates.copied, rates.trips, rates.memory), (None, None, Some(20.0)));
        see(&mut rates, figures(300, Some(9), 10), figures(50, Some(2), 10), 2);
        assert_eq!((rates.copied, rates.trips, rates.memory), (Some(100.0), Some(1.5), Some(10.0)));
        // The second one was started again.
        see(&mut rates, figures(300, None, 10), figures(10, None, 10), 3);
        assert_eq!((rates.copied, rates.trips), (Some(10.0), None));
    }
}
