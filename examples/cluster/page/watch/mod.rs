//! The page to watch: a lane per arm, and one row of buttons for all.

pub(crate) mod counters;
pub(crate) mod events;
pub(crate) mod figures;
pub(crate) mod keys;
pub(crate) mod lanes;
pub(crate) mod scenes;
pub(crate) mod server;
pub(crate) mod you;
