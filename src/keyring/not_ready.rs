//! Why a replica should not be given requests, as far as its key ring goes.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::store::founding::Wait;

crate::error::macros::debug_as_display!(NotReady);

/// Why a replica should not be given requests.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// No key signs, and it is not known when one will; or none verifies either. A replica that was
    /// ready before stays ready as long as a key verifies.
    #[error("no key of the ring may sign now")]
    NoSigningKey,
    /// The store holds no key of the ring, or not all of it. This replica waits until live replicas
    /// have had the time to restore the ring that the store may have lost; if none does, it founds a
    /// new one. Until then it issues nothing.
    #[error("{}", founding(*since, *until, *is_restored))]
    Founding {
        /// Since when, by this replica's clock.
        since: Timestamp,
        /// Until when at the latest, by this replica's clock; `None` as long as the store can't be
        /// read and written, so that the wait has not begun.
        until: Option<Timestamp>,
        /// Whether a live replica has announced that it restores the ring.
        is_restored: bool,
    },
    /// The store holds entries of a format that this version does not know.
    #[error(
        "the store holds entries of format {version}, newer than this version knows: update this replica"
    )]
    NewerFormat {
        /// The format's version.
        version: u64,
    },
    /// The store holds keys that none of the sealing keys opens.
    #[error(
        "the store holds keys that none of the sealing keys opens: give this replica every sealing key in use"
    )]
    Sealed,
    /// This replica may see a key only after it has begun to sign.
    #[error(
        "this replica refreshes within {bound:?}, but the ring's keys are published only {lead:?} ahead: shorten refresh_interval, or wait until keys with a longer lead are in use"
    )]
    SlowRefresh {
        /// How long this replica may take to see a key.
        bound: Duration,
        /// How early keys are published.
        lead: Duration,
    },
    /// This replica's clock is too far from the store's, as two reads in a row have found, and this
    /// replica holds the store's clock lease: no other is unready for its clock meanwhile.
    #[error(
        "this replica's clock is {} the store's clock, more than clock_skew ({limit:?}): synchronize the clocks, for example by NTP",
        apart(*offset_millis)
    )]
    Clock {
        /// This replica's time less the store's, in milliseconds.
        offset_millis: i64,
        /// The largest difference that is allowed: `clock_skew`, and at least a second.
        limit: Duration,
    },
    /// What keeps the keys up to date has ended with the Tokio runtime on which the ring was opened.
    #[error(
        "the background task of the ring has stopped with its Tokio runtime: open the ring on a runtime that lives as long as the service"
    )]
    TaskStopped,
    /// The keys of a followed issuer are too old to verify: no fetch has succeeded for the limit.
    #[error(
        "the keys of {issuer} are older than {limit:?} and verify no more; the last fetch failed: {failure}"
    )]
    Stale {
        /// The issuer.
        issuer: String,
        /// How long keys verify after their fetch.
        limit: Duration,
        /// What the last fetch failed with.
        failure: String,
    },
}

impl From<Wait> for NotReady {
    fn from(Wait { since, until, is_restored }: Wait) -> Self {
        Self::Founding { since, until, is_restored }
    }
}

fn founding(since: Timestamp, until: Option<Timestamp>, is_restored: bool) -> String {
    let until = until.map_or_else(|| "not yet known".to_owned(), |until| until.to_string());
    match is_restored {
        true => format!(
            "the store lost the ring, and a live replica restores it: waiting since {since}, at \
             the latest until {until}"
        ),
        false => format!(
            "the store does not hold the ring: waiting since {since} for a live replica to restore \
             it; a new ring is founded at {until}. To found the first ring of a service at once, \
             set `found_now`"
        ),
    }
}

fn apart(offset_millis: i64) -> String {
    let direction = if offset_millis < 0 { "behind" } else { "ahead of" };
    format!("{} ms {direction}", offset_millis.unsigned_abs())
}
