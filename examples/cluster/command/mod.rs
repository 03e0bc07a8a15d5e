//! What a person asks for: the commands and their options.

pub(crate) mod algorithm;
pub(crate) mod args;
pub(crate) mod arm;
pub(crate) mod balancer;
pub(crate) mod compare;
pub(crate) mod diagnose;
pub(crate) mod flags;
pub(crate) mod keys;
pub(crate) mod load;
pub(crate) mod pace;
pub(crate) mod prove;
pub(crate) mod replica;
pub(crate) mod serve;
pub(crate) mod watch;
