//! A ring that follows another service's JWKS.

pub(crate) mod builder;

#[cfg(feature = "jwks-client")]
pub(crate) mod bundled_client;
#[cfg(feature = "jwks-client")]
pub(crate) mod connect;
pub(crate) mod discovery;
pub(crate) mod document;
pub(crate) mod fetch;
pub(crate) mod found;
pub(crate) mod freshness;
pub(crate) mod http_client;
pub(crate) mod source;
