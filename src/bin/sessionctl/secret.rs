//! Secrets: from the environment or a file, never from the command line.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use crate::failure::Failure;
use crate::store::address::has_password;

/// Refuses a password on the command line. The error does not repeat it.
///
/// # Errors
///
/// If an argument is a URL with a password.
pub(crate) fn check_arguments(arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let mut arguments = arguments.skip(1);
    if !arguments.any(|argument| has_password(&argument.to_string_lossy())) {
        return Ok(());
    }
    Err(Failure::usage(
        "found a URL with a password in an argument, where other users of this machine can read it: \
         put the store's URL into the variable SESSIONCTL_STORE or into a file for `--store-file`, and \
         change the password",
    ))
}

/// The value of a variable; `None` if it is not set or empty.
///
/// # Errors
///
/// If it is not Unicode. The error does not show it.
pub(crate) fn environment(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) => Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("{name} is not Unicode: expected text")))
        }
    }
}

/// The bytes of a file. `place` is the option that names it.
///
/// # Errors
///
/// If it cannot be read, or is longer than any secret.
pub(crate) fn file(place: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::usage(format!("{place}: could not read the file: {error}")))?;
    if bytes.len() > LONGEST {
        let length = bytes.len();
        return Err(Failure::usage(format!(
            "{place}: the file has {length} bytes, expected at most {LONGEST}"
        )));
    }
    Ok(bytes)
}

const LONGEST: usize = 64 * 1024;
