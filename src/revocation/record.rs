//! An entry of the log of marks: what it says in the store, parsed and checked.

use serde::{Deserialize, Serialize};

use super::marks::Mark;
use crate::clock::Timestamp;
use crate::store::{Entry, EntryName};

/// The marks that were made together, under one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) version: u64,
    pub(super) marks: Vec<Mark>,
}

/// What an entry of the log turned out to be.
#[derive(Debug)]
pub(super) enum Parsed {
    Record(Record),
    /// A newer version of this crate wrote it: what it says can't be known. It is kept.
    Newer {
        format: u64,
        until: Option<Timestamp>,
    },
    /// It is damaged or foreign, for this reason.
    Corrupt(String),
}

/// The form of an entry. Every format has `version`, and keeps `until`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<M> {
    /// Of this form.
    version: u64,
    /// The version of the marks.
    rv: u64,
    /// When the last of the marks hits nothing any more.
    until: Timestamp,
    marks: M,
}

impl Record {
    /// The entry that says this, at that place in the log.
    pub(super) fn to_entry(&self, position: u64) -> Entry {
        let (rv, marks) = (self.version, &self.marks);
        let wire = Wire { version: FORMAT, rv, until: self.until(), marks };
        // Structs of strings and numbers always serialise.
        let value = serde_json::to_vec(&wire).unwrap_or_default();
        Entry { name: name(position), value: value.into() }
    }

    pub(super) fn until(&self) -> Timestamp {
        let untils = self.marks.iter().map(Mark::until);
        untils.max().unwrap_or(Timestamp::from_unix_millis(0))
    }
}

/// How many bytes a mark adds to an entry.
pub(super) fn size(mark: &Mark) -> usize {
    serde_json::to_vec(mark).map_or(usize::MAX, |json| json.len() + 1)
}

/// As many bytes of marks as an entry holds.
pub(super) const CAPACITY: usize = Entry::MAX_BYTES - 256;

pub(super) fn parse(value: &[u8]) -> Parsed {
    #[derive(Deserialize)]
    struct Head {
        version: u64,
        until: Option<Timestamp>,
    }
    let head: Head = match serde_json::from_slice(value) {
        Ok(head) => head,
        Err(error) => return corrupt(&error),
    };
    match head.version {
        FORMAT => match serde_json::from_slice::<Wire<Vec<Mark>>>(value) {
            Ok(Wire { rv, .. }) if rv > MAX_VERSION => {
                Parsed::Corrupt("its rv is too high".to_owned())
            }
            Ok(Wire { rv, marks, .. }) => Parsed::Record(Record { version: rv, marks }),
            Err(error) => corrupt(&error),
        },
        0 => Parsed::Corrupt("not a record: version 0".to_owned()),
        format => Parsed::Newer { format, until: head.until },
    }
}

/// Where it ends to be a record; the error's own text may quote the content.
fn corrupt(error: &serde_json::Error) -> Parsed {
    Parsed::Corrupt(format!("not a record: line {}, column {}", error.line(), error.column()))
}

/// The name of the entry at a place in the log.
pub(super) fn name(position: u64) -> EntryName {
    let name = EntryName::parse(format!("{MARKS}{position:020}"));
    name.expect("letters, a hyphen and digits")
}

/// The place in the log of the entry of that name.
pub(super) fn position(name: &EntryName) -> Option<u64> {
    let digits = name.as_str().strip_prefix(MARKS)?;
    let well_formed = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    well_formed.then(|| digits.parse().ok()).flatten().filter(|position| *position < MAX_POSITION)
}

const FORMAT: u64 = 1;
const MARKS: &str = "marks-";
/// Room for ever more at the end.
const MAX_POSITION: u64 = u64::MAX / 2;
/// What every JSON parser can hold.
const MAX_VERSION: u64 = (1 << 53) - 1;
