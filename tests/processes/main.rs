//! Tests that start processes and kill them: the file store's writers, and the example cluster.
#![allow(clippy::unwrap_used)]

mod cluster;
mod compare;
mod diagnose;
#[cfg(target_os = "linux")]
mod killed_writer;
#[cfg(unix)]
mod replica;
#[cfg(target_os = "linux")]
mod stopped_replica;
#[path = "../support/mod.rs"]
mod support;
