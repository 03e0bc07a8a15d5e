//! Text to claims and back: the strict compact JWS (RFC 7515, section 7.1) of a session.

mod cache;
mod checks;
mod decode;
mod encode;
mod id;
#[cfg(test)]
mod mutants;
mod policy;
mod verified;
mod verify;

pub(crate) use cache::TokenCache;
pub(crate) use checks::{Check, Nobody, Observer};
pub(crate) use decode::readable;
pub(crate) use encode::{Compact, TokenClaims, encode, room, shortest};
pub(crate) use id::Ids;
pub(crate) use policy::{Policy, TokenType, subtype};
pub(crate) use verified::{Shared, Verified};
#[cfg(feature = "test-util")]
pub(crate) use verify::authenticate;
pub(crate) use verify::verify;
