//! Shared by the conformance tests: where published vectors lie, how a token is asked for its
//! verdict in every way that there is, an issuer to follow, and which tests there are.

mod issuer;
mod named_tests;
mod published;
mod verdict;

pub use issuer::followed;
pub use named_tests::is_test;
pub use published::{count, published, read, report};
pub use verdict::{Service, Verdict};
