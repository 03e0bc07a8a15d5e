//! [`Revocations`]: the live handle to the revocations. A table that requests look into, and the tasks that
//! follow and write a feed in a store.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::counter;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::audit::handle::Draft;
use crate::clock::{Moment, Timestamp};
use crate::cooldown::Cooldown;
use crate::error::operation::OperationError;
use crate::keyring::refreshes::{Refreshes, Report};
use crate::replica::founding::Wait;
use crate::revocation::claims::Claims;
use crate::revocation::digest::Digests;
use crate::revocation::known::Known;
use crate::revocation::place::Place;
use crate::revocation::reader::Reader;
use crate::revocation::rules::Durations;
use crate::revocation::waiting::Waiter;
use crate::revocation::writer::{Recorder, Recording, Revocation};
use crate::store::contract::StoreError;
use crate::store::polling::Followed;
use crate::tasks::Tasks;
use crate::telemetry::RECORDED;

/// The sessions that were revoked before they expired, in memory and refreshed in the background.
/// Clones share them.
///
/// Give them to the builder of the sessions. [`Sessions::logout`](crate::Sessions::logout) and its
/// siblings then record revocations, and no replica accepts the session any more: this one at once,
/// the others when the store reports the change, usually in milliseconds, and at the latest within
/// [`refresh_bound`](Self::refresh_bound).
///
/// 1. Requests never wait: each looks its session up in memory after verifying the signature.
/// 2. Revocations are kept until every token they cover has expired, on every ring and replica that
///    shares them: at least 48 hours, or [`max_staleness`](crate::RevocationsBuilder::max_staleness) + the
///    rings' longest token lifetime + 4 clock skews if that is longer on any of them. Nothing recorded
///    is lost while a replica lives: live replicas restore what a store has lost.
/// 3. While the store is down, replicas use the last known revocations for
///    [`max_staleness`](crate::RevocationsBuilder::max_staleness); routes can
///    [require fresher ones](crate::layer::ValidateLayer::require_fresh_revocations). A logout fails, and says
///    so.
/// 4. A subject's cutoff has a version, and so has the one of everyone. Tokens carry those under which
///    their login was made (the claims `rv` and `rg`; absent is 0): a cutoff ends the logins of lower
///    versions, whatever the clocks, and no login after it.
/// 5. Replicas hold digests, about 30 bytes for each revoked session, and follow what is new: nobody
///    reads all of it again, unless the store has lost some.
///
/// ```
/// use tower_jwt_session::store::MemoryStore;
/// use tower_jwt_session::{Login, KeyRing, Revocations, Sessions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let keys = KeyRing::builder("app").store(store.clone()).open().await?;
/// let revocations = Revocations::builder("app").store(store).open().await?;
/// let sessions = Sessions::<()>::builder(keys, "https://app.example", "app")
///     .revocations(revocations)
///     .build()?;
///
/// let token = sessions.issue(&Login::new("alice", ()))?;
/// let session = sessions.validate(token.as_str())?;
/// sessions.revoke_subject("alice").await?;
/// assert!(sessions.validate(token.as_str()).is_err());
///
/// // A later login is not affected.
/// let token = sessions.issue(&Login::new("alice", ()))?;
/// assert!(sessions.validate(token.as_str()).is_ok());
/// # let _ = session;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[doc(alias = "blacklist")]
#[doc(alias = "denylist")]
#[doc(alias = "logout")]
pub struct Revocations(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) name: Arc<str>,
    pub(crate) place: Place,
    /// What requests look into.
    pub(crate) known: Known,
    /// Held for a whole refresh; requests never meet it.
    pub(crate) reader: Mutex<Reader>,
    /// What the last refresh found, for readiness and status.
    pub(crate) found: ArcSwap<Found>,
    /// When the last read began that did not fail.
    pub(crate) read: ArcSwap<Moment>,
    /// As old as what is held may be, in milliseconds: that time less what the store may be behind, or
    /// [`i64::MIN`] once it is found stale by the clock that nobody can set. All that a request looks
    /// at, unless it is older than `usual_age`.
    pub(crate) known_at: AtomicI64,
    /// In milliseconds: what is held gets no older while the store answers and this process runs.
    pub(crate) usual_age: u64,
    /// The registers that the store has lost.
    pub(crate) claims: Claims,
    /// The largest clock skew of the rings, and their longest token lifetime, in milliseconds.
    skew: AtomicU64,
    token_lifetime: AtomicU64,
    /// How the refreshes went.
    pub(crate) refreshes: Refreshes,
    pub(crate) max_staleness: Duration,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) cooldown: Cooldown,
    /// The task that hears of changes.
    pub(crate) hearing: OnceLock<JoinHandle<()>>,
    /// Wakes the task that follows the feed.
    pub(crate) wake: Arc<Notify>,
    /// To the task that writes.
    pub(crate) recording: mpsc::Sender<Recording>,
}

/// What a refresh found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Why what is held may not be all.
    pub(crate) wait: Option<Wait>,
    /// The highest format that only a newer version of this crate understands.
    pub(crate) newer_format: Option<u64>,
}

impl Inner {
    pub(crate) fn new(
        name: Arc<str>,
        place: Place,
        reader: Reader,
        max_staleness: Duration,
        recording: mpsc::Sender<Recording>,
    ) -> Self {
        Self {
            name,
            known: Known::new(),
            reader: Mutex::new(reader),
            found: ArcSwap::default(),
            read: ArcSwap::from_pointee(Moment::now(&*place.clock)),
            known_at: AtomicI64::new(i64::MIN),
            usual_age: millis(place.polling.bound().min(max_staleness)),
            claims: Claims::default(),
            skew: AtomicU64::new(0),
            token_lifetime: AtomicU64::new(0),
            refreshes: Refreshes::new(place.name.clone(), place.clock.clone()),
            max_staleness,
            tasks: Arc::default(),
            cooldown: Cooldown::new(COOLDOWN),
            hearing: OnceLock::new(),
            wake: Arc::default(),
            recording,
            place,
        }
    }
}

impl Revocations {
    /// Reads the store now, and writes what is due. The background task does so by itself; a test with a
    /// manual clock calls it after moving the clock.
    ///
    /// # Errors
    ///
    /// Fails if the store fails. The last known revocations stay.
    pub async fn refresh(&self) -> Result<(), OperationError> {
        self.0.cooldown.begin(self.0.place.clock.now());
        let report = self.read_and_write().await.map_err(store_failed)?;
        report.failure.map_or(Ok(()), Err)
    }

    /// Reads the store, and writes what is due if that succeeds.
    pub(crate) async fn read_and_write(&self) -> Result<Report, StoreError> {
        let inner = &*self.0;
        let Inner { place, known, .. } = inner;
        let mut reader = inner.reader.lock().await;
        let (began, mut failure) = (Moment::now(&*place.clock), None);
        let read = reader.read(place, known).await;
        known.sweep(began.time).await;
        known.grow_filters().await;
        inner.publish(&reader);
        match &read {
            Ok(()) => {
                inner.note_read(&reader, began);
                let mut claims = inner.claims.take();
                failure = reader.write(place, known, &mut claims).await.err().map(store_failed);
                inner.claims.extend(claims);
                inner.publish(&reader);
            }
            Err(_) if self.is_stale() => inner.known_at.store(i64::MIN, Ordering::Relaxed),
            Err(_) => {}
        }
        let report = Report { skipped: reader.skipped(), failure, ..Report::default() };
        let report = read.map(|()| report);
        inner.refreshes.record(&report);
        // It sets the gauges.
        let _ = self.ready();
        report
    }

    /// Returns the longest time until this replica sees a revocation that another recorded, while the
    /// store is up.
    pub fn refresh_bound(&self) -> Duration {
        self.0.place.polling.bound()
    }

    /// Records a revocation; then it holds on this replica.
    ///
    /// Returns the version that a register has risen to; 0 for a session. It is written even if the caller
    /// stops waiting, and so is the event of it.
    pub(crate) async fn record(
        &self,
        revocation: Revocation,
        event: Option<Draft>,
    ) -> Result<u64, Arc<StoreError>> {
        let (done, recorded) = oneshot::channel();
        // One that is written just now goes before it.
        let limit = self.0.place.polling.insert_timeout.saturating_mul(2);
        let limit = limit.saturating_add(event.as_ref().map_or(Duration::ZERO, Draft::takes));
        let recording = async {
            let gone = |context: &str| Arc::new(StoreError::new(context));
            let stopped = |_| gone("the task that writes revocations has stopped");
            self.0.recording.send(Recording { revocation, event, done }).await.map_err(stopped)?;
            // Nobody answers any more.
            let panicked =
                |_| gone("the task that writes revocations panicked while it wrote this");
            recorded.await.map_err(panicked)?
        };
        let recorded = tokio::time::timeout(limit, recording).await.unwrap_or_else(|_| {
            let slow = || format!("recording a revocation took longer than {limit:?}");
            Err(Arc::new(StoreError::new(self.0.tasks.failure().map_or_else(slow, str::to_owned))))
        });
        let outcome = if recorded.is_ok() { "recorded" } else { "failed" };
        counter!(RECORDED, "ring" => self.0.place.name.clone(), "outcome" => outcome).increment(1);
        recorded
    }

    /// Keeps revocations for as long as tokens can be accepted that live for `token_lifetime`, by
    /// clocks that differ by `clock_skew`. A replica that hears of nothing may renew a session until
    /// its own limit; the token that it issues then lives for the ring's longest lifetime; and four
    /// clocks count: of the one who revokes, who renews and who validates, and the leeway.
    pub(crate) fn keep_for(&self, token_lifetime: Duration, clock_skew: Duration) {
        self.0.skew.fetch_max(millis(clock_skew), Ordering::Relaxed);
        self.0.token_lifetime.fetch_max(millis(token_lifetime), Ordering::Relaxed);
        self.0.place.keep_for(self.0.durations().keeping());
    }

    /// How much later than a cutoff a login may be that it ends, of tokens that carry versions.
    pub(crate) fn slack(&self) -> Duration {
        self.0.durations().slack()
    }

    /// Waits for revocations that concern a session.
    pub(crate) fn wait_for(&self, digests: Digests) -> Waiter {
        self.0.known.waiting.wait_for(digests)
    }

    /// How old what is held may be: since the last good read began, and a store that is behind counts.
    pub(crate) fn age(&self) -> Duration {
        let Place { clock, polling, .. } = &self.0.place;
        self.0.read.load().age(&**clock).saturating_add(polling.staleness)
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.age() > self.0.max_staleness
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.place.clock.now()
    }

    pub(crate) fn read_at(&self) -> Timestamp {
        self.0.read.load().time
    }
}

impl Inner {
    fn publish(&self, reader: &Reader) {
        let found = Found { wait: reader.wait, newer_format: reader.newer_format() };
        self.found.store(Arc::new(found));
    }

    /// A read that began then did not fail.
    fn note_read(&self, reader: &Reader, began: Moment) {
        let mut known_at = began.time - self.place.polling.staleness;
        if reader.wait.is_some() {
            // What it knows may not be all: no session is accepted on it.
            known_at = Timestamp::from_unix_millis(i64::MIN);
        } else {
            self.read.store(Arc::new(began));
        }
        self.known_at.store(known_at.as_unix_millis(), Ordering::Release);
    }

    pub(crate) fn durations(&self) -> Durations {
        let polling = &self.place.polling;
        Durations {
            clock_skew: Duration::from_millis(self.skew.load(Ordering::Relaxed)),
            refresh_bound: polling.bound(),
            insert_timeout: polling.insert_timeout,
            stale_limit: self.max_staleness,
            max_token_lifetime: Duration::from_millis(self.token_lifetime.load(Ordering::Relaxed)),
        }
    }
}

impl Recorder for Inner {
    fn place(&self) -> &Place {
        &self.place
    }

    fn known(&self) -> &Known {
        &self.known
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn store_failed(error: StoreError) -> OperationError {
    OperationError::store(Arc::new(error))
}

/// The last handle is gone: the tasks end now.
impl Drop for Inner {
    fn drop(&mut self) {
        self.wake.notify_one();
        if let Some(hearing) = self.hearing.get() {
            hearing.abort();
        }
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl Followed for Revocations {
    async fn refresh_now(&self) {
        let _ = self.refresh().await;
    }

    async fn due(&self, began: Instant, random: u16) -> Instant {
        let sooner = self.0.reader.lock().await.sooner(began);
        self.0.place.polling.due(began, sooner, random)
    }
}

/// How often tokens can cause a read.
const COOLDOWN: Duration = Duration::from_secs(1);
