//! The options that say where a store is, and opening it.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Failure;
use crate::secret;
use crate::store::address::{Address, FORMS};

/// Where the store is.
#[derive(Args, Debug)]
pub(crate) struct StoreOptions {
    /// The store, without a password: file:DIR, redis://HOST:PORT/DB, rediss://… (TLS),
    /// sentinel:URL,URL,SERVICE, cluster:URL,URL or postgres://USER@HOST/DATABASE. Otherwise
    /// SESSIONCTL_STORE, which may have a password, or SESSIONCTL_STORE_FILE, which names a file.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// A file with the store's URL, which may have a password.
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    store_file: Option<PathBuf>,
}

impl StoreOptions {
    /// Reads where the store is, without connecting.
    ///
    /// # Errors
    ///
    /// If no store is given, or its form is unknown.
    pub(crate) fn address(&self) -> Result<Address, Failure> {
        self.given()?.ok_or_else(|| Failure::usage(format!("--store is missing: expected {FORMS}")))
    }

    /// Reads where the store is, if one is given.
    ///
    /// # Errors
    ///
    /// If its form is unknown.
    pub(crate) fn given(&self) -> Result<Option<Address>, Failure> {
        let (place, text) = if let Some(text) = &self.store {
            ("--store".to_owned(), text.clone())
        } else if let Some(path) = &self.store_file {
            in_file("--store-file", path)?
        } else {
            match (secret::environment(VARIABLE)?, secret::environment(FILE_VARIABLE)?) {
                (Some(text), None) => (VARIABLE.to_owned(), text),
                (None, Some(path)) => in_file(FILE_VARIABLE, path.as_ref())?,
                (None, None) => return Ok(None),
                (Some(_), Some(_)) => {
                    return Err(Failure::usage(format!(
                        "found {VARIABLE} and {FILE_VARIABLE}: expected one of them; unset the other"
                    )));
                }
            }
        };
        let address = Address::parse(&text);
        let address = address.map_err(|problem| Failure::usage(format!("{place}: {problem}")))?;
        Ok(Some(address))
    }
}

/// The URL in a file, with the place to name in an error about it.
fn in_file(option: &str, path: &Path) -> Result<(String, String), Failure> {
    let place = format!("{option} {}", path.display());
    if path.is_dir() || path.to_string_lossy().starts_with("file:") {
        return Err(Failure::usage(format!(
            "{place}: expected a file that holds the store's URL; for a directory give `--store file:DIR`, or set \
             {VARIABLE}=file:DIR"
        )));
    }
    let text = String::from_utf8(secret::file(&place, path)?);
    let text = text.map_err(|_| Failure::usage(format!("{place}: is not UTF-8")))?;
    Ok((place, text))
}

const VARIABLE: &str = "SESSIONCTL_STORE";
const FILE_VARIABLE: &str = "SESSIONCTL_STORE_FILE";
