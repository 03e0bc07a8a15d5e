//! An entry of the log of revocations: what it says in the store, parsed and checked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::revocation::set::Revocation;
use crate::store::contract::{Entry, EntryName, StoreError};
use crate::store::versioned::{self, Format};

/// The revocations that were made together, under one version: the form of an entry. Every format has
/// `version`, and keeps `until`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Of this form.
    version: u64,
    /// The version of the revocations.
    pub(crate) rv: u64,
    /// How long the entry has to be kept, as far as its writer knows: for a reader that does not
    /// understand the rest.
    until: Timestamp,
    pub(crate) revocations: Vec<Revocation>,
}

/// A parsed entry of the log.
#[derive(Debug)]
pub(crate) enum Parsed {
    Record(Record),
    /// A newer version of this crate wrote it: what it says can't be known. It is kept.
    Newer {
        format: u64,
        until: Option<Timestamp>,
    },
    /// It is damaged, or not of this crate, for this reason.
    Corrupt(String),
}

impl Record {
    /// When the last of the revocations was made.
    pub(crate) fn made(&self) -> Timestamp {
        let made = self.revocations.iter().map(Revocation::made);
        made.max().unwrap_or(Timestamp::from_unix_millis(0))
    }
}

/// The entry that says this, at that place in the log, to be kept for so long.
///
/// # Errors
///
/// If what it says can't be read back: then it would be recorded for nobody.
pub(crate) fn entry(
    position: u64,
    rv: u64,
    revocations: Vec<Revocation>,
    retention: Duration,
) -> Result<Entry, StoreError> {
    let mut record = Record { version: FORMAT, rv, until: Timestamp::MAX, revocations };
    record.until = record.made() + retention;
    let value = serde_json::to_vec(&record)
        .map_err(|error| StoreError::with_source("could not write a revocation", error))?;
    match parse(&value) {
        Parsed::Record(parsed) if parsed == record => {}
        Parsed::Corrupt(reason) => {
            let context = format!("a revocation would not be readable: {reason}");
            return Err(StoreError::new(context));
        }
        _ => {
            let context = "a revocation would not be read back as it was written; is this \
                           replica's clock between the years 1970 and 9999?";
            return Err(StoreError::new(context));
        }
    }
    Ok(Entry { name: name(position), value: value.into() })
}

/// How many bytes a revocation adds to an entry.
pub(crate) fn size(revocation: &Revocation) -> usize {
    serde_json::to_vec(revocation).map_or(usize::MAX, |json| json.len() + 1)
}

/// As many bytes of revocations as an entry holds.
pub(crate) const CAPACITY: usize = Entry::MAX_BYTES - 256;

pub(crate) fn parse(value: &[u8]) -> Parsed {
    #[derive(Deserialize)]
    struct Kept {
        until: Option<Timestamp>,
    }
    let parsed = versioned::format_of(value, FORMAT).and_then(|format| match format {
        Format::Current => match versioned::parse::<Record>(value)? {
            record if record.rv > MAX_VERSION => Err("its rv is too high".to_owned()),
            record => Ok(Parsed::Record(record)),
        },
        Format::Newer(format) => {
            let Kept { until } = versioned::parse(value)?;
            Ok(Parsed::Newer { format, until })
        }
    });
    parsed.unwrap_or_else(Parsed::Corrupt)
}

/// The entry that asks everyone to keep revocations for so long. It is all in the name, so that the
/// longest is found in any order of writes.
pub(crate) fn retention_entry(retention: Duration) -> Entry {
    let name = EntryName::parse(format!("{RETENTION}{:012}", retention.as_secs()));
    empty(name.expect("letters, a hyphen and digits"))
}

/// The time that the entry of that name requests, if it is of that kind. None requests more than settings
/// can.
pub(crate) fn retention(name: &EntryName) -> Option<Duration> {
    let retention = number(name, RETENTION, 12).map(Duration::from_secs)?;
    (retention <= LONGEST_RETENTION).then_some(retention)
}

/// The marker that the place was founded, and that all which was restored into it is there.
pub(crate) fn founded_entry() -> Entry {
    empty(founded())
}

/// An entry whose name says all.
fn empty(name: EntryName) -> Entry {
    Entry { name, value: format!("{{\"version\":{FORMAT}}}").into_bytes().into() }
}

/// The name of that marker.
pub(crate) fn founded() -> EntryName {
    EntryName::parse(FOUNDED).expect("letters")
}

/// The highest version that is plausible at a time: versions are times in milliseconds, and clocks are
/// not that far apart.
pub(crate) fn highest_version(now: Timestamp, ahead: Duration) -> u64 {
    u64::try_from((now + ahead).as_unix_millis()).unwrap_or_default().min(MAX_VERSION)
}

/// The name of the entry at a place in the log.
pub(crate) fn name(position: u64) -> EntryName {
    let name = EntryName::parse(format!("{MARKS}{position:020}"));
    name.expect("letters, a hyphen and digits")
}

/// The place in the log of the entry of that name.
pub(crate) fn position(name: &EntryName) -> Option<u64> {
    number(name, MARKS, 20).filter(|position| *position < MAX_POSITION)
}

/// The number behind a prefix, in exactly so many digits.
fn number(name: &EntryName, prefix: &str, digits: usize) -> Option<u64> {
    let text = name.as_str().strip_prefix(prefix)?;
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

const FORMAT: u64 = 1;
const MARKS: &str = "revocations-";
const RETENTION: &str = "kept-";
const FOUNDED: &str = "founded";
/// More than four settings of ten years each.
const LONGEST_RETENTION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Behind the last place in the log: more than a log can come to by its own.
pub(crate) const MAX_POSITION: u64 = 1 << 53;
/// The largest number that every JSON parser can hold (RFC 8259, section 6).
pub(crate) const MAX_VERSION: u64 = (1 << 53) - 1;
