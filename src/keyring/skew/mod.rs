//! The difference between the clocks of the replicas and of their store.

pub(crate) mod lease;
pub(crate) mod reading;
pub(crate) mod watch;
