//! Where the replicas' keys and revocations meet.

pub(crate) mod choice;
pub(crate) mod console;
pub(crate) mod faulty;
pub(crate) mod keys;
pub(crate) mod link;
pub(crate) mod meeting;
pub(crate) mod sealing_key;
pub(crate) mod server;
