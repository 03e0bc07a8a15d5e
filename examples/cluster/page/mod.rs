//! The cluster in the hands of a person.

pub(crate) mod serve;
pub(crate) mod watch;
