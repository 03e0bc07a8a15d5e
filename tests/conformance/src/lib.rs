//! What the conformance tests share: where published vectors lie, and how a token is asked for its
//! verdict in every way that there is.

mod published;
mod verdict;

pub use published::{count, published, read, report};
pub use verdict::{Service, Verdict, WAYS};
