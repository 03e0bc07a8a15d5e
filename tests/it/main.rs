//! Tests through the public API: one binary, a module per subject.

mod store;
