//! Tests through the public API: one binary, a module per subject.
#![allow(clippy::unwrap_used)]

mod clearing;
mod cluster;
mod codec;
mod cross_site;
mod derived;
mod extractors;
mod issuing;
mod jwks;
mod layers;
mod login_age;
mod long_connections;
mod no_store;
mod odd_wiring;
mod policy;
mod readiness;
mod refresh;
mod reissue;
mod remote;
mod renewal;
mod replicas;
mod respond;
mod revocation;
mod ring;
mod schedule;
mod sealing;
mod simulation;
mod static_keys;
mod store;
mod telemetry;
mod token_cache;
mod transports;
mod web;
mod web_sockets;
mod wiring_mistakes;
