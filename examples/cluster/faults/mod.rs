//! What can happen to a cluster, by script and by hand.

pub(crate) mod event;
pub(crate) mod perform;
pub(crate) mod sessions;
