//! A cooldown: lets one caller through per period, so that many requests cause one action.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Timestamp;

/// Lets one caller through per period.
#[derive(Debug)]
pub(crate) struct Cooldown {
    length: Duration,
    /// When it last began, in milliseconds. All that a request touches.
    began: AtomicI64,
}

impl Cooldown {
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, began: AtomicI64::new(i64::MIN) }
    }

    /// Begins one, whether or not another is over.
    pub(crate) fn begin(&self, now: Timestamp) {
        self.began.store(now.as_unix_millis(), Ordering::Relaxed);
    }

    /// Begins one unless another is not over; says so to one of all that ask at once. Never waits.
    ///
    /// A clock that was set back by more than its length is no reason to wait for it.
    pub(crate) fn try_begin(&self, now: Timestamp) -> bool {
        let now = now.as_unix_millis();
        let last = self.began.load(Ordering::Relaxed);
        u128::from(now.abs_diff(last)) >= self.length.as_millis()
            && self.began.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
