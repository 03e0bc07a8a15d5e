//! The common form of entries: a JSON object with `version`. Entries of a newer version are distinguished from
//! damaged ones.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An entry whose content is one member.
#[derive(Serialize, Deserialize)]
pub(crate) struct Versioned<T> {
    pub(crate) version: u64,
    pub(crate) entry: T,
}

/// The format of an entry.
pub(crate) enum Format {
    Current,
    /// A newer version of this crate wrote it.
    Newer(u64),
}

/// Reads the format of an entry.
///
/// # Errors
///
/// If it has none, or one older than `current`, with the reason.
pub(crate) fn format_of(value: &[u8], current: u64) -> Result<Format, String> {
    #[derive(Deserialize)]
    struct Head {
        version: u64,
    }
    let Head { version } = parse(value)?;
    if version < current {
        return Err(format!(
            "found format {version}, which no release of this crate writes: remove the entry"
        ));
    }
    Ok(if version == current { Format::Current } else { Format::Newer(version) })
}

/// Parses JSON.
///
/// # Errors
///
/// With the position: the error's own text may quote the content.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json)
        .map_err(|error| format!("not a record: line {}, column {}", error.line(), error.column()))
}
