//! The faults: a table by what they are done to.

mod clocks;
mod directory;
mod expected;
mod fault;
mod network;
mod postgres;
mod promises;
mod purge;
mod redis;
mod replicas;
mod server;
mod table;

pub use fault::Fault;
pub(crate) use fault::{Allows, Expected, Refused};
pub use table::{CI, all};
