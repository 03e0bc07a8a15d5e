//! Background refreshes: when the next one is due, what starts it sooner, how long it may take.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::crypto::backend;
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
    /// How far the reads of the store may be behind.
    pub(crate) staleness: Duration,
}

impl Polling {
    /// When the next read begins, after one that `began` then: after the interval and its jitter,
    /// however long the read took, or at `sooner`.
    pub(crate) fn due(&self, began: Instant, sooner: Option<Instant>, random: u16) -> Instant {
        let jitter = self.interval / JITTER_PART * u32::from(random) / 0x1_0000;
        let due = began + self.interval + jitter;
        sooner.map_or(due, |at| at.min(due))
    }

    /// The longest time until a replica sees a change in the store (R):
    /// max(interval + jitter, read timeout + write timeout) + read timeout + store staleness.
    pub(crate) fn bound(&self) -> Duration {
        let interval = self.interval.saturating_add(self.interval / JITTER_PART);
        let writing = self.timeout.saturating_add(self.insert_timeout);
        let waiting = interval.max(writing);
        waiting.saturating_add(self.timeout).saturating_add(self.staleness)
    }
}

/// Something in memory that a background task refreshes.
pub(crate) trait Followed: Sized + Send + Sync {
    /// Refreshes it. A failure is recorded and logged by the refresh itself.
    fn refresh_now(&self) -> impl Future<Output = ()> + Send;

    /// When the next refresh begins at the latest, after one that `began` then. `random` spreads the
    /// replicas.
    fn due(&self, began: Instant, random: u16) -> impl Future<Output = Instant> + Send;
}

/// Starts a refresh before it is due.
#[derive(Clone)]
pub(crate) struct Wakes {
    /// A place in a store that reports changes.
    pub(crate) store: Option<(Arc<dyn Store>, Arc<str>)>,
    /// Notified by requests, and when the last handle is dropped.
    pub(crate) wake: Arc<Notify>,
}

/// Refreshes what `upgrade` returns until it returns nothing: when a refresh is due, when the store
/// reports a change, and when it is woken. The last refresh `began` then.
pub(crate) async fn follow<F: Followed>(
    upgrade: impl Fn() -> Option<F>,
    wakes: Wakes,
    mut jitter: Jitter,
    mut began: Instant,
) {
    loop {
        let Some(followed) = upgrade() else { return };
        let due = followed.due(began, jitter.draw()).await;
        drop(followed);
        tokio::select! {
            // In this order, so that a simulation repeats exactly.
            biased;
            () = wakes.wake.notified() => {}
            () = tokio::time::sleep_until(due) => {}
            () = changed(wakes.store.as_ref()) => {}
        }
        let Some(followed) = upgrade() else { return };
        began = Instant::now();
        followed.refresh_now().await;
    }
}

/// Spreads the reads of replicas in time.
#[derive(Clone, Debug)]
pub(crate) enum Jitter {
    Random,
    /// A sequence that is always the same.
    #[cfg(feature = "test-util")]
    Seeded(u64),
}

impl Jitter {
    pub(crate) fn draw(&mut self) -> u16 {
        match self {
            Self::Random => {
                let mut random = [0; 2];
                // Without randomness replicas read at the same time, which only loads the store.
                let _ = backend::fill_random(&mut random);
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

/// Waits for a change that the store reports. A store that cannot report one now is only polled.
async fn changed(store: Option<&(Arc<dyn Store>, Arc<str>)>) {
    let Some((store, ring)) = store else { return std::future::pending().await };
    if let Err(error) = store.changed(ring).await {
        tracing::debug!(ring = &**ring, %error, "the store cannot report changes now");
        std::future::pending().await
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

/// Checks that durations are between a millisecond and ten years, or zero where allowed.
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
