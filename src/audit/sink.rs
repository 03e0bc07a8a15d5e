//! [`AuditSink`]: the application's own audit trail.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

use crate::audit::event::AuditEvent;

/// Why a sink did not record an event.
pub type SinkError = Box<dyn Error + Send + Sync>;

/// The future that [`AuditSink::record`] returns.
pub type AuditFuture<'a> = Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'a>>;

/// Records audit events where they must not get lost: a database, a queue, a file that is synchronized.
///
/// Events of requests are recorded before the answer is sent: after the handler, within the
/// [`sink_timeout`](crate::audit::AuditBuilder::sink_timeout). An error, a panic, or no answer in that time
/// is a failure; see [`Audit`](crate::audit::Audit) for what follows. Several events may be recorded at once,
/// and an event may be recorded again after a failure, with the same
/// [`event_id`](AuditEvent::event_id).
///
/// ```
/// use std::sync::Mutex;
/// use std::{fs::File, io::Write};
/// use tower_jwt_session::audit::{AuditEvent, AuditFuture, AuditSink};
///
/// /// One line of JSON for each event.
/// struct Lines(Mutex<File>);
///
/// impl AuditSink for Lines {
///     fn record<'a>(&'a self, event: &'a AuditEvent) -> AuditFuture<'a> {
///         Box::pin(async move {
///             let mut line = serde_json::to_vec(event)?;
///             line.push(b'\n');
///             let mut file = self.0.lock().map_err(|_| "a writer panicked")?;
///             file.write_all(&line)?;
///             Ok(file.sync_data()?)
///         })
///     }
/// }
/// ```
///
/// A sink that waits for a disk, as this one does, should do so on its own thread in a busy service:
/// send the event and a channel for the answer to that thread, and await the answer.
pub trait AuditSink: Send + Sync + 'static {
    /// Records an event; completes when the event cannot get lost any more.
    ///
    /// # Errors
    ///
    /// Fails if the event may not have been recorded.
    fn record<'a>(&'a self, event: &'a AuditEvent) -> AuditFuture<'a>;
}
