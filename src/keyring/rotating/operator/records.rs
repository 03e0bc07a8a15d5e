//! [`RingRecords`]: the entries of a ring as one read found them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::keyring::rotating::handover::Leads;
use crate::keyring::rotating::record::{
    KeyMark, KeyRecord, KeyTerms, MarkKind, RecordContext, RingIdentity, Statement,
};
use crate::keyring::rotating::seal::Unreadable;
use crate::keyring::skew::lease::Leases;
use crate::keyring::skew::reading::ClockOffset;
use crate::keyring::status::{KeyState, KeyStatus};
use crate::keys::schedule::{self, IssuingPaused, KeyTimes, ScheduledKey};
use crate::replica::note::Notes;
use crate::store::contract::{Entry, Skipped};

/// The records of a ring in its store, as [`RingOperator::read`](crate::RingOperator::read) found them.
/// Serialisable, without secrets.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RingRecords {
    /// The ring's name.
    pub ring: String,
    /// When the store was read, by the operator's clock.
    pub read_at: Timestamp,
    /// Every key, first those that may sign, in the order of their generations.
    pub keys: Vec<RecordedKey>,
    /// The ID of the key that signs now.
    pub signing_key_id: Option<String>,
    /// Why no key signs now, and until when.
    pub issuing_paused: Option<IssuingPaused>,
    /// The key that signs next, and from when, if none is added and none is marked.
    pub next_signer: Option<NextSigner>,
    /// How long it takes at most until every replica sees a change, in milliseconds: the longest
    /// [`replica_lead`](crate::RotationPolicy::replica_lead) of the records.
    pub replica_lead_ms: u64,
    /// How many replicas wait for the ring to be founded or restored.
    pub waiting_replicas: usize,
    /// How many rings of this name the store holds: more than one after two were founded. The oldest one
    /// signs.
    pub rings: usize,
    /// The offset of the operator's clock from the store's; `None` if the store has no clock.
    pub clock_offset: Option<ClockOffset>,
    /// The newest format among entries that this version cannot read.
    pub newer_format: Option<u64>,
    /// The entries that could not be read, and why.
    pub skipped: Vec<String>,
    #[serde(skip)]
    pub(crate) signing: Vec<ScheduledKey>,
    #[serde(skip)]
    pub(crate) leads: Leads,
}

/// A key as its record in the store describes it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RecordedKey {
    /// Its state and times.
    #[serde(flatten)]
    pub status: KeyStatus,
    /// Whether its private key is sealed, and whether the seal was checked.
    pub seal: KeySeal,
}

/// Whether a private key is sealed in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeySeal {
    /// It is not sealed: an attacker with write access to the store can have made it.
    Unsealed,
    /// It is sealed, and none of the sealing keys given can open it: its record is not authenticated.
    NotOpened,
    /// One of the sealing keys opened it: its record is as the ring wrote it.
    Opened,
}

/// The key that signs next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NextSigner {
    /// Its ID.
    pub key_id: String,
    /// From when it signs.
    pub from: Timestamp,
}

/// What one read of the store found, sorted.
#[derive(Default)]
pub(crate) struct Found {
    keys: BTreeMap<(RingIdentity, u64, Timestamp, String), (KeyTerms, KeySeal)>,
    marks: BTreeMap<(MarkKind, String), KeyMark>,
    waiting: Notes,
    newer: Option<u64>,
    skipped: Vec<String>,
}

impl Found {
    /// Sorts the entries and what the store skipped.
    pub(crate) fn read(
        entries: Vec<Entry>,
        skipped: Vec<Skipped>,
        context: &RecordContext,
    ) -> Self {
        let mut found = Self::default();
        let mut leases = Leases::default();
        found.skipped = skipped.iter().map(|it| format!("{}: {}", it.name, it.reason)).collect();
        for entry in entries.into_iter().filter(|entry| !entry.name.is_probe()) {
            let note = found.waiting.take(&entry).or_else(|| leases.observe(&entry));
            let taken = match note {
                Some(note) => note.map_err(Unreadable::Corrupt),
                None => found.take(&entry, context),
            };
            let reason = match taken {
                Ok(()) => continue,
                Err(Unreadable::Corrupt(reason)) => reason,
                Err(Unreadable::Newer(version)) => {
                    found.newer = found.newer.max(Some(version));
                    format!("written by a newer version (format {version}): use its tool")
                }
                Err(Unreadable::Sealed) => "sealed by another key".to_owned(),
            };
            found.skipped.push(format!("{}: {reason}", entry.name));
        }
        found
    }

    fn take(&mut self, entry: &Entry, context: &RecordContext) -> Result<(), Unreadable> {
        if KeyTerms::is_named(&entry.name) {
            Statement::check_format(entry)?;
            let (terms, is_sealed) = KeyTerms::parse(entry, &context.ring)?;
            // With the seal, if that can be opened.
            let seal = match KeyRecord::parse(entry, context) {
                Ok(_) if is_sealed => KeySeal::Opened,
                Ok(_) => KeySeal::Unsealed,
                Err(Unreadable::Sealed) => KeySeal::NotOpened,
                Err(unreadable) => return Err(unreadable),
            };
            let KeyTerms { identity, generation, kid, times, .. } = terms.clone();
            let place = (identity, generation, times.published, kid);
            // One record may have both names.
            if self.keys.keys().any(|held| held.3 == place.3 && *held != place) {
                return Err(Unreadable::corrupt("found a known key under another generation"));
            }
            self.keys.insert(place, (terms, seal));
        } else if let Statement::Mark(kind, mark) = Statement::parse(entry, context)? {
            self.marks.insert((kind, mark.kid.clone()), mark);
        }
        Ok(())
    }

    /// The records as they are at `now`.
    pub(crate) fn at(
        self,
        ring: &str,
        now: Timestamp,
        clock_offset: Option<ClockOffset>,
    ) -> RingRecords {
        let mark = |kind, kid: &str| self.marks.get(&(kind, kid.to_owned()));
        let scheduled = |terms: &KeyTerms| ScheduledKey {
            generation: terms.generation,
            times: terms.times,
            retire_at: mark(MarkKind::Retire, &terms.kid).map(|mark| mark.at),
            revoked: mark(MarkKind::Revoke, &terms.kid).is_some(),
        };
        let rings: BTreeSet<_> = self.keys.keys().map(|(identity, ..)| identity).collect();
        let keys: Vec<_> =
            self.keys.values().map(|(terms, seal)| (terms, *seal, scheduled(terms))).collect();
        let oldest = rings.first();
        let is_of_oldest = |key: &&(&KeyTerms, _, _)| Some(&&key.0.identity) == oldest;
        let signing: Vec<_> =
            keys.iter().take_while(is_of_oldest).map(|(.., key)| key.clone()).collect();

        let leads = leads(keys.iter().map(|(.., key)| &key.times));
        let signer = place_of_signer(&signing, now);
        let status = |(place, (terms, seal, key)): (usize, &(&KeyTerms, KeySeal, ScheduledKey))| {
            let may_sign = place < signing.len();
            let state = if key.revoked {
                KeyState::Revoked
            } else if !key.verifies(now) {
                KeyState::Gone
            } else if signer == Some(place) {
                KeyState::Signing
            } else if may_sign && signer.is_none_or(|signer| signer < place) {
                KeyState::Published
            } else {
                KeyState::Verifying
            };
            RecordedKey {
                status: KeyStatus {
                    generation: key.generation,
                    key_id: terms.kid.clone(),
                    algorithm: terms.algorithm,
                    state,
                    times: key.times,
                    retire_at: key.retire_at,
                },
                seal: *seal,
            }
        };
        let statuses: Vec<_> = keys.iter().enumerate().map(status).collect();
        let key_id = |place: usize| statuses.get(place).map(|key| key.status.key_id.clone());
        let next = schedule::next_signer(&signing, now)
            .and_then(|(place, from)| Some(NextSigner { key_id: key_id(place)?, from }));
        RingRecords {
            ring: ring.to_owned(),
            read_at: now,
            signing_key_id: signer.and_then(key_id),
            issuing_paused: schedule::pause(&signing, leads.replica, now),
            next_signer: next,
            replica_lead_ms: leads.replica.as_millis().try_into().unwrap_or(u64::MAX),
            waiting_replicas: self.waiting.newcomers(),
            rings: rings.len(),
            clock_offset,
            newer_format: self.newer,
            skipped: self.skipped,
            keys: statuses,
            signing,
            leads,
        }
    }
}

/// The longest leads of any key.
fn leads<'k>(times: impl Iterator<Item = &'k KeyTimes> + Clone) -> Leads {
    let longest = |lead: fn(&KeyTimes) -> Duration| times.clone().map(lead).max();
    let replica = longest(|times| times.propagated - times.published).unwrap_or_default();
    let caches = longest(|times| times.jwks_propagated - times.propagated).unwrap_or_default();
    Leads { replica, full: replica + caches }
}

/// The place of the key that signs at `now`.
pub(crate) fn place_of_signer(keys: &[ScheduledKey], now: Timestamp) -> Option<usize> {
    let signer = schedule::signer(keys, |key| key, now)?;
    keys.iter().position(|key| std::ptr::eq(key, signer))
}

impl RingRecords {
    /// The longest lead of any record: how long until every replica sees a change.
    pub fn replica_lead(&self) -> Duration {
        self.leads.replica
    }

    /// The key of that ID, if a record is of it.
    pub fn key(&self, key_id: &str) -> Option<&RecordedKey> {
        self.keys.iter().find(|key| key.status.key_id == key_id)
    }

    /// Whether every key's seal was opened, so that its record is as the ring wrote it.
    pub fn are_authenticated(&self) -> bool {
        self.keys.iter().all(|key| key.seal == KeySeal::Opened)
    }

    /// Refuses to change a ring that is not there, or that this version does not understand.
    pub(crate) fn check(&self) -> Result<(), OperationError> {
        let refuse = |text| Err(OperationError::new(OperationErrorKind::KeyRingNotReady, text));
        let ring = &self.ring;
        if let Some(version) = self.newer_format {
            return refuse(format!(
                "found entries of format {version} in ring {ring:?}, newer than this version \
                 reads: use the operator's tool of the version that the replicas run"
            ));
        }
        if self.keys.is_empty() {
            let reason = match self.skipped.first() {
                Some(first) => format!("; of its entries none could be read: {first}"),
                None => String::new(),
            };
            return refuse(format!(
                "the store holds no key of ring {ring:?}{reason}: check the ring's name and the \
                 store"
            ));
        }
        Ok(())
    }
}
