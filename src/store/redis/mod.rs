//! A store in Redis or Valkey.

pub(crate) mod address;
pub(crate) mod channel;
pub(crate) mod cluster;
pub(crate) mod connection;
pub(crate) mod majority;
pub(crate) mod redeem;
pub(crate) mod sentinel;
pub(crate) mod server;
pub(crate) mod store;
