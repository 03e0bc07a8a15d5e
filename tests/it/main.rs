//! Tests through the public API: one binary, a module per subject.
#![allow(clippy::unwrap_used)]

mod cluster;
mod derived;
mod jwks;
mod replicas;
mod ring;
mod schedule;
mod sealing;
mod static_keys;
mod store;
