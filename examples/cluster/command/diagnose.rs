//! `diagnose`: "users report random logouts".

use crate::{command::flags::Flags, diagnose::cause::Cause};

/// The text of `diagnose --help`.
pub(crate) const USAGE: &str = "\
\"Users report random logouts\": breaks a small cluster in one of eight ways, and shows how counters,
status, log and the explanation of one token lead to the cause. Exit status 0 only if they do.

Usage: cargo run --release --example cluster -- diagnose [options]

Options:
  --causes A,B,…   which of them (all):
      other-keys          a replica with another store
      wrong-clock         a replica whose clock is ahead
      purged-store        the store is emptied, and every replica restarts
      dropped-cookie      a proxy that removes the cookie
      rewritten-host      a proxy that replaces `Host`
      shared-cookie-name  another service with a cookie of the same name
      expired             a session that has expired
      revoked             a session that was revoked";

/// The options of `diagnose`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiagnoseOptions {
    /// Which causes, in this order.
    pub(crate) causes: Vec<Cause>,
}

impl DiagnoseOptions {
    /// Takes the options.
    ///
    /// # Errors
    /// If a cause is unknown.
    pub(crate) fn take(flags: &mut Flags) -> Result<Self, String> {
        let causes = flags.list("causes")?.unwrap_or_else(|| Cause::ALL.to_vec());
        Ok(Self { causes })
    }
}
