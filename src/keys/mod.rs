//! Keys: what they are, how they are read, when they sign.

pub(crate) mod jwk;
mod jwk_json;
pub(crate) mod key;
pub(crate) mod key_set;
mod material;
pub(crate) mod pem;
pub(crate) mod rotation_policy;
pub(crate) mod schedule;
