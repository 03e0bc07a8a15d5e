//! Sessions in the memory of every process: each sends the others copies of what changes.

pub(crate) mod discovery;
