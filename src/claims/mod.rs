//! A session token's payload: the registered claims, and the application's own flat beside them.

pub(crate) mod extra;
pub(crate) mod finite;
pub(crate) mod issuer;
pub(crate) mod names;
pub(crate) mod read;
pub(crate) mod strict;
pub(crate) mod values;
pub(crate) mod write;
