//! The schedule of keys: when they are made, sign and end.

mod policy;
mod signer;
mod times;
mod walk;
