//! The notes of founding in a store: small entries, one per newcomer and one per answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base64url;
use crate::clock::Timestamp;
use crate::crypto::backend;
use crate::store::contract::{Entry, EntryName};

/// The kind of a note about the newcomer whose ID is in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A replica found the place empty, and waits.
    Newcomer,
    /// A live replica holds the content, and restores it for that newcomer.
    Holder,
}

/// The form of a note. The time serves only to remove notes whose writer died.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u64,
    at: Timestamp,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Newcomer => "newcomer-",
            Self::Holder => "holder-",
        }
    }

    /// The name of this kind of note about the newcomer of that ID.
    pub(crate) fn name(self, id: &str) -> EntryName {
        let name = EntryName::parse(format!("{}{id}", self.prefix()));
        name.expect("a prefix, and an ID in base64url")
    }

    /// The note of this kind, written now.
    pub(crate) fn entry(self, id: &str, now: Timestamp) -> Entry {
        let value = serde_json::to_vec(&Wire { version: VERSION, at: now }).unwrap_or_default();
        Entry::new(self.name(id), value)
    }
}

/// The notes that one read of a place found: about which newcomer, and when each was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(pub(crate) BTreeMap<(Kind, String), Timestamp>);

impl Notes {
    /// Adds an entry if its name is that of a note; `None` if it is another entry.
    ///
    /// # Errors
    ///
    /// The reason for skipping it, if this version does not understand the note.
    pub(crate) fn take(&mut self, entry: &Entry) -> Option<Result<(), String>> {
        let name = entry.name.as_str();
        let (kind, id) = [Kind::Newcomer, Kind::Holder]
            .into_iter()
            .find_map(|kind| Some((kind, name.strip_prefix(kind.prefix())?)))?;
        Some(match parse(id, &entry.value) {
            Ok(at) => {
                self.0.insert((kind, id.to_owned()), at);
                Ok(())
            }
            Err(reason) => Err(format!("invalid note of a new replica: {reason}; remove it")),
        })
    }

    /// How many newcomers wait that no holder has answered.
    pub(crate) fn newcomers(&self) -> usize {
        let newcomers = self.0.keys().filter(|(kind, _)| *kind == Kind::Newcomer);
        newcomers.filter(|(_, id)| !self.has(Kind::Holder, id)).count()
    }

    pub(crate) fn has(&self, kind: Kind, id: &str) -> bool {
        self.0.contains_key(&(kind, id.to_owned()))
    }
}

/// An ID that no other newcomer has. Without randomness newcomers share one: they then wait for longer.
pub(crate) fn id() -> String {
    let mut id = [0; ID_BYTES];
    let _ = backend::fill_random(&mut id);
    base64url::encode(id)
}

fn parse(id: &str, value: &[u8]) -> Result<Timestamp, &'static str> {
    if base64url::decode(id).map_or(0, |id| id.len()) != ID_BYTES {
        return Err("its name does not end with an ID of 16 characters");
    }
    match serde_json::from_slice(value) {
        Ok(Wire { version: VERSION, at }) => Ok(at),
        Ok(_) => Err("its version is not 1"),
        Err(_) => Err("its content is not an object of `version` and `at`"),
    }
}

const VERSION: u64 = 1;
const ID_BYTES: usize = 12;
