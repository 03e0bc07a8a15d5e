//! Algorithms, key material and randomness.

pub(crate) mod algorithm;
#[cfg(feature = "aws-lc-rs")]
mod aws_lc_rs;
pub(crate) mod backend;
pub(crate) mod by_signing;
pub(crate) mod der;
pub(crate) mod error;
pub(crate) mod generate;
pub(crate) mod material;
pub(crate) mod numbers;
pub(crate) mod operations;
mod ring;
pub(crate) mod secret;
pub(crate) mod secret_bytes;
