//! A store in PostgreSQL.

pub(crate) mod current;
pub(crate) mod store;
