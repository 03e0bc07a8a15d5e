//! A ring whose keys are in a store and change by a schedule.

pub(crate) mod builder;
mod entries;
pub(crate) mod handover;
pub(crate) mod key_log;
pub(crate) mod operator;
pub(crate) mod record;
pub(crate) mod replica;
pub(crate) mod seal;
pub(crate) mod source;
