//! Tests through the public API: one binary, with a module for each room of `src`.
#![allow(clippy::unwrap_used)]

mod clock;
mod guide;
mod imports;
mod keyring;
mod keys;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod layer;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod response;
mod revocation;
mod sessions;
mod store;
#[path = "../support/mod.rs"]
mod support;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod telemetry;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod testing;
mod token;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod transport;
