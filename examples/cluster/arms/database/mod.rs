//! The arm over a database: `tower-sessions`, with its sessions in Redis. Every request asks Redis once; in the
//! second half of a session's life one writes, too, to prolong it.
//!
//! While Redis is away, `/me` and a logout are answered 503 and a login 500, each within the timeout of
//! the store: `tower-sessions` saves a new session behind the handler, and has one status for a failure.

pub(crate) mod app;
pub(crate) mod store;
#[cfg(test)]
mod tests;
