//! One run of one fault: users, a watch, and a verdict.

pub(crate) mod ask;
pub(crate) mod copies;
pub(crate) mod heal;
pub(crate) mod load;
pub mod outcome;
pub mod perform;
pub(crate) mod signs;
pub(crate) mod tally;
pub(crate) mod timeline;
pub(crate) mod watch;
