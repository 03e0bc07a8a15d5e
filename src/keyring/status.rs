//! The status of a ring: for operators, readiness checks and dashboards.

use serde::{Serialize, Serializer};

use crate::clock::Timestamp;
use crate::crypto::algorithm::Algorithm;
use crate::keyring::skew::reading::ClockOffset;
use crate::keys::key_set::{KeySet, RingKey};
use crate::keys::schedule::{IssuingPaused, KeyTimes};

/// The state of a ring at one time. Serialisable, without secrets.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyRingStatus {
    /// The ring's name.
    pub ring: String,
    /// The same on all replicas that hold the same keys; another value shows a replica that
    /// drifted.
    pub fingerprint: String,
    /// The generation of the key that signs now.
    pub generation: Option<u64>,
    /// The ID of the key that signs now.
    pub signing_key_id: Option<String>,
    /// Every key, first those that may sign, in the order of their generations.
    pub keys: Vec<KeyStatus>,
    /// When the store was last read, or a followed issuer's keys were fetched, without a failure.
    pub refreshed_at: Option<Timestamp>,
    /// The error of the last read or fetch, or why none is tried.
    pub failure: Option<String>,
    /// How many refreshes have failed in a row, to read or to write.
    pub failures: u32,
    /// The error of the last write to the store, until one succeeds. While no key is due, a probe
    /// is written: one refresh interval after a failure, or 40 intervals after the last write. A
    /// replica that cannot write stays ready.
    pub write_failure: Option<String>,
    /// When this replica last wrote to the store.
    pub written_at: Option<Timestamp>,
    /// Whether this replica seals the private keys that it writes to the store; `None` if the keys are not
    /// in a store.
    pub sealed: Option<bool>,
    /// How often a background task has panicked. It is restarted.
    pub task_panics: u64,
    /// Whether rotation is overdue: an alarm for the operator, with time to act. The key after next
    /// should be published by now and could not be made, or the signing key is past its time
    /// without a successor. After
    /// [`max_overdue_signing`](crate::RotationPolicy::max_overdue_signing), issuing fails closed.
    ///
    /// Always `false` for rings that do not rotate in a store.
    pub rotation_overdue: bool,
    /// Why no key signs now, and until when; `None` while one signs. Only of rings that rotate in a
    /// store.
    pub issuing_paused: Option<IssuingPaused>,
    /// The offset of this replica's clock from the store's, measured by the last read; `None` if
    /// the store has no clock.
    pub clock_offset: Option<ClockOffset>,
    /// The entries of the store, or of a followed issuer's JWKS, that were skipped, and why.
    pub skipped: Vec<String>,
}

/// A key of a ring. As JSON, a time that does not exist is `null`, and so is the generation of a key that never
/// signs, such as one of a followed issuer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyStatus {
    /// Its number in the ring.
    pub generation: u64,
    /// Its ID.
    pub key_id: String,
    /// Its algorithm, as JOSE writes it.
    pub algorithm: Algorithm,
    /// Its state.
    pub state: KeyState,
    /// The times of its life.
    pub times: KeyTimes,
    /// When it stops signing ahead of its time.
    pub retire_at: Option<Timestamp>,
}

impl Serialize for KeyStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Times {
            published: Option<Timestamp>,
            propagated: Option<Timestamp>,
            jwks_propagated: Option<Timestamp>,
            signs_from: Option<Timestamp>,
            signs_until: Option<Timestamp>,
            signs_latest: Option<Timestamp>,
            verifies_until: Option<Timestamp>,
        }
        #[derive(Serialize)]
        struct Shown<'a> {
            generation: Option<u64>,
            key_id: &'a str,
            algorithm: Algorithm,
            state: KeyState,
            times: Times,
            retire_at: Option<Timestamp>,
        }
        let Self { generation, key_id, algorithm, state, times, retire_at } = self;
        let never = [Timestamp::from_unix_seconds(0), Timestamp::MAX];
        let exists = |time: Timestamp| (!never.contains(&time)).then_some(time);
        let KeyTimes { published, propagated, jwks_propagated, .. } = *times;
        let KeyTimes { signs_from, signs_until, signs_latest, verifies_until, .. } = *times;
        let shown = Shown {
            generation: Some(*generation).filter(|_| signs_from < Timestamp::MAX),
            key_id,
            algorithm: *algorithm,
            state: *state,
            times: Times {
                published: exists(published),
                propagated: exists(propagated),
                jwks_propagated: exists(jwks_propagated),
                signs_from: exists(signs_from),
                signs_until: exists(signs_until),
                signs_latest: exists(signs_latest),
                verifies_until: exists(verifies_until),
            },
            retire_at: *retire_at,
        };
        shown.serialize(serializer)
    }
}

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyState {
    /// It verifies and will sign.
    Published,
    /// It signs.
    Signing,
    /// It verifies the tokens that it signed, and signs no more.
    Verifying,
    /// It was revoked.
    Revoked,
    /// It no longer verifies.
    Gone,
}

impl KeyStatus {
    pub(crate) fn new(
        keys: &KeySet,
        key: &RingKey,
        signer: Option<&RingKey>,
        now: Timestamp,
    ) -> Self {
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
