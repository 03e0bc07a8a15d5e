//! Revocations: sessions, subjects and logins that end before they expire.

pub(crate) mod builder;
pub(crate) mod handle;
pub(crate) mod log;
pub(crate) mod log_writer;
pub(crate) mod record;
pub(crate) mod set;
pub(crate) mod status;
