//! Algorithms, key material and randomness.

pub(crate) mod algorithm;
pub(crate) mod backend;
pub(crate) mod der;
pub(crate) mod error;
pub(crate) mod generate;
pub(crate) mod material;
pub(crate) mod numbers;
mod ring;
pub(crate) mod secret;
pub(crate) mod secret_bytes;
