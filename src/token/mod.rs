//! Text to claims and back: the strict compact JWS (RFC 7515, section 7.1) of a session.

mod decode;
mod encode;
mod policy;
mod verify;

pub(crate) use encode::{TokenClaims, encode};
pub(crate) use policy::{Policy, TokenType, subtype};
#[cfg(feature = "test-util")]
pub(crate) use verify::authenticate;
pub(crate) use verify::{Verified, verify};
