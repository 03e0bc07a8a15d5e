//! `sessions`: revokes sessions, and has claims reloaded.

pub(crate) mod command;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod target;
