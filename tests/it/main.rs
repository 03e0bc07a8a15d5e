//! Tests through the public API: one binary, a module per subject.
#![allow(clippy::unwrap_used)]

mod cluster;
mod remote;
mod store;
