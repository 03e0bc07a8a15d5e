//! A store in PostgreSQL.

pub(crate) mod current;
#[cfg(feature = "postgres")]
pub(crate) mod store;
