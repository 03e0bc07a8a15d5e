//! How a ring fares: for operators, readiness checks and dashboards.

use std::time::Duration;

use serde::Serialize;

use crate::clock::{Moment, Timestamp};
use crate::keyring::ring::RingError;
use crate::keyring::rotating::replica::Report;
use crate::keys::key_set::{KeySet, RingKey};
use crate::keys::schedule::{IssuingPaused, KeyTimes};
use crate::store::contract::Skipped;
use crate::store::founding::Wait;
use crate::store::writes::Writes;
use crate::tasks::Tasks;

/// What a ring holds, at one time. Serialisable, without secrets.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RingStatus {
    /// The ring's name.
    pub ring: String,
    /// The same on all replicas that know the same keys; a replica that drifted shows here.
    pub fingerprint: String,
    /// The generation of the key that signs now.
    pub generation: Option<u64>,
    /// The ID of the key that signs now.
    pub signing_key_id: Option<String>,
    /// Every key, first those that may sign, in the order of their generations.
    pub keys: Vec<KeyStatus>,
    /// When the store was last read, or a followed issuer's keys were fetched, without a failure.
    pub refreshed_at: Option<Timestamp>,
    /// What the last read or fetch failed with, if it failed, or why none is tried.
    pub failure: Option<String>,
    /// How many refreshes have failed in a row, to read or to write.
    pub failures: u32,
    /// What the last write to the store failed with, until one succeeds. While nothing is due to be
    /// written, one is tried: once a refresh interval after a failure, otherwise when there was none
    /// for 40 intervals. A replica stays ready: it serves what it has.
    pub write_failure: Option<String>,
    /// When this replica last wrote to the store.
    pub written_at: Option<Timestamp>,
    /// How often a background task has panicked. It is restarted.
    pub task_panics: u64,
    /// Whether rotation is overdue: an alarm for the operator, with time to act. The key after next
    /// should be published by now, and could not be made; or the key that signs is past its time,
    /// for want of a successor. If that goes on for the [overrun](crate::RotationPolicy::overrun),
    /// issuing fails closed.
    ///
    /// Only of rings that rotate in a store. The keys of a derived ring come with the time; others'
    /// keys are theirs to rotate.
    pub rotation_overdue: bool,
    /// Why no key signs now, and until when; `None` while one signs. Only of rings that rotate in a
    /// store.
    pub issuing_paused: Option<IssuingPaused>,
    /// How far this replica's clock is from the store's, as the last read says; `None` where the
    /// store has no clock.
    pub clock_offset: Option<ClockOffset>,
    /// The entries of the store, or of a followed issuer's JWKS, that were skipped, and why.
    pub skipped: Vec<String>,
}

/// How far a replica's clock is from that of its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClockOffset {
    /// The replica's time less the store's, in milliseconds: positive where the replica is ahead.
    pub millis: i64,
    /// By how much that may be off, in milliseconds: half of the round trip to the store.
    pub uncertainty_millis: u64,
}

/// A key of a ring.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyStatus {
    /// Its number in the ring.
    pub generation: u64,
    /// Its ID.
    pub key_id: String,
    /// Its algorithm, as JOSE writes it.
    pub algorithm: jsonwebtoken::Algorithm,
    /// Where it stands.
    pub state: KeyState,
    /// The times of its life.
    pub times: KeyTimes,
    /// When it stops signing ahead of its time.
    pub retire_at: Option<Timestamp>,
}

/// Where a key stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyState {
    /// It verifies, and will sign.
    Published,
    /// It signs.
    Signing,
    /// It verifies what it has signed.
    Verifying,
    /// It was revoked.
    Revoked,
    /// Its life has ended.
    Gone,
}

impl RingStatus {
    pub(crate) fn new(
        ring: &str,
        keys: &KeySet,
        refreshed: Option<&RefreshState>,
        (writes, tasks, clock_offset): (Option<&Writes>, &Tasks, Option<ClockOffset>),
        rotation_overdue: bool,
        issuing_paused: Option<IssuingPaused>,
        now: Timestamp,
    ) -> Self {
        let signer = keys.signer(now);
        let generation = signer.map(|signer| signer.scheduled.generation);
        let signing_key_id = signer.map(|signer| signer.key.key_id().to_owned());
        let skipped = refreshed.into_iter().flat_map(|state| &state.skipped);
        Self {
            ring: ring.to_owned(),
            fingerprint: keys.fingerprint().to_owned(),
            generation,
            keys: keys.keys().iter().map(|key| KeyStatus::new(keys, key, signer, now)).collect(),
            signing_key_id,
            refreshed_at: refreshed.and_then(|state| state.refreshed).map(|moment| moment.time),
            failure: tasks
                .failure()
                .map(str::to_owned)
                .or_else(|| refreshed.and_then(|state| state.failure.clone())),
            failures: refreshed.map_or(0, |state| state.failures),
            write_failure: writes.and_then(Writes::failure),
            written_at: writes.and_then(Writes::written_at),
            task_panics: tasks.panics(),
            rotation_overdue,
            issuing_paused,
            clock_offset,
            skipped: skipped.map(|Skipped { name, reason }| format!("{name}: {reason}")).collect(),
        }
    }
}

impl KeyStatus {
    fn new(keys: &KeySet, key: &RingKey, signer: Option<&RingKey>, now: Timestamp) -> Self {
        let scheduled = &key.scheduled;
        let state = if scheduled.revoked {
            KeyState::Revoked
        } else if !keys.verifies(key, now) {
            KeyState::Gone
        } else if signer.is_some_and(|signer| signer.key.key_id() == key.key.key_id()) {
            KeyState::Signing
        } else if scheduled.times.signs_from < Timestamp::MAX
            && signer.is_none_or(|signer| signer.scheduled.generation < scheduled.generation)
        {
            KeyState::Published
        } else {
            KeyState::Verifying
        };
        Self {
            generation: scheduled.generation,
            key_id: key.key.key_id().to_owned(),
            algorithm: key.key.algorithm(),
            state,
            times: KeyTimes {
                verifies_until: scheduled.times.verifies_until.min(keys.limit()),
                ..scheduled.times
            },
            retire_at: scheduled.retire_at,
        }
    }
}

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

/// How the last refreshes went.
#[derive(Debug)]
pub(crate) struct RefreshState {
    /// When the last read began that did not fail.
    pub(crate) refreshed: Option<Moment>,
    pub(crate) failure: Option<String>,
    /// How many refreshes have failed in a row.
    pub(crate) failures: u32,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) blocked: Option<NotReady>,
}

impl RefreshState {
    pub(crate) fn after(
        before: Option<&Self>,
        result: &Result<Report, RingError>,
        now: Moment,
    ) -> Self {
        let failed = before.map_or(0, |before| before.failures).saturating_add(1);
        match result {
            Ok(report) => Self {
                refreshed: Some(now),
                failures: if report.failure.is_some() { failed } else { 0 },
                failure: None,
                skipped: report.skipped.clone(),
                blocked: report.blocked.clone(),
            },
            Err(error) => Self {
                refreshed: before.and_then(|before| before.refreshed),
                failure: Some(error.to_string()),
                failures: failed,
                skipped: before.map(|before| before.skipped.clone()).unwrap_or_default(),
                blocked: before.and_then(|before| before.blocked.clone()),
            },
        }
    }

    /// Whether there is something to tell.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        self.failure != other.failure || self.skipped != other.skipped
    }
}
