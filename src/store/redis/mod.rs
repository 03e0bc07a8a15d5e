//! A store in Redis or Valkey.

pub(crate) mod address;
pub(crate) mod channel;
pub(crate) mod cluster;
pub(crate) mod connection;
pub(crate) mod feed;
pub(crate) mod feed_read;
pub(crate) mod feed_write;
pub(crate) mod majority;
pub(crate) mod redeem;
pub(crate) mod scripts;
pub(crate) mod sentinel;
pub(crate) mod server;
pub(crate) mod shard;
pub(crate) mod store;
