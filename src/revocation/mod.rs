//! Revocations: sessions, subjects and logins that end before they expire.

pub(crate) mod board;
pub(crate) mod builder;
pub(crate) mod check;
pub(crate) mod claims;
pub(crate) mod digest;
pub(crate) mod filter;
pub(crate) mod handle;
pub(crate) mod known;
pub(crate) mod loss;
pub(crate) mod piece;
pub(crate) mod place;
pub(crate) mod reader;
pub(crate) mod rules;
pub(crate) mod status;
pub(crate) mod table;
#[cfg(all(test, shuttle))]
mod table_model;
#[cfg(all(test, not(miri)))]
mod table_tests;
pub(crate) mod versions;
pub(crate) mod waiting;
pub(crate) mod writer;
pub(crate) mod writing;
