//! Random histories of one subject's register: three replicas and a store that log in, cut off, renew,
//! read and restore, while the store is purged, replaced by an older copy or out of reach, and clocks
//! differ. No token that was there at a cutoff is good in the end, when all know everything; and without
//! losses no good login is refused. A rule that is left out is found.
//!
//! `SIMULATION_SEEDS=1000000 cargo test --release --lib histories` runs as many; without it 2,000 of each
//! kind are run.

mod history;
mod tests;
mod world;
