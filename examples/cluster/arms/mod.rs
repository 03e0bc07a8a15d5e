//! The same application, with its sessions kept in different places; and the process that serves it.

pub(crate) mod app;
pub(crate) mod bare;
pub(crate) mod clock;
pub(crate) mod health;
pub(crate) mod memory;
pub(crate) mod replica;
pub(crate) mod stateless;
pub(crate) mod telemetry;
