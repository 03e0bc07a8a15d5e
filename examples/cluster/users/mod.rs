//! The users: their cookie jars, their requests, and the counts of the answers.

pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod crowd;
pub(crate) mod load;
pub(crate) mod tally;
