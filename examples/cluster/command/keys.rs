//! `keys`: the public keys as files, for a proxy that verifies tokens.

use std::{path::PathBuf, time::Duration};

use crate::command::flags::Flags;

/// The text of `keys --help`.
pub(crate) const USAGE: &str = "\
Writes the public keys of ES256 as files, for HAProxy's `jwt_verify`: KID.pem for each, and keys.cfg,
by which HAProxy loads them (examples/deploy/haproxy-jwt.cfg).

Usage: cargo run --release --example cluster -- keys --jwks URL --into DIR [options]

Options:
  --jwks URL       the keys of a replica: http://host:port/.well-known/jwks.json
  --into DIR       a directory for these files alone; made if it is missing
  --every SECONDS  asks again and again, 1 to 3600; at most the `max-age` of the answer (once)
  --then COMMAND   what the shell runs after a change, such as 'systemctl reload haproxy'";

/// The options of `keys`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeysOptions {
    /// Where the keys are published.
    pub(crate) jwks: String,
    /// The directory of the files.
    pub(crate) into: PathBuf,
    /// How often to ask; once if there is none.
    pub(crate) every: Option<Duration>,
    /// What to run after a change.
    pub(crate) then: Option<String>,
}

impl KeysOptions {
    /// Takes the options.
    ///
    /// # Errors
    /// If one is missing or wrong.
    pub(crate) fn take(flags: &mut Flags) -> Result<Self, String> {
        let jwks: String = flags.need("jwks")?;
        if !jwks.starts_with("http://") {
            return Err(format!("--jwks {jwks}: expected http://host:port/.well-known/jwks.json"));
        }
        Ok(Self {
            jwks,
            into: flags.need("into")?,
            every: flags.seconds("every", 1..=3600)?,
            then: flags.take("then")?,
        })
    }
}
