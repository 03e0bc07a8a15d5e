//! Following something in the background: when it is read again, what wakes the reader before, and
//! how long it may take.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::crypto::algorithm;
use crate::error::build::BuildError;
use crate::store::contract::{Store, StoreError};

/// How a store is polled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Polling {
    /// From one read to the next; up to a tenth is added at random.
    pub(crate) interval: Duration,
    /// How long one read may take.
    pub(crate) timeout: Duration,
    /// How long one write may take.
    pub(crate) insert_timeout: Duration,
    /// What the store may be behind.
    pub(crate) staleness: Duration,
}

impl Polling {
    /// The longest time until a replica sees a change in the store (R): from one read to the next,
    /// which is the interval with its jitter, or one that writes with all its might; then the read
    /// itself, and what the store may be behind.
    pub(crate) fn bound(&self) -> Duration {
        let interval = self.interval.saturating_add(self.interval / JITTER_PART);
        let writing = self.timeout.saturating_add(self.insert_timeout);
        let waiting = interval.max(writing);
        waiting.saturating_add(self.timeout).saturating_add(self.staleness)
    }
}

/// When a store is read again.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    pub(crate) polling: Polling,
    pub(crate) jitter: Jitter,
    /// When the last read began.
    pub(crate) began: Instant,
    /// When the next one begins at the latest, if that is sooner than it is due.
    pub(crate) look_again: Option<Instant>,
}

impl Pace {
    /// From a read that begins now.
    pub(crate) fn new(polling: Polling, jitter: Jitter) -> Self {
        Self { polling, jitter, began: Instant::now(), look_again: None }
    }

    /// Waits for the next read: for the interval and its jitter, or until the store reports a change
    /// in `ring`.
    pub(crate) async fn wait(&mut self, store: Option<(&dyn Store, &str)>) {
        let interval = self.polling.interval;
        let jitter = interval / JITTER_PART * u32::from(self.jitter.draw()) / 0x1_0000;
        // From read to read, however long one takes.
        let due = self.began + interval + jitter;
        tokio::select! {
            // In this order, so that a simulation repeats exactly.
            biased;
            () = tokio::time::sleep_until(self.look_again.map_or(due, |at| at.min(due))) => {}
            () = pushed(store) => {}
        }
    }
}

/// What keeps replicas from reading in step.
#[derive(Clone, Debug)]
pub(crate) enum Jitter {
    Random,
    /// A sequence that is always the same.
    #[cfg(feature = "test-util")]
    Seeded(u64),
}

impl Jitter {
    fn draw(&mut self) -> u16 {
        match self {
            Self::Random => {
                let mut random = [0; 2];
                // Without randomness replicas read in step, which costs the store and nothing else.
                let _ = algorithm::fill_random(&mut random);
                u16::from_ne_bytes(random)
            }
            #[cfg(feature = "test-util")]
            Self::Seeded(state) => {
                // Knuth's linear congruential generator: its high bits are good enough.
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (*state >> 48) as u16
            }
        }
    }
}

/// Waits for a change that the store tells of; one that can't at present leaves it to polling.
async fn pushed(store: Option<(&dyn Store, &str)>) {
    let Some((store, ring)) = store else { return std::future::pending().await };
    if let Err(error) = store.changed(ring).await {
        tracing::debug!(ring, %error, "the store can't tell of changes at present");
        std::future::pending().await
    }
}

/// Lets through one of all who ask within a time, so that what requests ask for is done once.
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

/// Gives up a store's work when it takes longer than `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    attempt: &str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(StoreError::new(format!("{attempt} took longer than {limit:?}"))))
}

/// Checks that settings are between a millisecond and ten years, or zero where that has a meaning.
pub(crate) fn check_durations<const N: usize>(
    settings: [(&'static str, Duration, bool); N],
) -> Result<(), BuildError> {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    let fits = |value: Duration, may_be_zero: bool| {
        (SHORTEST..=LONGEST).contains(&value) || (may_be_zero && value.is_zero())
    };
    match settings.into_iter().find(|(_, value, may_be_zero)| !fits(*value, *may_be_zero)) {
        None => Ok(()),
        Some((field, value, _)) => Err(BuildError::invalid(
            field,
            format_args!("{value:?}"),
            format_args!("set it to at least 1 ms and at most {LONGEST:?}"),
        )),
    }
}

/// Up to which part of the interval is added to it at random.
const JITTER_PART: u32 = 10;
