//! [`Audit`]: where audit events go, and how they name subjects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use zeroize::Zeroizing;

use crate::audit::deliver::{self, AUDIT_RECORDS, Delivery, OUTCOMES};
use crate::audit::event::{AuditEvent, AuditKind, Outcome};
use crate::audit::sink::AuditSink;
use crate::audit::subjects::Subjects;
use crate::clock::Timestamp;
use crate::error::build::BuildError;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::store::polling::check_durations;

/// Where audit events go, and how they name subjects. Give one to the builders of the key ring, the
/// revocations and the sessions; clones share it. Without one, events go to the log alone, with pseudonyms
/// that change with each process.
///
/// If the [sink](AuditBuilder::sink) fails:
///
/// | event | what follows |
/// |---|---|
/// | a login, by the layers, [`Sessions::login`](crate::Sessions::login) or [`login_with_refresh_token`](crate::Sessions::login_with_refresh_token) | the session is not handed out: 503, or an error of the kind [`Audit`](crate::OperationErrorKind::Audit); the log has the event with the outcome `withheld` |
/// | a logout, a revocation, a reload of claims, the refusal of a reused refresh token | it has taken effect and stays so; the answer is as usual, at most one [`sink_timeout`](AuditBuilder::sink_timeout) late; the event is tried again in the background |
/// | a login by [`Sessions::issue`](crate::Sessions::issue) or [`issue_with_refresh_token`](crate::Sessions::issue_with_refresh_token), which cannot wait | the token is handed out; the event is recorded in the background from the start |
/// | keys; what this replica learns from the store or restores to it | the event is recorded in the background from the start |
///
/// In the background an event is tried again for 10 minutes. Then, or if 4,096 others wait already, it is
/// lost, with an error in the log and in the metric `audit_records_total`. Call [`flush`](Self::flush) before
/// the process ends.
///
/// ```
/// use tower_jwt_session::store::MemoryStore;
/// use tower_jwt_session::audit::{Audit, AuditEvent, AuditFuture, AuditSink};
/// use tower_jwt_session::{KeyRing, Login, Revocations, Sessions};
///
/// struct Trail(tokio::sync::mpsc::UnboundedSender<AuditEvent>);
///
/// impl AuditSink for Trail {
///     fn record<'a>(&'a self, event: &'a AuditEvent) -> AuditFuture<'a> {
///         Box::pin(async move { Ok(self.0.send(event.clone())?) })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (trail, mut events) = tokio::sync::mpsc::unbounded_channel();
/// let audit = Audit::builder().plain_subjects().sink(Trail(trail)).build()?;
///
/// let store = MemoryStore::new();
/// let keys = KeyRing::builder("app").store(store.clone()).audit(audit.clone()).open().await?;
/// let revocations = Revocations::builder("app").store(store).audit(audit.clone()).open().await?;
/// let sessions = Sessions::<()>::builder(keys, "https://app.example", "app")
///     .revocations(revocations)
///     .audit(audit.clone())
///     .build()?;
/// audit.flush().await;
/// while let Ok(event) = events.try_recv() {
///     println!("{}", serde_json::to_string(&event)?); // The ring and its first keys.
/// }
///
/// sessions.login(&Login::new("alice", ())).await?;
/// let event = events.recv().await.ok_or("an event")?;
/// assert_eq!((event.kind.as_str(), event.subject.as_deref()), ("login", Some("alice")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    subjects: Subjects,
    delivery: Option<Delivery>,
}

/// Builds an [`Audit`].
#[must_use]
pub struct AuditBuilder {
    subjects: Subjects,
    sink: Option<Box<dyn AuditSink>>,
    sink_timeout: Duration,
}

impl AuditBuilder {
    /// Names subjects by pseudonyms that are the same on all replicas with this key, and after a restart:
    /// the first 16 bytes of HMAC-SHA256 of the subject's digest, in base64url. At least 16 random bytes.
    /// Default: a random key per process.
    ///
    /// The digest is the first 16 bytes of a SHA-256 of issuer and subject, under which revocations are
    /// stored. A replica that learns of a revocation knows no more than that, so that it writes the same
    /// pseudonym as the replica that recorded it.
    pub fn subject_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.subjects = Subjects::Pseudonyms(Zeroizing::new(key.as_ref().to_vec()));
        self
    }

    /// Names no subjects.
    pub fn without_subjects(mut self) -> Self {
        self.subjects = Subjects::Omitted;
        self
    }

    /// Names subjects as they are. An event of a revocation that was learned from the store names none, since
    /// the store holds digests.
    pub fn plain_subjects(mut self) -> Self {
        self.subjects = Subjects::Plain;
        self
    }

    /// Records events in a sink, too. Needs a Tokio runtime. Default: events go to the log alone.
    pub fn sink(mut self, sink: impl AuditSink) -> Self {
        self.sink = Some(Box::new(sink));
        self
    }

    /// Sets how long the sink may take for one event, and so how much later an answer may be. Default: 2
    /// seconds.
    pub fn sink_timeout(mut self, timeout: Duration) -> Self {
        self.sink_timeout = timeout;
        self
    }

    /// Checks the settings, and starts the task of the sink.
    ///
    /// # Errors
    ///
    /// Fails if a setting is out of range, or there is a sink and no Tokio runtime.
    pub fn build(self) -> Result<Audit, BuildError> {
        check_durations([("sink_timeout", self.sink_timeout, false)])?;
        if let Subjects::Pseudonyms(key) = &self.subjects
            && key.len() < LEAST_KEY
        {
            let found = format_args!("{} bytes", key.len());
            let help = format!("give at least {LEAST_KEY} random bytes");
            return Err(BuildError::invalid("subject_key", found, help));
        }
        if self.sink.is_some() && tokio::runtime::Handle::try_current().is_err() {
            let help = "build it within a Tokio runtime, whose task delivers the events";
            return Err(BuildError::invalid("sink", "set outside of a Tokio runtime", help));
        }
        let delivery = self.sink.map(|sink| Delivery::start(sink, self.sink_timeout));
        Ok(Audit(Arc::new(Inner { subjects: self.subjects, delivery })))
    }
}

impl Audit {
    /// Returns a builder.
    pub fn builder() -> AuditBuilder {
        AuditBuilder {
            subjects: Subjects::of_process(),
            sink: None,
            sink_timeout: Duration::from_secs(2),
        }
    }

    /// Waits until all events that wait in the background are recorded or lost: before the process ends, and
    /// in tests. At most 10 minutes.
    pub async fn flush(&self) {
        if let Some(delivery) = &self.0.delivery {
            delivery.flush().await;
        }
    }

    /// Whether a request has to wait for a sink.
    pub(crate) fn has_sink(&self) -> bool {
        self.0.delivery.is_some()
    }

    /// How events name the subject with this digest.
    pub(crate) fn subject(&self, digest: &[u8; 16], subject: Option<&str>) -> Option<String> {
        self.0.subjects.name(digest, subject)
    }

    /// Registers the counters of these kinds, so that a dashboard shows zeros first.
    pub(crate) fn show_zeros(&self, ring: &Arc<str>, kinds: &[AuditKind]) {
        for kind in kinds {
            count(ring, *kind, 0);
        }
        for outcome in OUTCOMES.iter().filter(|_| self.has_sink()) {
            counter!(AUDIT_RECORDS, "ring" => ring.clone(), "outcome" => *outcome).increment(0);
        }
    }

    /// Makes an event, if there is a reader. The caller sets its fields and has it recorded.
    pub(crate) fn begin(&self, kind: AuditKind, ring: &Arc<str>, at: Timestamp) -> Option<Draft> {
        let is_logged = tracing::enabled!(target: TARGET, tracing::Level::INFO);
        if !is_logged && !self.has_sink() {
            count(ring, kind, 1);
            return None;
        }
        let event = AuditEvent::new(kind, ring, at);
        Some(Draft { event, ring: ring.clone(), audit: self.clone() })
    }
}

/// An event that is to be recorded.
pub(crate) struct Draft {
    pub(crate) event: AuditEvent,
    ring: Arc<str>,
    audit: Audit,
}

impl Draft {
    /// Logs the event, and records it in the background.
    pub(crate) fn note(self) {
        self.log();
        if let Some(delivery) = &self.audit.0.delivery {
            delivery.later(self.event);
        }
    }

    /// How long recording may take.
    pub(crate) fn takes(&self) -> Duration {
        self.audit.0.delivery.as_ref().map_or(Duration::ZERO, Delivery::timeout)
    }

    /// Logs the event of something that has taken effect, and waits until it is recorded. If that fails, it
    /// is tried again in the background.
    pub(crate) async fn record(self) {
        self.log();
        if let Some(delivery) = &self.audit.0.delivery
            && delivery.now(&self.event).await.is_err()
        {
            deliver::count(&self.event, "retried");
            delivery.later(self.event);
        }
    }

    /// Records the event of something that takes effect only then, and logs it.
    ///
    /// # Errors
    ///
    /// Fails if it is not recorded.
    pub(crate) async fn record_first(mut self) -> Result<(), OperationError> {
        let recorded = match &self.audit.0.delivery {
            Some(delivery) => delivery.now(&self.event).await,
            None => Ok(()),
        };
        let Err(error) = recorded else {
            self.log();
            return Ok(());
        };
        deliver::count(&self.event, "withheld");
        self.event.outcome = Outcome::Withheld;
        self.log();
        let text = format!("the audit sink did not record the login: {error}");
        Err(OperationError::new(OperationErrorKind::Audit, text))
    }

    fn log(&self) {
        count(&self.ring, self.event.kind, 1);
        log(&self.event);
    }
}

/// All events are logged here. Fields that do not apply are left out.
fn log(event: &AuditEvent) {
    let (kind, origin, outcome) =
        (event.kind.as_str(), event.origin.as_str(), event.outcome.as_str());
    let effective_at = event.effective_at.map(tracing::field::display);
    let AuditEvent { at, event_id, ring, issuer, session_id, subject, .. } = event;
    let AuditEvent { reach, reason, generation, key_id: kid, count, .. } = event;
    tracing::info!(
        target: TARGET,
        kind,
        origin,
        outcome,
        %at,
        event_id,
        ring,
        issuer,
        session_id,
        subject,
        reach,
        reason,
        generation,
        kid,
        effective_at,
        count,
        "audit event"
    );
}

fn count(ring: &Arc<str>, kind: AuditKind, by: u64) {
    counter!(AUDIT_EVENTS, "ring" => ring.clone(), "kind" => kind.as_str()).increment(by);
}

impl Default for Audit {
    /// Events go to the log alone; subjects have pseudonyms by a random key per process.
    fn default() -> Self {
        Self(Arc::new(Inner { subjects: Subjects::of_process(), delivery: None }))
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit")
            .field("subjects", &self.0.subjects)
            .field("sink", &self.has_sink())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AuditBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditBuilder")
            .field("subjects", &self.subjects)
            .field("sink", &self.sink.is_some())
            .field("sink_timeout", &self.sink_timeout)
            .finish()
    }
}

const TARGET: &str = "tower_jwt_session::audit";
/// The shortest key of pseudonyms, in bytes.
const LEAST_KEY: usize = 16;

pub(crate) const AUDIT_EVENTS: &str = "tower_jwt_session_audit_events_total";
