//! [`RingChange`]: what an operator's rotation or revocation will do, before it is done.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::keyring::rotating::handover::{handover_at, passed_over};
use crate::keyring::rotating::operator::records::{NextSigner, RingRecords, place_of_signer};
use crate::keyring::rotating::record::{KeyMark, MarkKind};
use crate::keyring::status::KeyState;
use crate::keys::schedule::{self, IssuingPaused, ScheduledKey};

/// A change of a ring, planned from its records and not yet written.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RingChange {
    /// What changes.
    pub kind: RingChangeKind,
    /// The keys that are to be marked, in the order in which their marks are written: the signing key
    /// last, so that a failure between two writes leaves it as it is. Empty if all is written already.
    pub key_ids: Vec<String>,
    /// The key that signs once the change has taken effect, and from when; `None` if no published key
    /// can.
    pub signer: Option<NextSigner>,
    /// Why issuing is paused right after the change, and until when: logins, renewals and refreshes
    /// answer 503 meanwhile. `until` is `None` if a live replica has to make a key first.
    pub issuing_paused: Option<IssuingPaused>,
    /// When every replica has seen the change.
    pub known_by: Timestamp,
    /// Whether live replicas make a new key once they see the change.
    pub makes_key: bool,
    #[serde(skip)]
    marks: Vec<(MarkKind, KeyMark)>,
}

/// The kinds of [`RingChange`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RingChangeKind {
    /// The signing key retires once its successor has reached every replica and cache.
    Rotate,
    /// The key of this ID neither signs nor verifies any more.
    Revoke(String),
    /// No key of the records signs or verifies any more.
    ReplaceAll,
}

impl RingRecords {
    /// Plans to rotate ahead of time, as [`KeyRing::rotate_now`](crate::KeyRing::rotate_now) does, to the
    /// next key in the store: nobody is logged out.
    ///
    /// # Errors
    ///
    /// If the store holds no ring of that name, or one of a newer format, no key signs, or no key is
    /// published that could sign next.
    pub fn plan_rotation(&self) -> Result<RingChange, OperationError> {
        self.check()?;
        let now = self.read_at;
        let keys = &self.signing;
        let Some(signer) = place_of_signer(keys, now).and_then(|place| keys.get(place)) else {
            return Err(OperationError::no_signing_key());
        };
        let follows = |key: &&ScheduledKey| {
            key.generation > signer.generation
                && key.is_unmarked()
                && !key.is_of_the_future(self.leads.replica, now)
        };
        let Some(next) = keys.iter().find(follows) else {
            return Err(OperationError::new(
                OperationErrorKind::KeyRingNotReady,
                "the store holds no key that could sign next; a live replica makes it: start one, or \
                 wait for it, then rotate",
            ));
        };
        let at = handover_at(next, self.leads, now);
        let marked = passed_over(keys, signer.generation, next.generation);
        Ok(self.plan(RingChangeKind::Rotate, marked, MarkKind::Retire, at))
    }

    /// Plans to revoke a leaked key, as [`KeyRing::revoke`](crate::KeyRing::revoke) does.
    ///
    /// # Errors
    ///
    /// If the store holds no such key, no ring of that name, or one of a newer format.
    pub fn plan_revocation(&self, key_id: &str) -> Result<RingChange, OperationError> {
        self.check()?;
        let Some(place) = self.keys.iter().position(|key| key.status.key_id == key_id) else {
            let known: Vec<_> = self.keys.iter().map(|key| &*key.status.key_id).collect();
            return Err(OperationError::new(
                OperationErrorKind::UnknownKey,
                format!(
                    "the ring holds no key of this ID: {key_id:?}; expected one of {}",
                    known.join(", ")
                ),
            ));
        };
        let kind = RingChangeKind::Revoke(key_id.to_owned());
        Ok(self.plan(kind, vec![place], MarkKind::Revoke, self.read_at))
    }

    /// Plans to revoke every key of a leaked store, as
    /// [`KeyRing::replace_all`](crate::KeyRing::replace_all) does. A live replica makes new ones.
    ///
    /// # Errors
    ///
    /// If the store holds no ring of that name, one of a newer format, or entries that cannot be read:
    /// they may be keys, too.
    pub fn plan_replacement(&self) -> Result<RingChange, OperationError> {
        self.check()?;
        if let Some(first) = self.skipped.first() {
            return Err(OperationError::new(
                OperationErrorKind::KeyRingNotReady,
                format!(
                    "found entries that cannot be read, and may be keys: {first}: remove them from \
                     the store, then repeat"
                ),
            ));
        }
        let signer = place_of_signer(&self.signing, self.read_at);
        let mut places: Vec<_> = (0..self.keys.len()).rev().collect();
        places.sort_by_key(|place| Some(*place) == signer);
        Ok(self.plan(RingChangeKind::ReplaceAll, places, MarkKind::Revoke, self.read_at))
    }

    /// The change that marks the keys at those places, and what follows from it.
    fn plan(
        &self,
        kind: RingChangeKind,
        places: Vec<usize>,
        mark: MarkKind,
        at: Timestamp,
    ) -> RingChange {
        let now = self.read_at;
        let mut signing = self.signing.clone();
        let (mut key_ids, mut marks) = (Vec::new(), Vec::new());
        for place in places {
            let Some(key) = self.keys.get(place) else { continue };
            let status = &key.status;
            let is_marked = match mark {
                MarkKind::Revoke => status.state == KeyState::Revoked,
                MarkKind::Retire => status.retire_at.is_some(),
            };
            if let Some(scheduled) = signing.get_mut(place) {
                match mark {
                    MarkKind::Revoke => scheduled.revoked = true,
                    MarkKind::Retire => {
                        scheduled.retire_at.get_or_insert(at);
                    }
                }
            }
            if !is_marked {
                let kept_until = status.times.verifies_until;
                marks.push((mark, KeyMark { kid: status.key_id.clone(), at, kept_until }));
                key_ids.push(status.key_id.clone());
            }
        }
        let key_id = |place: usize| self.keys.get(place).map(|key| key.status.key_id.clone());
        let signer_at = |at| {
            let place = place_of_signer(&signing, at)?;
            Some(NextSigner { key_id: key_id(place)?, from: at })
        };
        let next = || {
            let (place, from) = schedule::next_signer(&signing, now)?;
            Some(NextSigner { key_id: key_id(place)?, from })
        };
        let signer = match kind {
            RingChangeKind::Rotate => next(),
            _ => signer_at(now).or_else(next),
        };
        RingChange {
            kind,
            key_ids,
            signer,
            issuing_paused: schedule::pause(&signing, self.leads.replica, now),
            known_by: now + self.leads.replica,
            makes_key: !schedule::are_two_open(&signing, self.leads.replica, now),
            marks,
        }
    }
}

impl RingChange {
    pub(crate) fn marks(&self) -> &[(MarkKind, KeyMark)] {
        &self.marks
    }
}
