//! Where the replicas' keys and revocations meet.

pub(crate) mod choice;
pub(crate) mod keys;
pub(crate) mod meeting;
pub(crate) mod server;
