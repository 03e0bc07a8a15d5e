//! A [`KeySet`]: an immutable snapshot of a ring. Which key signs at a time, and which key a
//! token's header means.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::algorithm::{self, Begun};
use super::key::Key;
use super::ledger::Ledger;
use super::schedule::{self, KeyTimes, ScheduledKey};
use crate::base64url::BASE64URL;
use crate::claims::{BEGINNING, SESSION_TOKEN_TYPE};
use crate::clock::Timestamp;
use crate::error::BuildError;

/// An immutable snapshot of a ring's keys.
#[derive(Clone, Debug)]
pub(crate) struct KeySet {
    /// First those that may sign, by generation; then those that only verify.
    keys: Vec<RingKey>,
    signing: usize,
    /// A sender chooses what is looked up, not what is held: no need for a slow hash.
    by_header: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    by_key_id: HashMap<Arc<str>, usize>,
    fingerprint: String,
}

/// A key in its ring.
#[derive(Clone, Debug)]
pub(crate) struct RingKey {
    pub(crate) key: Key,
    pub(crate) scheduled: ScheduledKey,
    /// The encoded header of the session tokens that it signs.
    pub(crate) header: Box<str>,
    /// The HMACs of those, begun; `None` for other algorithms.
    pub(crate) begun: Option<Begun>,
}

impl RingKey {
    fn new(key: Key, scheduled: ScheduledKey) -> Self {
        let header = key.encoded_headers(SESSION_TOKEN_TYPE).swap_remove(0);
        let beginning = format!("{header}.{}", BASE64URL.encode_to_string(BEGINNING));
        let begun = key.signer().and_then(|signer| signer.begin(beginning.as_bytes()));
        Self { key, scheduled, header: header.into(), begun }
    }
}

impl KeySet {
    /// The keys of a rotating ring.
    pub(crate) fn of_ledger(ledger: &Ledger, fully_specified: bool) -> Self {
        let (keys, signing) = ledger.keys();
        let named = |key: &Key| match fully_specified {
            true => key.clone().fully_specified(),
            false => key.clone(),
        };
        let keys =
            keys.into_iter().map(|(record, scheduled)| RingKey::new(named(&record.key), scheduled));
        Self::new(keys.collect(), signing)
    }

    /// Keys that are not rotated here: the first signs, all verify.
    ///
    /// # Errors
    ///
    /// If there is none, or two have the same key ID.
    pub(crate) fn fixed(keys: impl IntoIterator<Item = Key>) -> Result<Self, BuildError> {
        let keys = keys.into_iter().enumerate().map(|(place, key)| {
            let generation = place as u64;
            let times = KeyTimes::fixed(place == 0);
            let scheduled = ScheduledKey { generation, times, retire_at: None, revoked: false };
            RingKey::new(key, scheduled)
        });
        let set = Self::new(keys.collect(), 1);
        if set.keys.is_empty() {
            return Err(BuildError::invalid("keys", "empty", "give at least one key"));
        }
        // Of two with one ID the later is found by it.
        let doubled =
            set.keys.iter().enumerate().find(|(place, RingKey { key, .. })| {
                set.by_key_id.get(key.key_id()) != Some(place)
            });
        if let Some((_, RingKey { key, .. })) = doubled {
            let mend = "two keys have this key ID: give each its own";
            return Err(BuildError::invalid("keys", key.key_id(), mend));
        }
        Ok(set)
    }

    /// The keys of a ring without a store: all may sign when it is their time.
    pub(crate) fn derived(keys: Vec<(Key, ScheduledKey)>) -> Self {
        let signing = keys.len();
        let keys = keys.into_iter().map(|(key, scheduled)| RingKey::new(key, scheduled));
        Self::new(keys.collect(), signing)
    }

    /// The keys of an issuer that is followed: they only verify, and no longer than to `until`.
    pub(crate) fn followed(keys: Vec<Key>, until: Timestamp) -> Self {
        let times = KeyTimes { verifies_until: until, ..KeyTimes::fixed(false) };
        let keys = keys.into_iter().enumerate().map(|(place, key)| {
            let generation = place as u64;
            let scheduled = ScheduledKey { generation, times, retire_at: None, revoked: false };
            RingKey::new(key, scheduled)
        });
        Self::new(keys.collect(), 0)
    }

    fn new(keys: Vec<RingKey>, signing: usize) -> Self {
        let mut by_header = HashMap::default();
        let mut by_key_id = HashMap::new();
        for (place, RingKey { key, .. }) in keys.iter().enumerate() {
            by_key_id.insert(key.shared_key_id().clone(), place);
            for header in key.encoded_headers(SESSION_TOKEN_TYPE) {
                by_header.insert(header.into_bytes().into(), place);
            }
        }
        let fingerprint = fingerprint(&keys);
        Self { keys, signing, by_header, by_key_id, fingerprint }
    }

    /// The same keys, of which these are revoked.
    pub(crate) fn with_revoked(mut self, key_ids: &BTreeSet<String>) -> Self {
        let mut changed = false;
        for RingKey { key, scheduled, .. } in &mut self.keys {
            if !scheduled.revoked && key_ids.contains(key.key_id()) {
                (scheduled.revoked, changed) = (true, true);
            }
        }
        if changed {
            self.fingerprint = fingerprint(&self.keys);
        }
        self
    }

    /// The keys that may sign, as the schedule sees them.
    pub(crate) fn schedule(&self) -> Vec<ScheduledKey> {
        self.keys[..self.signing].iter().map(|key| key.scheduled.clone()).collect()
    }

    /// The key that signs at `now`.
    pub(crate) fn signer(&self, now: Timestamp) -> Option<&RingKey> {
        schedule::signer(&self.keys[..self.signing.min(self.keys.len())], |key| &key.scheduled, now)
    }

    /// The key with whose header and a dot this token begins, if it is one of the first few: those
    /// are looked at sooner than a header's end is found.
    pub(crate) fn by_beginning(&self, token: &[u8]) -> Option<&RingKey> {
        let begins = |key: &&RingKey| {
            let rest = token.strip_prefix(key.header.as_bytes());
            rest.is_some_and(|rest| rest.first() == Some(&b'.'))
        };
        self.keys.iter().take(4).find(begins)
    }

    /// The key whose tokens begin with this encoded header.
    pub(crate) fn by_encoded_header(&self, header: &[u8]) -> Option<&RingKey> {
        self.by_header.get(header).map(|place| &self.keys[*place])
    }

    /// The key of that ID.
    pub(crate) fn by_key_id(&self, key_id: &str) -> Option<&RingKey> {
        self.by_key_id.get(key_id).map(|place| &self.keys[*place])
    }

    pub(crate) fn keys(&self) -> &[RingKey] {
        &self.keys
    }

    /// A short text that is the same on all replicas that know the same keys and marks.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

fn fingerprint(keys: &[RingKey]) -> String {
    let mut lines: Vec<_> = keys
        .iter()
        .map(|RingKey { key, scheduled, .. }| {
            let ScheduledKey { generation, retire_at, revoked, .. } = scheduled;
            // The ID of another issuer's key need not say which key it is.
            let public = serde_json::to_string(&key.to_jwk()).unwrap_or_default();
            format!("{generation} {} {retire_at:?} {revoked} {public}\n", key.key_id())
        })
        .collect();
    lines.sort_unstable();
    let hash = algorithm::sha256(lines.concat().as_bytes());
    BASE64URL.encode_to_string(&hash[..12])
}
