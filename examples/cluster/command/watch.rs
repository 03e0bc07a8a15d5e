//! `watch`: the arms side by side, on a page.

use crate::command::{arm::Arm, flags::Flags};

/// The text of `watch --help`.
pub(crate) const USAGE: &str = "\
Every arm side by side on a page: the same users, the same faults, the same second. Until Ctrl-C.

Usage: cargo run --release --example cluster --features redis -- watch [options]

Options:
  --port P         where the page is on 127.0.0.1; 0 picks a free port (8080)
  --arms A,B,…     the lanes (all that this build and this machine can run)
  --replicas N     of each arm, 1 to 9 (3)
  --users N        of each arm, 1 to 99 (24)";

/// The options of `watch`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WatchOptions {
    /// Where the page is.
    pub(crate) port: u16,
    /// The lanes; without a choice, all that can run.
    pub(crate) arms: Option<Vec<Arm>>,
    /// How many replicas each arm has at the start.
    pub(crate) replicas: usize,
    /// How many users each arm has.
    pub(crate) users: usize,
}

impl WatchOptions {
    /// Takes the options.
    ///
    /// # Errors
    /// If one is wrong.
    pub(crate) fn take(flags: &mut Flags) -> Result<Self, String> {
        let users = match flags.take("users")?.unwrap_or(24) {
            users @ 1..=99 => users,
            users => return Err(format!("--users {users}: expected 1 to 99")),
        };
        Ok(Self {
            port: flags.take("port")?.unwrap_or(8080),
            arms: flags.arms()?,
            replicas: flags.replicas()?.unwrap_or(3),
            users,
        })
    }
}
