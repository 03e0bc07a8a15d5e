//! Sessions in the memory of every process: each sends the others copies of what changes. This is the
//! usual in-memory session clustering.
//!
//! 1. A request is answered after the local write. Copies are sent every 50 ms: a replica that dies takes
//!    at most its last 50 ms with it.
//! 2. Replicas find each other by announcements; one that is silent for a second is gone.
//! 3. The replica that last changed a session owns it. The owner sends it to newcomers, and ends it when
//!    it expires. If the owner is gone, the one with the lowest name of the others takes over.
//! 4. A newcomer has received the sessions of every peer before it is ready.
//! 5. The balancer has affinity: another replica does not know what was not copied yet.

pub(crate) mod discovery;
pub(crate) mod link;
pub(crate) mod message;
pub(crate) mod server;
pub(crate) mod table;
#[cfg(test)]
mod tests;
