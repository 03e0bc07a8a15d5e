//! The audit trail: an event for each login, logout, revocation and change of keys.
//!
//! Each event goes to `tracing`, at info, with the target `tower_jwt_session::audit` and the message
//! `audit event`, and to the application's [`AuditSink`] if there is one. The guide's page
//! [audit](crate::guide::audit) says what is recorded where, and what holds if the sink fails.

pub(crate) mod deliver;
pub(crate) mod event;
pub(crate) mod handle;
pub(crate) mod sink;
pub(crate) mod subjects;

pub use self::event::{AuditEvent, AuditKind, Origin, Outcome};
pub use self::handle::{Audit, AuditBuilder};
pub use self::sink::{AuditFuture, AuditSink, SinkError};
