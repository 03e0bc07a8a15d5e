//! The commands.

pub(crate) mod audit;
pub(crate) mod doctor;
pub(crate) mod keys;
pub(crate) mod ring;
pub(crate) mod sessions;
pub(crate) mod store;
pub(crate) mod token;
