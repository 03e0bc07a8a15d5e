//! All faults, and those of each CI run.

use crate::faults::fault::Fault;
use crate::faults::{clocks, directory, network, postgres, purge, redis, replicas};

/// Those that found faults of the crate before, over all stores.
pub const CI: [&str; 10] = [
    "directory-purge-restart",
    "redis-purge-restart",
    "postgres-purge-restart",
    "redis-full",
    "postgres-truncated",
    "postgres-read-only",
    "directory-deleted",
    "clock-90-ahead",
    "replica-killed",
    "replica-stopped",
];

/// The whole table.
pub fn all() -> Vec<Fault> {
    let servers = redis::FAULTS.into_iter().chain(postgres::FAULTS).chain(directory::FAULTS);
    let others = purge::FAULTS.into_iter().chain(replicas::FAULTS).chain(clocks::FAULTS);
    servers.chain(others).chain(network::FAULTS).collect()
}
