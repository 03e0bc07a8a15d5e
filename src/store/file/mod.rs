//! A store in a directory.

pub(crate) mod directory;
pub(crate) mod feed;
pub(crate) mod feed_lock;
pub(crate) mod frames;
pub(crate) mod hint;
pub(crate) mod partitions;
pub(crate) mod places;
pub(crate) mod reading;
pub(crate) mod redemptions;
pub(crate) mod registers;
pub(crate) mod segments;
pub(crate) mod store;
pub(crate) mod temporary;
