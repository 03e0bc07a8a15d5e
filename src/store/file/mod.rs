//! A store in a directory.

pub(crate) mod directory;
pub(crate) mod hint;
pub(crate) mod redemptions;
pub(crate) mod store;
pub(crate) mod temporary;
