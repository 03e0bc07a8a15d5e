//! Text to claims and back: the strict compact JWS (RFC 7515, section 7.1) of a session.

pub(crate) mod cache;
pub(crate) mod checks;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod header_rules;
pub(crate) mod id;
#[cfg(test)]
pub(crate) mod mutants;
pub(crate) mod names;
pub(crate) mod other_rules;
pub(crate) mod policy;
pub(crate) mod tenants;
pub(crate) mod unverified;
pub(crate) mod verified;
pub(crate) mod verify;
pub(crate) mod without_key;
