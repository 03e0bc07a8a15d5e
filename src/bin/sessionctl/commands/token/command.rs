//! The commands of `token`.

use clap::Subcommand;

use crate::commands::token::explain::Explain;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// The commands about tokens.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Explains a token from standard input: header, claims, times, each check in the service's order with
    /// found and expected, and what would have to change for it to be accepted.
    ///
    /// Paste the token, `Bearer …`, a cookie or a whole `Set-Cookie:` or `Authorization:` line. It is sent
    /// nowhere, and neither it nor its signature is printed. Without a store or a JWKS, every check is made
    /// that needs no key. Nothing is written to the store.
    Explain(Box<Explain>),
}

impl Command {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::Explain(explain) => explain.run(terminal).await,
        }
    }
}
