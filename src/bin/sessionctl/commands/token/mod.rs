//! `token`: what a token says, and why a service accepts or refuses it.

pub(crate) mod command;
pub(crate) mod explain;
pub(crate) mod keys;
pub(crate) mod report;
