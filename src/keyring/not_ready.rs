//! Why a replica should not be given requests, as far as its key ring goes.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::store::founding::Wait;

crate::error::macros::debug_as_display!(KeyRingNotReady);

/// Why a replica should not be given requests.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingNotReady {
    /// No key signs, and it is not known when one will; or none verifies either. A replica that was
    /// ready before stays ready as long as a key verifies.
    #[error("no key of the ring may sign now")]
    NoSigningKey,
    /// The store holds no key of the ring, or only a part. This replica waits for live replicas to
    /// restore a ring that the store may have lost; if none does, it founds a new ring. Until then
    /// it issues nothing.
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
        "found entries of format {version} in the store, newer than this version of the crate reads: upgrade this replica"
    )]
    NewerFormat {
        /// The format's version.
        version: u64,
    },
    /// The store holds keys that none of the sealing keys opens.
    #[error(
        "found keys in the store that none of the sealing keys can decrypt: give `seal_with` every sealing key in use"
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
    /// The background task has stopped with the Tokio runtime on which the ring was opened.
    #[error(
        "the background task of the ring has stopped with its Tokio runtime: open the ring on a runtime that lives as long as the service"
    )]
    TaskStopped,
    /// The keys of a followed issuer are too old to verify: no fetch has succeeded for the limit.
    #[error(
        "the keys of {issuer} are older than max_staleness ({limit:?}) and no longer verify; the last fetch failed: {failure}"
    )]
    Stale {
        /// The issuer.
        issuer: String,
        /// How long keys verify after their fetch.
        limit: Duration,
        /// The error of the last fetch.
        failure: String,
    },
}

impl From<Wait> for KeyRingNotReady {
    fn from(Wait { since, until, is_restored }: Wait) -> Self {
        Self::Founding { since, until, is_restored }
    }
}

fn founding(since: Timestamp, until: Option<Timestamp>, is_restored: bool) -> String {
    let until = until.map_or_else(|| "not yet known".to_owned(), |until| until.to_string());
    match is_restored {
        true => format!(
            "the store lost the ring, and a live replica is restoring it: waiting since {since}, at \
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
