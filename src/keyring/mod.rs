//! The live handle to the keys of a service, and where its keys come from.

pub(crate) mod core;
pub(crate) mod derived;
pub(crate) mod directory;
pub(crate) mod error;
pub(crate) mod fixed;
pub(crate) mod issuer;
#[cfg(all(test, shuttle))]
pub(crate) mod model;
pub(crate) mod observe;
pub(crate) mod refreshes;
pub(crate) mod ring;
pub(crate) mod rotating;
pub(crate) mod skew;
pub(crate) mod source;
pub(crate) mod status;
