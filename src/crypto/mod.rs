//! Algorithms, key material and randomness.

pub(crate) mod algorithm;
pub(crate) mod der;
pub(crate) mod error;
pub(crate) mod material;
pub(crate) mod secret;
