//! A failed command: its exit status, and a text that names setting, found, expected and fix.

use std::error::Error;
use std::fmt;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: u8,
    text: String,
}

impl Failure {
    /// It was tried and failed, or was declined: status 1.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self { status: 1, text: text.into() }
    }

    /// The command line or a setting is wrong, and nothing was done: status 2.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { status: 2, text: text.into() }
    }

    /// Ctrl-C: status 130, as shells report it.
    pub(crate) fn interrupted(text: impl Into<String>) -> Self {
        Self { status: 130, text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An error of the library: status 1, with its sources, each once.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        Self::failed(text)
    }
}
