//! The cluster as its parent holds it: child processes that cannot outlive it.

pub(crate) mod balancer;
pub(crate) mod cluster;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod view;
