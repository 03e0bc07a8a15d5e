//! `keys`: the list of its commands.

use clap::Subcommand;

use crate::commands::keys::change::{ReplaceAll, Revoke, Rotate};
use crate::commands::keys::status::Status;
use crate::commands::keys::watch::Watch;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// The commands about keys. They take algorithm and times from the ring's records, and make no key.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Shows the keys of a ring: which one signs, which one signs next, and until when each is valid.
    Status(Status),
    /// Rotates ahead of time: the next key takes over once every replica and every cache of the JWKS has
    /// it. Nobody is logged out.
    Rotate(Rotate),
    /// Revokes a leaked key: it neither signs nor verifies any more. Users with its tokens log in again.
    Revoke(Revoke),
    /// Revokes every key of a leaked store; live replicas make new ones. All users log in again.
    ReplaceAll(ReplaceAll),
    /// Prints changes of a ring as they come, until Ctrl-C.
    Watch(Watch),
}

impl Command {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::Status(command) => command.run(terminal).await,
            Self::Rotate(command) => command.run(terminal).await,
            Self::Revoke(command) => command.run(terminal).await,
            Self::ReplaceAll(command) => command.run(terminal).await,
            Self::Watch(command) => command.run(terminal).await,
        }
    }
}
