//! The store, by URL.

pub(crate) mod address;
pub(crate) mod opened;
pub(crate) mod options;
pub(crate) mod read_only;
pub(crate) mod witness;
