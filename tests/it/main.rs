//! Tests through the public API: one binary, with a module for each room of `src`.
#![allow(clippy::unwrap_used)]

mod clock;
mod keyring;
mod keys;
mod layer;
mod revocation;
mod sessions;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod telemetry;
mod token;
mod transport;
