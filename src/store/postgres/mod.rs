//! A store in PostgreSQL.

pub(crate) mod channel;
pub(crate) mod current;
pub(crate) mod expiry;
pub(crate) mod feed;
pub(crate) mod feed_hint;
pub(crate) mod feed_place;
pub(crate) mod feed_read;
pub(crate) mod migration;
pub(crate) mod registers;
pub(crate) mod store;
