//! The key ring, by where its keys come from.

mod derived;
mod directory;
mod issuer;
mod jwks;
mod rotating;
