//! The operator's tool `sessionctl`, run as a process against stores and replicas of this one.

mod doctor;
mod explain;
mod explain_store;
mod guides;
mod keys;
mod run;
mod sessions;
#[path = "../support/mod.rs"]
#[allow(clippy::unwrap_used)]
mod support;
mod variables;
