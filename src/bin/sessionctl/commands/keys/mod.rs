//! The commands about a ring's keys.

pub(crate) mod change;
pub(crate) mod command;
pub(crate) mod status;
pub(crate) mod target;
pub(crate) mod watch;
