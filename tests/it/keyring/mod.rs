//! The key ring, by where its keys come from.

mod derived;
mod directory;
mod issuer;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod jwks;
mod rotating;
