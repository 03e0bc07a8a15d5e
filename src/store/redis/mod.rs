//! A store in Redis or Valkey.

pub(crate) mod channel;
pub(crate) mod connection;
pub(crate) mod redeem;
pub(crate) mod server;
pub(crate) mod store;
