//! Faults of real servers, directories, replicas, clocks and networks, each under load, and what has to hold
//! meanwhile.
//!
//! A fault is one entry in a table (`faults/`): what it does, what is allowed during it and why, which
//! sign of it operators see, and how it heals. A run of it starts a store and three replicas of the example
//! cluster as processes, and asks them as users do (`run/load.rs`). Servers are made from what is
//! installed; what is missing is said, and fails with `REQUIRE_SERVERS=1`.

/// The example as a program.
#[path = "../../support/example.rs"]
mod example;
mod faults;
/// The way between a replica and its server.
#[allow(dead_code, reason = "the example asks whether it is slow")]
#[path = "../../../examples/cluster/store/link.rs"]
mod link;
pub mod long;
pub mod report;
pub mod run;
#[allow(dead_code, reason = "the example names the process of its server")]
#[path = "../../../examples/cluster/store/server/mod.rs"]
mod server;
mod setup;

pub use faults::{CI, Fault, all};
pub use setup::store::StoreKind;

/// What went wrong, in words.
pub type Problem = String;

/// The number in an environment variable.
///
/// # Panics
/// If there is something else in it.
pub fn variable(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a number"))
}
