//! [`Revocations`]: the live handle to the revocations. One atomic pointer to a snapshot, and the tasks
//! that follow and write the log in a store.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use metrics::counter;
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::clock::{Moment, Timestamp};
use crate::cooldown::Cooldown;
use crate::error::operation::OperationError;
use crate::error::rejection::RejectionKind;
use crate::keyring::refreshes::{Refreshes, Report};
use crate::revocation::log::Log;
use crate::revocation::log_writer::LogWriter;
use crate::revocation::record;
use crate::revocation::set::{Candidate, Revocation, RevocationSet};
use crate::store::contract::StoreError;
use crate::store::founding::{Founding, Wait};
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
/// 1. Requests never wait: each checks an in-memory snapshot after verifying the signature.
/// 2. Revocations are kept until every token they cover has expired, on every ring and replica that
///    shares them: at least 48 hours, or [`max_staleness`](crate::RevocationsBuilder::max_staleness) + the
///    rings' longest token lifetime + 4 clock skews if that is longer on any of them. Nothing recorded
///    is lost while a replica lives: live replicas restore what a store has lost.
/// 3. While the store is down, replicas use the last known revocations for
///    [`max_staleness`](crate::RevocationsBuilder::max_staleness); routes can
///    [require fresher ones](crate::layer::ValidateLayer::require_fresh_revocations). A logout fails, and says
///    so.
/// 4. Tokens carry the version of the revocations that their issuer knew (the claim `rv`). A
///    replica that sees a higher version than its own reads the store at once.
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
pub struct Revocations(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) name: Arc<str>,
    pub(crate) writer: LogWriter,
    /// Held for a whole read or write, which is what makes a replica's own follow each other;
    /// requests never meet it.
    pub(crate) log: Mutex<Log>,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// When the last read began that did not fail.
    pub(crate) read: ArcSwap<Moment>,
    /// As old as what is held may be, in milliseconds: that time less what the store may be behind, or
    /// [`i64::MIN`] once it is found stale by the clock that nobody can set. All that a request looks
    /// at.
    pub(crate) known_at: AtomicI64,
    /// How the refreshes went.
    pub(crate) refreshes: Refreshes,
    pub(crate) max_staleness: Duration,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) cooldown: Cooldown,
    /// Wakes the task that follows the log.
    pub(crate) wake: Arc<Notify>,
    /// To the task that writes.
    pub(crate) recording: mpsc::Sender<Recording>,
    pub(crate) versions: watch::Sender<u64>,
}

/// The state that requests check.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) version: u64,
    pub(crate) revocations: RevocationSet,
    /// How often the revocations had changed.
    changes: u64,
    /// The highest format that only a newer version of this crate understands.
    pub(crate) newer: Option<u64>,
    /// Why what is held may not be all.
    pub(crate) wait: Option<Wait>,
}

/// A revocation on its way to the store, and the channel to the caller.
pub(crate) struct Recording {
    revocation: Revocation,
    done: oneshot::Sender<Result<(), Arc<StoreError>>>,
}

impl Revocations {
    /// Reads the store now, and writes what is due. The background task does so by itself; a test with a
    /// manual clock calls it after moving the clock.
    ///
    /// # Errors
    ///
    /// Fails if the store fails. The last known revocations stay.
    pub async fn refresh(&self) -> Result<(), OperationError> {
        self.0.cooldown.begin(self.0.writer.clock.now());
        let report = self.read_and_write().await.map_err(store_failed)?;
        report.failure.map_or(Ok(()), Err)
    }

    /// Reads the store, and writes what is due if that succeeds.
    pub(crate) async fn read_and_write(&self) -> Result<Report, StoreError> {
        let inner = &*self.0;
        let mut log = inner.log.lock().await;
        let (began, mut failure) = (Moment::now(&*inner.writer.clock), None);
        let read = inner.writer.read(&mut log).await;
        log.prune(began.time);
        inner.publish(&log);
        match &read {
            Ok(()) => {
                inner.note_read(&log, began);
                failure = inner.writer.write(&mut log).await.err().map(store_failed);
                inner.publish(&log);
            }
            Err(_) if self.is_stale() => inner.known_at.store(i64::MIN, Ordering::Relaxed),
            Err(_) => {}
        }
        let report = Report { skipped: log.skipped.clone(), failure, ..Report::default() };
        let report = read.map(|()| report);
        inner.refreshes.record(&report);
        // It sets the gauges.
        let _ = self.ready();
        report
    }

    /// Returns the longest time until this replica sees a revocation that another recorded, while the
    /// store is up.
    pub fn refresh_bound(&self) -> Duration {
        self.0.writer.polling.bound()
    }

    /// Records a revocation; then it holds on this replica.
    ///
    /// It is written even if the caller stops waiting.
    pub(crate) async fn record(&self, revocation: Revocation) -> Result<(), Arc<StoreError>> {
        let (done, recorded) = oneshot::channel();
        // One that is written just now goes before it.
        let limit = self.0.writer.polling.insert_timeout.saturating_mul(2);
        let recording = async {
            let gone = |context: &str| Arc::new(StoreError::new(context));
            let stopped = |_| gone("the task that writes revocations has stopped");
            self.0.recording.send(Recording { revocation, done }).await.map_err(stopped)?;
            // Nobody answers any more.
            let panicked =
                |_| gone("the task that writes revocations panicked while it wrote this");
            recorded.await.map_err(panicked)?
        };
        let recorded = tokio::time::timeout(limit, recording).await.unwrap_or_else(|_| {
            let slow = || format!("writing an entry took longer than {limit:?}");
            Err(Arc::new(StoreError::new(self.0.tasks.failure().map_or_else(slow, str::to_owned))))
        });
        let outcome = if recorded.is_ok() { "recorded" } else { "failed" };
        counter!(RECORDED, "ring" => self.0.writer.ring.clone(), "outcome" => outcome).increment(1);
        recorded
    }

    /// Keeps revocations for as long as tokens can be accepted that live for `token_lifetime`, by
    /// clocks that differ by `clock_skew`. A replica that hears of nothing may renew a session until
    /// its own limit; the token that it issues then lives for the ring's longest lifetime; and four
    /// clocks count: of the one who revokes, who renews and who validates, and the leeway.
    pub(crate) fn keep_for(&self, token_lifetime: Duration, clock_skew: Duration) {
        let skew = clock_skew.saturating_mul(4);
        let limit = self.0.max_staleness;
        self.0.writer.need(limit.saturating_add(token_lifetime).saturating_add(skew));
    }

    /// Checks that a verified token's session is not revoked; returns the version of the snapshot.
    pub(crate) fn check(
        &self,
        mut candidate: Candidate<'_>,
        leeway: Duration,
        now: Timestamp,
    ) -> Result<u64, RejectionKind> {
        let snapshot = self.0.snapshot.load();
        if candidate.version > snapshot.version && !self.0.note_claimed(candidate.version, now) {
            // No issuer can know it, and nothing recorded from now on would hit.
            candidate.version = 0;
        }
        if snapshot.revocations.matches(&candidate, leeway) {
            return Err(RejectionKind::Revoked);
        }
        let known_at = Timestamp::from_unix_millis(self.0.known_at.load(Ordering::Relaxed));
        if now - known_at > self.0.max_staleness {
            return Err(self.stale());
        }
        Ok(snapshot.version)
    }

    /// Whether all is known that was recorded until that long ago.
    pub(crate) fn is_fresh(&self, longest: Duration) -> bool {
        let snapshot = self.snapshot();
        self.age() <= longest && snapshot.wait.is_none() && snapshot.newer.is_none()
    }

    /// The rejection if fresher revocations are required; the next read may have them.
    pub(crate) fn stale(&self) -> RejectionKind {
        RejectionKind::StaleRevocations { retry_after: self.0.writer.polling.interval }
    }

    /// The version that tokens carry which are issued now.
    pub(crate) fn version(&self) -> u64 {
        self.0.snapshot.load().version
    }

    /// Reports every change of the snapshot.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.versions.subscribe()
    }

    /// How old what is held may be: since the last good read began, and a store that is behind counts.
    fn age(&self) -> Duration {
        let LogWriter { clock, polling, .. } = &self.0.writer;
        self.0.read.load().age(&**clock).saturating_add(polling.staleness)
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.age() > self.0.max_staleness
    }

    pub(crate) fn read_at(&self) -> Timestamp {
        self.0.read.load().time
    }

    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.0.snapshot.load()
    }
}

impl Inner {
    /// Writes what several wait for as few entries, and lets them know.
    async fn record_all(&self, recordings: &mut Vec<Recording>) {
        let mut log = self.log.lock().await;
        let mut recordings = recordings.drain(..).peekable();
        while recordings.peek().is_some() {
            let (mut revocations, mut waiting, mut size) = (Vec::new(), Vec::new(), 0);
            while let Some(recording) = recordings.next_if(|recording| {
                size = record::size(&recording.revocation).saturating_add(size);
                revocations.is_empty() || size <= record::CAPACITY
            }) {
                revocations.push(recording.revocation);
                waiting.push(recording.done);
            }
            let recorded = self.writer.record(&mut log, revocations).await.map_err(Arc::new);
            self.publish(&log);
            for done in waiting {
                // Who has gone away need not know.
                let _ = done.send(recorded.clone());
            }
        }
    }

    /// Makes the log's state the snapshot that requests take: the version together with its revocations.
    fn publish(&self, log: &Log) {
        let Log { version, changes, wait, .. } = *log;
        let newer = log.newer.iter().map(|newer| newer.format).max();
        let before = self.snapshot.load();
        if (before.version, before.changes, before.newer, before.wait)
            != (version, changes, newer, wait)
        {
            let revocations = log.revocations.clone();
            let snapshot = Snapshot { version, revocations, changes, newer, wait };
            self.snapshot.store(Arc::new(snapshot));
            self.versions.send_replace(version);
        }
    }

    /// A read that began then did not fail.
    fn note_read(&self, log: &Log, began: Moment) {
        let mut known_at = began.time - self.writer.polling.staleness;
        if log.wait.is_some() {
            // What it knows may not be all: no session is accepted on it.
            known_at = Timestamp::from_unix_millis(i64::MIN);
        } else {
            self.read.store(Arc::new(began));
        }
        self.known_at.store(known_at.as_unix_millis(), Ordering::Relaxed);
    }

    /// Remembers a version that a token claims, to go beyond it, and asks for a read, unless one was
    /// begun or asked for just now. Never waits: it is on the way of a request. Whether the version is
    /// plausible.
    #[cold]
    fn note_claimed(&self, version: u64, now: Timestamp) -> bool {
        let is_plausible = version <= record::highest_version(now, MOST_CLAIMED);
        if is_plausible {
            self.writer.claimed.fetch_max(version, Ordering::Relaxed);
            if self.cooldown.try_begin(now) {
                self.wake.notify_one();
            }
        }
        is_plausible
    }
}

fn store_failed(error: StoreError) -> OperationError {
    OperationError::store(Arc::new(error))
}

/// The last handle is gone: the tasks end now.
impl Drop for Inner {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations")
            .field("name", &self.0.name)
            .field("version", &self.snapshot().version)
            .finish_non_exhaustive()
    }
}

impl Followed for Revocations {
    async fn refresh_now(&self) {
        let _ = self.refresh().await;
    }

    async fn due(&self, began: Instant, random: u16) -> Instant {
        let log = self.0.log.lock().await;
        let sooner = log.founding.as_ref().and_then(Founding::look_again);
        self.0.writer.polling.due(began, sooner, random)
    }
}

/// Writes what is to be recorded: all that has come while the last was written at once, so that
/// many need not wait for each other, and whether or not they still wait.
///
/// A write that was interrupted by a panic is answered as failed; later ones wait for the restart.
pub(crate) async fn write(
    revocations: Weak<Inner>,
    recordings: Arc<Mutex<mpsc::Receiver<Recording>>>,
    is_restart: bool,
) {
    let (mut batch, mut recordings) = (Vec::new(), recordings.lock().await);
    if is_restart && let Some(revocations) = revocations.upgrade() {
        // The log may have been left half changed.
        revocations.log.lock().await.distrust();
    }
    while recordings.recv_many(&mut batch, LONGEST_QUEUE).await > 0 {
        let Some(revocations) = revocations.upgrade() else { return };
        revocations.record_all(&mut batch).await;
    }
}

/// How many revocations may wait to be written; others wait to be taken in.
pub(crate) const LONGEST_QUEUE: usize = 1024;
/// How far ahead of this replica's clock a token's version may be: less than that of an entry, so that
/// what follows it is plausible everywhere.
const MOST_CLAIMED: Duration = Duration::from_secs(24 * 3600);
