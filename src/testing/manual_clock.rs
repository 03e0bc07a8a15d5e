//! [`ManualClock`]: a clock that a test moves, and [`refresh`], for what the background does meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::sessions::handle::Sessions;

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

/// Refreshes the keys and the revocations of these sessions, and of the
/// [sessions that they accept](crate::SessionsBuilder::also_accept_sessions): what the background tasks do
/// by themselves where time passes.
///
/// A test calls it after moving the clock, and on one replica after a logout on another. With several
/// replicas, call it for each.
///
/// Where keys rotate, let time [pass]: after one step of more than a day, the next key has to reach all replicas
/// first, and logins are answered 503 for 12.5 minutes. A [fixed ring](crate::testing::fixed_ring) needs no steps.
///
/// ```
/// # use std::time::Duration;
/// # use tower_jwt_session::store::MemoryStore;
/// # use tower_jwt_session::testing::{self, ManualClock};
/// # use tower_jwt_session::{Login, Revocations, Sessions};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::default();
/// let keys = testing::fixed_ring(clock.clone());
/// let revocations = Revocations::builder("app").store(MemoryStore::new()).clock(clock.clone());
/// let sessions = Sessions::<()>::builder(keys, "https://app.example", "app")
///     .revocations(revocations.open().await?)
///     .build()?;
///
/// clock.advance(Duration::from_secs(3 * 24 * 3600));
/// testing::refresh(&sessions).await;
/// let token = sessions.issue(&Login::new("alice", ()))?;
/// assert!(sessions.validate(token.as_str()).is_ok());
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// Panics if a store or an issuer cannot be read. Use [`KeyRing::refresh`](crate::KeyRing::refresh) and
/// [`Revocations::refresh`](crate::Revocations::refresh) in a test of that.
pub async fn refresh<C>(sessions: &Sessions<C>) {
    for sessions in sessions.each() {
        let refreshed = sessions.keys().refresh().await;
        refreshed.unwrap_or_else(|error| panic!("cannot refresh the keys: {error}"));
        if let Some(revocations) = sessions.revocations() {
            let refreshed = revocations.refresh().await;
            refreshed.unwrap_or_else(|error| panic!("cannot refresh the revocations: {error}"));
        }
    }
}

/// Lets time pass for replicas that share a clock: moves it by 6 hours at a time, each with a [`refresh`] of
/// every replica.
///
/// ```
/// # use std::time::Duration;
/// # use tower_jwt_session::store::MemoryStore;
/// # use tower_jwt_session::testing::{self, ManualClock};
/// # use tower_jwt_session::{KeyRing, Login, Sessions};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::default();
/// let keys = KeyRing::builder("app").store(MemoryStore::new()).clock(clock.clone()).open().await?;
/// let sessions = Sessions::<()>::builder(keys, "https://app.example", "app").build()?;
///
/// testing::pass(&clock, Duration::from_secs(30 * 24 * 3600), &[&sessions]).await;
/// assert!(sessions.issue(&Login::new("alice", ())).is_ok());
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// Panics if a store or an issuer cannot be read.
pub async fn pass<C>(clock: &ManualClock, time: Duration, replicas: &[&Sessions<C>]) {
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(Duration::from_secs(6 * 3600));
        clock.advance(step);
        left -= step;
        for sessions in replicas {
            refresh(sessions).await;
        }
    }
}
