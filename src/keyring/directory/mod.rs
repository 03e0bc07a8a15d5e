//! A ring of the keys in a directory.

pub(crate) mod builder;
pub(crate) mod files;
pub(crate) mod source;
pub(crate) mod worker;
