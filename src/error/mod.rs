//! Errors of building, of operations, of readiness and of requests. Imports no other room.

pub(crate) mod build;
pub(crate) mod detail;
pub(crate) mod macros;
pub(crate) mod not_ready;
pub(crate) mod operation;
pub(crate) mod rejection;
