//! "Users report random logouts": the cluster is broken in one of eight ways, and what the crate shows of
//! itself leads to the cause.

pub(crate) mod breakage;
pub(crate) mod cause;
pub(crate) mod conclude;
pub(crate) mod findings;
pub(crate) mod misproxy;
pub(crate) mod play;
