//! Revocations: sessions, subjects and logins that end before they expire.

pub(crate) mod builder;
pub(crate) mod handle;
pub(crate) mod log;
pub(crate) mod log_writer;
pub(crate) mod record;
#[cfg_attr(not(test), expect(dead_code, reason = "no token is checked by them yet"))]
pub(crate) mod rules;
pub(crate) mod set;
pub(crate) mod status;
