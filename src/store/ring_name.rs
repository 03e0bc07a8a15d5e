//! The name of a ring of keys, or of revocations, in a store.

use std::sync::Arc;

use crate::error::build::BuildError;

/// Parses the name of a ring, which gets a suffix in the store. `setting` says whose name it is.
///
/// # Errors
///
/// If the two together are not 1 to 64 of `a-z A-Z 0-9 . _ -`, or begin with a dot.
pub(crate) fn parse(
    setting: &'static str,
    name: &str,
    suffix: &str,
) -> Result<Arc<str>, BuildError> {
    let most = MAX_BYTES - suffix.len();
    if (1..=most).contains(&name.len()) && is_valid(name) {
        return Ok(format!("{name}{suffix}").into());
    }
    let fix = format!("use 1 to {most} of a-z A-Z 0-9 . _ -, the first not a dot");
    Err(BuildError::invalid(setting, format_args!("{name:?}"), fix))
}

/// Whether that is the name of a ring.
pub(crate) fn is_valid(name: &str) -> bool {
    let form = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_BYTES).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(form)
}

const MAX_BYTES: usize = 64;
