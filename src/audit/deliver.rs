//! Delivery of events to a sink: at once for those that a request waits for, and in the background, with
//! retries, for all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::counter;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use crate::audit::event::AuditEvent;
use crate::audit::sink::AuditSink;
use crate::tasks::caught;

/// The sink, and the queue of the task that tries again.
pub(crate) struct Delivery {
    target: Arc<Target>,
    queue: mpsc::Sender<Queued>,
}

struct Target {
    sink: Box<dyn AuditSink>,
    timeout: Duration,
    /// Whether the last attempt failed.
    is_failing: AtomicBool,
}

enum Queued {
    Event(Box<AuditEvent>, Instant),
    /// Answered when all before it are done.
    Flush(oneshot::Sender<()>),
}

impl Delivery {
    /// Starts the task, on the runtime of the caller.
    pub(crate) fn start(sink: Box<dyn AuditSink>, timeout: Duration) -> Self {
        let target = Arc::new(Target { sink, timeout, is_failing: AtomicBool::default() });
        let (queue, queued) = mpsc::channel(LONGEST_QUEUE);
        tokio::spawn(deliver(target.clone(), queued));
        Self { target, queue }
    }

    /// How long one attempt may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.target.timeout
    }

    /// Tries once.
    ///
    /// # Errors
    ///
    /// Fails with the sink's text.
    pub(crate) async fn now(&self, event: &AuditEvent) -> Result<(), String> {
        self.target.attempt(event).await
    }

    /// Hands an event to the background.
    pub(crate) fn later(&self, event: AuditEvent) {
        let queued = Queued::Event(Box::new(event), Instant::now());
        if let Err(error) = self.queue.try_send(queued) {
            let (queued, reason) = match error {
                mpsc::error::TrySendError::Full(queued) => {
                    (queued, format!("{LONGEST_QUEUE} events wait for the audit sink already"))
                }
                mpsc::error::TrySendError::Closed(queued) => {
                    (queued, "the runtime of the audit sink was shut down".to_owned())
                }
            };
            if let Queued::Event(event, _) = queued {
                lost(&event, &reason);
            }
        }
    }

    /// Waits until all events that were handed to the background before are recorded or lost.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.queue.send(Queued::Flush(done)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

impl Target {
    async fn attempt(&self, event: &AuditEvent) -> Result<(), String> {
        // The application's code runs inside, from its first line.
        let recording = caught(async { self.sink.record(event).await });
        let recorded = match tokio::time::timeout(self.timeout, recording).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            // The panic hook prints the panic's own message, which may contain anything.
            Ok(Err(_)) => Err("it panicked".to_owned()),
            Err(_) => Err(format!("it took longer than sink_timeout ({:?})", self.timeout)),
        };
        let was_failing = self.is_failing.swap(recorded.is_err(), Ordering::Relaxed);
        match &recorded {
            Ok(()) if was_failing => tracing::info!("the audit sink succeeds again"),
            Err(error) if !was_failing => tracing::warn!(error, "the audit sink failed"),
            _ => {}
        }
        if recorded.is_ok() {
            count(event, "recorded");
        }
        recorded
    }
}

/// Delivers events in their order, until all handles are gone.
async fn deliver(target: Arc<Target>, mut queued: mpsc::Receiver<Queued>) {
    while let Some(next) = queued.recv().await {
        match next {
            Queued::Event(event, since) => {
                let mut pause = FIRST_PAUSE;
                while let Err(error) = target.attempt(&event).await {
                    if since.elapsed() + pause > RETRY_FOR {
                        lost(&event, &error);
                        break;
                    }
                    count(&event, "retried");
                    sleep(pause).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
            // The caller may have gone away.
            Queued::Flush(done) => _ = done.send(()),
        }
    }
}

fn lost(event: &AuditEvent, error: &str) {
    let AuditEvent { ring, kind, event_id, .. } = event;
    count(event, "lost");
    tracing::error!(ring, kind = kind.as_str(), event_id, error, "lost an audit event");
}

/// Counts what became of an event at the sink.
pub(crate) fn count(event: &AuditEvent, outcome: &'static str) {
    let ring = event.ring.clone();
    counter!(AUDIT_RECORDS, "ring" => ring, "outcome" => outcome).increment(1);
}

/// The outcomes.
pub(crate) const OUTCOMES: [&str; 4] = ["recorded", "retried", "withheld", "lost"];

/// How many events may wait for the background.
const LONGEST_QUEUE: usize = 4096;
/// How long an event is tried again after it happened.
const RETRY_FOR: Duration = Duration::from_secs(10 * 60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(crate) const AUDIT_RECORDS: &str = "tower_jwt_session_audit_records_total";
