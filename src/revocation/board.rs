//! The entries beside a feed of revocations: the marker that it was founded, how long records are needed,
//! who restores which part of it, and the notes of new replicas.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::replica::note::Notes;
use crate::store::contract::{Entry, EntryName, Loaded, Skipped};
use crate::store::versioned::{self, Format};

/// These entries, as they were read.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// Whether the marker is there, which is written after all else.
    pub(crate) is_marked: bool,
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
                board.is_marked = true;
            } else if let Some(needed) = number(name, NEEDED).map(Duration::from_secs) {
                let is_own = needed <= LONGEST_NEED && entry.name == self::needed(needed).name;
                match is_own {
                    true => board.needed = board.needed.max(needed),
                    false => board.skip(&entry.name, "no settings request this".to_owned()),
                }
            } else if let Some(part) = number(name, RESTORING) {
                let since = restored_since(&entry.value).unwrap_or_else(|reason| {
                    board.skip(&entry.name, reason);
                    // As one whose writer died: it would keep everyone from that part.
                    Timestamp::from_unix_millis(i64::MIN)
                });
                board.restoring.insert(part as usize, since);
            } else {
                match notes.take(&entry) {
                    Some(Ok(())) => {}
                    Some(Err(reason)) => board.skip(&entry.name, reason),
                    None if entry.name.is_probe() => {}
                    None => board.take_stranger(&entry),
                }
            }
        }
        (board, notes)
    }

    fn take_stranger(&mut self, entry: &Entry) {
        match versioned::format_of(&entry.value, FORMAT) {
            Ok(Format::Newer(format)) => {
                self.newer_format = self.newer_format.max(Some(format));
                let reason =
                    format!("written by a newer version (format {format}): upgrade this replica");
                self.skip(&entry.name, reason);
            }
            _ => self.skip(&entry.name, "nothing of revocations has such a name".to_owned()),
        }
    }

    fn skip(&mut self, name: &EntryName, reason: String) {
        self.skipped.push(Skipped::new(name.as_str(), reason));
    }
}

/// The marker that the feed was founded, and that all which was restored into it is there.
pub(crate) fn founded() -> Entry {
    entry(FOUNDED.to_owned(), format!("{{\"version\":{FORMAT}}}"))
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
struct Restoring {
    version: u64,
    since: Timestamp,
}

fn restored_since(value: &[u8]) -> Result<Timestamp, String> {
    match versioned::format_of(value, FORMAT)? {
        Format::Current => Ok(versioned::parse::<Restoring>(value)?.since),
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
