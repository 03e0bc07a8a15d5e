//! Options that several commands share.

use std::path::{Path, PathBuf};

use clap::Args;
use tower_jwt_session::SealingKey;

use crate::failure::Failure;
use crate::secret;

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct OutputOptions {
    /// Prints one JSON object on standard output instead of words.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Does not ask: for scripts.
    #[arg(long, global = true)]
    pub(crate) yes: bool,
}

/// Which ring of a store.
#[derive(Args, Debug)]
pub(crate) struct RingOptions {
    /// The ring's name, as the service gives it to `KeyRing::builder`. Otherwise SESSIONCTL_RING.
    #[arg(long = "ring", value_name = "NAME")]
    name: Option<String>,
}

impl RingOptions {
    /// The ring's name.
    ///
    /// # Errors
    ///
    /// If none is given.
    pub(crate) fn name(&self) -> Result<String, Failure> {
        let name = match &self.name {
            Some(name) => Some(name.clone()),
            None => secret::environment("SESSIONCTL_RING")?,
        };
        name.ok_or_else(|| {
            Failure::usage(
                "--ring is missing: expected the name that the service gives to \
                 `KeyRing::builder`; give `--ring NAME` or set SESSIONCTL_RING",
            )
        })
    }
}

/// The names of the service's issuer: those that are given, or those of the variable; none if neither is.
///
/// # Errors
///
/// If the variable is not Unicode.
pub(crate) fn issuers(given: Vec<String>) -> Result<Vec<String>, Failure> {
    names(given, "SESSIONCTL_ISSUER")
}

/// The same for the service's own names.
///
/// # Errors
///
/// If the variable is not Unicode.
pub(crate) fn audiences(given: Vec<String>) -> Result<Vec<String>, Failure> {
    names(given, "SESSIONCTL_AUDIENCE")
}

fn names(given: Vec<String>, variable: &str) -> Result<Vec<String>, Failure> {
    if !given.is_empty() {
        return Ok(given);
    }
    let names = secret::environment(variable)?.unwrap_or_default();
    Ok(names.split_whitespace().map(str::to_owned).collect())
}

/// The keys that seal the private keys in a store.
#[derive(Args, Debug)]
pub(crate) struct SealingOptions {
    /// A file with a sealing key: 32 bytes as base64, as hex, or raw. May be repeated; the first
    /// seals. Otherwise SESSIONCTL_SEALING_KEY_FILES names files, with a colon between two, or
    /// SESSIONCTL_SEALING_KEY has the key as base64 or hex.
    #[arg(long = "sealing-key-file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl SealingOptions {
    /// The sealing keys that are given.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or is not a sealing key. The error does not show it.
    pub(crate) fn keys(&self) -> Result<Vec<SealingKey>, Failure> {
        let read = |option: &str, path: &Path| {
            let place = format!("{option} {}", path.display());
            sealing_key(&place, &secret::file(&place, path)?)
        };
        if !self.files.is_empty() {
            return self.files.iter().map(|path| read("--sealing-key-file", path)).collect();
        }
        match (secret::environment(VARIABLE)?, secret::environment(FILES_VARIABLE)?) {
            (text, None) => {
                text.iter().map(|text| sealing_key(VARIABLE, text.as_bytes())).collect()
            }
            (None, Some(paths)) => {
                std::env::split_paths(&paths).map(|path| read(FILES_VARIABLE, &path)).collect()
            }
            (Some(_), Some(_)) => Err(Failure::usage(format!(
                "found {VARIABLE} and {FILES_VARIABLE}: expected one of them; unset the other"
            ))),
        }
    }
}

const VARIABLE: &str = "SESSIONCTL_SEALING_KEY";
const FILES_VARIABLE: &str = "SESSIONCTL_SEALING_KEY_FILES";

fn sealing_key(place: &str, bytes: &[u8]) -> Result<SealingKey, Failure> {
    let key = match std::str::from_utf8(bytes).map(str::trim) {
        Ok(text) if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            SealingKey::from_hex(text)
        }
        Ok(text) if place == VARIABLE && Path::new(text).exists() => {
            return Err(Failure::usage(format!(
                "{VARIABLE}: found a path, expected the key itself; put the path into {FILES_VARIABLE}"
            )));
        }
        Ok(text) if text.split_whitespace().count() > 1 => {
            let parts = text.split_whitespace().count();
            return Err(Failure::usage(format!(
                "{place}: found {parts} words or lines, expected one sealing key: 32 bytes as base64 or as 64 \
                 hexadecimal digits; put each key into a file, and give `--sealing-key-file FILE` once for each"
            )));
        }
        Ok(text) => SealingKey::from_base64(text),
        Err(_) => SealingKey::new(bytes),
    };
    key.map_err(|error| Failure::usage(format!("{place}: {error}")))
}
