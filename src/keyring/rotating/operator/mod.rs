//! An operator's handle to a ring in a store, which is none of its replicas.

pub(crate) mod change;
pub(crate) mod handle;
pub(crate) mod records;
