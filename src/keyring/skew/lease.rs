//! The store's one clock lease. Only its holder may be unready because of its clock.
//!
//! Leases are entries `clock-<number>`, each inserted if absent. The one with the highest number
//! counts, to the time that it states, by the store's clock. A replica that has read that it is over may
//! insert the next number, which is one replica; the holder may do so before, to renew or to give
//! back. It holds from the next read on that finds it the highest.
//!
//! Lower numbers are removed, the highest never: so a late insert of a number that was removed finds a
//! higher one, and holds nothing. A holder that died is replaced when its lease is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base64url;
use crate::clock::Timestamp;
use crate::crypto::backend;
use crate::store::contract::{Entry, EntryName};
use crate::store::versioned::Versioned;

/// The content of one entry.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    number: u64,
    pub(crate) holder: String,
    until: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct WireLease {
    holder: String,
    /// By the store's clock. A number, since a clock that is wrong may show any time.
    until_millis: i64,
}

impl Lease {
    /// How long it is valid from that time of the store's clock.
    pub(crate) fn left(&self, store_time: Timestamp) -> Duration {
        let left = self.until - store_time;
        // Longer than any is taken for: the store's clock was set back, or it is not one of ours.
        if left > LONGEST { Duration::ZERO } else { left }
    }
}

/// The leases that a read has found.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// The one that counts.
    pub(crate) latest: Option<Lease>,
    numbers: Vec<u64>,
}

impl Leases {
    /// Takes in an entry if it is a lease, by its name; an error if it can't be read: then nobody
    /// holds it.
    pub(crate) fn observe(&mut self, entry: &Entry) -> Option<Result<(), String>> {
        entry.name.as_str().starts_with(PREFIX).then(|| self.observe_lease(entry))
    }

    fn observe_lease(&mut self, entry: &Entry) -> Result<(), String> {
        let number = number(&entry.name).ok_or("unknown name: remove the entry")?;
        let wire: Result<Versioned<WireLease>, _> = serde_json::from_slice(&entry.value);
        let (is_good, holder, until) = match wire {
            Ok(Versioned { version: VERSION, entry: WireLease { holder, until_millis } }) => {
                (true, holder, Timestamp::from_unix_millis(until_millis))
            }
            _ => (false, String::new(), Timestamp::from_unix_millis(i64::MIN)),
        };
        self.numbers.push(number);
        if self.latest.as_ref().is_none_or(|latest| latest.number < number) {
            self.latest = Some(Lease { number, holder, until });
        }
        if is_good { Ok(()) } else { Err("it is not a clock lease of this version".to_owned()) }
    }

    /// The next lease, for `holder`, until that time of the store's clock. `None` once there is no
    /// number left, which takes centuries.
    pub(crate) fn next(self, holder: &str, until: Timestamp) -> Option<LeaseDue> {
        let number = self.latest.map_or(Some(0), |latest| latest.number.checked_add(1))?;
        let entry = WireLease { holder: holder.to_owned(), until_millis: until.as_unix_millis() };
        // A struct of strings and numbers always serializes.
        let value = serde_json::to_vec(&Versioned { version: VERSION, entry }).unwrap_or_default();
        let entry = Entry::new(name(number)?, value);
        let lower = self.numbers.into_iter().filter_map(name).collect();
        Some(LeaseDue { entry, lower })
    }
}

/// A lease to be inserted, and the entries to be removed once it is.
#[derive(Debug)]
pub(crate) struct LeaseDue {
    pub(crate) entry: Entry,
    pub(crate) lower: Vec<EntryName>,
}

/// A random ID of a replica; `None` if the system's random generator fails.
pub(crate) fn random_holder() -> Option<String> {
    let mut id = [0; 16];
    backend::fill_random(&mut id).ok()?;
    Some(base64url::encode(id))
}

fn name(number: u64) -> Option<EntryName> {
    let name = (number <= MAX_NUMBER).then(|| format!("{PREFIX}{number:010}"))?;
    EntryName::parse(name)
}

fn number(of: &EntryName) -> Option<u64> {
    let number = of.as_str().strip_prefix(PREFIX)?.parse().ok()?;
    (name(number).as_ref() == Some(of)).then_some(number)
}

/// The longest that a lease is taken for.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const PREFIX: &str = "clock-";
const VERSION: u64 = 1;
/// As many digits as names have room for.
const MAX_NUMBER: u64 = 9_999_999_999;
