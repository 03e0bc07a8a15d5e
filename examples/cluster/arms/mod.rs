//! The same application, with its sessions kept in different places; and the process that serves it.

pub(crate) mod alone;
pub(crate) mod app;
pub(crate) mod bare;
pub(crate) mod clock;
#[cfg(feature = "redis")]
pub(crate) mod database;
pub(crate) mod figures;
pub(crate) mod health;
pub(crate) mod local;
pub(crate) mod memory;
pub(crate) mod replica;
pub(crate) mod replicated;
pub(crate) mod session;
pub(crate) mod stateless;
pub(crate) mod telemetry;
