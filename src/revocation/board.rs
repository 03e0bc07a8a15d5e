//! The entries beside a feed of revocations: the marker that it was founded, how long records are needed,
//! who restores which part of it, and the notes of new replicas.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base64url;
use crate::clock::Timestamp;
use crate::replica::note::Notes;
use crate::store::contract::{Entry, EntryName, Loaded, Skipped};
use crate::store::versioned::{self, Format};

/// These entries, as they were read.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// The incarnation of the feed that the marker names. It is written after all else.
    founded: Option<String>,
    /// The longest for which a replica needs records to be kept.
    pub(crate) needed: Duration,
    /// Which parts are being restored, and since when.
    pub(crate) restoring: BTreeMap<usize, Timestamp>,
    pub(crate) skipped: Vec<Skipped>,
    /// The highest format that only a newer version of this crate understands.
    pub(crate) newer_format: Option<u64>,
}

impl Board {
    pub(crate) fn read(loaded: Loaded) -> (Self, Notes) {
        let mut board = Self { skipped: loaded.skipped, ..Self::default() };
        let mut notes = Notes::default();
        for entry in loaded.entries {
            let name = entry.name.as_str();
            if *name == *FOUNDED {
                match content::<Founded>(&entry.value) {
                    Ok(Founded { incarnation, .. }) => board.founded = Some(incarnation),
                    Err(reason) => board.take_unknown(&entry, reason),
                }
            } else if let Some(needed) = number(name, NEEDED).map(Duration::from_secs) {
                let is_own = needed <= LONGEST_NEED && entry.name == self::needed(needed).name;
                match is_own {
                    true => board.needed = board.needed.max(needed),
                    false => board.skip(&entry.name, "no settings request this".to_owned()),
                }
            } else if let Some(part) = number(name, RESTORING) {
                let claim = content::<Restoring>(&entry.value).unwrap_or_else(|reason| {
                    board.skip(&entry.name, reason);
                    // As one whose writer died: it would keep everyone from that part.
                    Restoring { version: FORMAT, since: Timestamp::from_unix_millis(i64::MIN) }
                });
                board.restoring.insert(part as usize, claim.since);
            } else {
                match notes.take(&entry) {
                    Some(Ok(())) => {}
                    Some(Err(reason)) => board.skip(&entry.name, reason),
                    None if entry.name.is_probe() => {}
                    None => {
                        let reason = "nothing of revocations has such a name";
                        board.take_unknown(&entry, reason.to_owned());
                    }
                }
            }
        }
        (board, notes)
    }

    /// Whether the marker is that of the feed with this incarnation. One that a lost feed has left behind
    /// is not.
    pub(crate) fn is_marked(&self, incarnation: &[u8]) -> bool {
        self.founded.as_ref().is_some_and(|founded| *founded == base64url::encode(incarnation))
    }

    fn take_unknown(&mut self, entry: &Entry, reason: String) {
        match versioned::format_of(&entry.value, FORMAT) {
            Ok(Format::Newer(format)) => {
                self.newer_format = self.newer_format.max(Some(format));
                let reason =
                    format!("written by a newer version (format {format}): upgrade this replica");
                self.skip(&entry.name, reason);
            }
            _ => self.skip(&entry.name, reason),
        }
    }

    fn skip(&mut self, name: &EntryName, reason: String) {
        self.skipped.push(Skipped::new(name.as_str(), reason));
    }
}

/// The marker that the feed with this incarnation was founded, and that all which was restored into it is
/// there.
pub(crate) fn founded(incarnation: &[u8]) -> Entry {
    let founded = Founded { version: FORMAT, incarnation: base64url::encode(incarnation) };
    entry(FOUNDED.to_owned(), serde_json::to_string(&founded).unwrap_or_default())
}

/// The request to keep records for so long. It is all in the name, so that the longest is found in any
/// order of writes.
pub(crate) fn needed(needed: Duration) -> Entry {
    entry(format!("{NEEDED}{:012}", needed.as_secs()), format!("{{\"version\":{FORMAT}}}"))
}

/// The claim to restore that part of the feed, made now.
pub(crate) fn restoring(part: usize, now: Timestamp) -> Entry {
    let value = serde_json::to_string(&Restoring { version: FORMAT, since: now });
    entry(format!("{RESTORING}{part}"), value.unwrap_or_default())
}

fn entry(name: String, value: String) -> Entry {
    Entry::new(EntryName::parse(name).expect("letters, hyphens and digits"), value.into_bytes())
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Founded {
    version: u64,
    incarnation: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restoring {
    version: u64,
    since: Timestamp,
}

fn content<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    match versioned::format_of(value, FORMAT)? {
        Format::Current => versioned::parse(value),
        Format::Newer(format) => Err(format!("has format {format}, expected {FORMAT}")),
    }
}

fn number(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

const FORMAT: u64 = 1;
const FOUNDED: &str = "founded";
const NEEDED: &str = "kept-";
const RESTORING: &str = "restoring-";
/// More than four settings of ten years each.
const LONGEST_NEED: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
