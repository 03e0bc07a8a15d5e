//! [`ManualClock`]: a clock that a test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// A clock that shows the same time until it is moved. Clones share it.
#[derive(Clone, Debug)]
pub struct ManualClock {
    /// In milliseconds, like the other.
    time: Arc<AtomicI64>,
    monotonic: Arc<AtomicU64>,
}

impl ManualClock {
    /// Makes a clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { time: Arc::new(now.as_unix_millis().into()), monotonic: Arc::default() }
    }

    /// Advances the time, and [`monotonic`](Clock::monotonic) too.
    pub fn advance(&self, duration: Duration) {
        self.set(self.now() + duration);
        let millis = duration.as_millis().try_into().unwrap_or(u64::MAX);
        self.monotonic.fetch_add(millis, Ordering::Relaxed);
    }

    /// Sets the clock to `now`, forward or back, as an administrator does:
    /// [`monotonic`](Clock::monotonic) does not move.
    pub fn set(&self, now: Timestamp) {
        self.time.store(now.as_unix_millis(), Ordering::Relaxed);
    }
}

/// A clock at 2027-01-15T08:00:00Z.
impl Default for ManualClock {
    fn default() -> Self {
        Self::new(Timestamp::from_unix_seconds(1_800_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.time.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic.load(Ordering::Relaxed))
    }
}
