//! The balancer: a process that knows no sessions.

pub(crate) mod affinity;
pub(crate) mod headers;
pub(crate) mod key_files;
pub(crate) mod pool;
pub(crate) mod proxy;
