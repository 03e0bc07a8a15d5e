//! The name of a ring of keys, or of revocations, in a store: parsed once.

use std::sync::Arc;

use crate::error::build::BuildError;

/// A name that every store can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RingName(Arc<str>);

impl RingName {
    /// Parses the name of a ring.
    ///
    /// # Errors
    ///
    /// If it is not 1 to 64 of `a-z A-Z 0-9 . _ -`, or begins with a dot.
    pub(crate) fn parse(name: &str) -> Result<Self, BuildError> {
        Self::with_suffix(name, "")
    }

    /// Parses a name that gets a suffix in the store.
    ///
    /// # Errors
    ///
    /// If the two together are not the name of a ring.
    pub(crate) fn with_suffix(name: &str, suffix: &str) -> Result<Self, BuildError> {
        let most = MAX_BYTES - suffix.len();
        if (1..=most).contains(&name.len()) && Self::is_valid(name) {
            return Ok(Self(format!("{name}{suffix}").into()));
        }
        let fix = format!("use 1 to {most} of a-z A-Z 0-9 . _ -, the first not a dot");
        Err(BuildError::invalid("name", format_args!("{name:?}"), fix))
    }

    /// Whether that is the name of a ring.
    pub(crate) fn is_valid(name: &str) -> bool {
        let form = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        (1..=MAX_BYTES).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(form)
    }

    pub(crate) fn into_shared(self) -> Arc<str> {
        self.0
    }
}

const MAX_BYTES: usize = 64;
