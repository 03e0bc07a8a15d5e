//! One scenario against the service before the move, in both of its deployments, and after it.

mod deployments;
mod old_tokens;
mod scenario;
mod support;
