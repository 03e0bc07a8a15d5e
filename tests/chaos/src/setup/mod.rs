//! What a fault is done to: a store, and replicas of the example cluster.

pub(crate) mod cluster;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod replica;
pub(crate) mod store;
