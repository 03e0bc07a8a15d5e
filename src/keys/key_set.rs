//! A [`KeySet`]: an immutable snapshot of a ring. Which key signs at a time, and which key a
//! token's header means.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use smallvec::SmallVec;

use crate::base64url;
use crate::claims::names::SESSION_TOKEN_TYPE;
use crate::clock::Timestamp;
use crate::crypto::algorithm::Algorithm;
use crate::crypto::backend;
use crate::error::build::BuildError;
use crate::keys::key::Key;
use crate::keys::schedule;
use crate::keys::schedule::{KeyTimes, ScheduledKey};

/// An immutable snapshot of a ring's keys.
#[derive(Debug)]
pub(crate) struct KeySet {
    /// First those that may sign, by generation; then those that only verify.
    keys: Vec<RingKey>,
    signing: usize,
    by_header: HashMap<Box<[u8]>, usize>,
    /// Several only where a followed issuer lists keys of several algorithms under one ID (RFC 7517,
    /// section 4.5).
    by_key_id: HashMap<Box<str>, SmallVec<[usize; 2]>>,
    fingerprint: String,
    /// From when on no key of the set verifies, whatever its own times are, in milliseconds. It moves
    /// while the set stays the same, so that what is bound to the set stays bound to it.
    limit: AtomicI64,
    times: Range<Timestamp>,
    /// How the issuer of these keys is followed, if one is.
    pub(crate) following: Option<Following>,
}

/// How often an issuer's keys are fetched, for the reason of a refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Following {
    pub(crate) max_staleness: Duration,
    /// The shortest time to a fetch for an unknown key.
    pub(crate) cooldown: Duration,
}

/// A key in its ring.
#[derive(Clone, Debug)]
pub(crate) struct RingKey {
    pub(crate) key: Key,
    pub(crate) scheduled: ScheduledKey,
    /// The encoded header of the session tokens that it signs.
    pub(crate) header: Box<str>,
}

impl RingKey {
    fn new(key: Key, scheduled: ScheduledKey) -> Self {
        let header = key.encoded_headers(SESSION_TOKEN_TYPE).swap_remove(0);
        Self { key, scheduled, header: header.into() }
    }
}

impl KeySet {
    /// Keys that are not rotated here: the first that can sign does, all verify. Fails if there is
    /// none, or two have the same key ID.
    pub(crate) fn fixed(keys: impl IntoIterator<Item = Key>) -> Result<Self, BuildError> {
        let mut keys: Vec<_> = keys.into_iter().collect();
        if keys.is_empty() {
            return Err(BuildError::invalid("keys", "empty", "give at least one key"));
        }
        let signer = keys.iter().position(Key::can_sign).map(|place| keys.remove(place));
        let signer = signer.map(|key| (key, KeyTimes::fixed(true)));
        let set = Self::scheduled(signer, keys);
        if let Some((key_id, _)) = set.by_key_id.iter().find(|(_, places)| places.len() > 1) {
            let fix = "two keys have this key ID: give each its own";
            return Err(BuildError::invalid("keys", key_id, fix));
        }
        Ok(set)
    }

    /// Keys of which the first sign, each at its time, and the others only verify.
    pub(crate) fn scheduled(
        signing: impl IntoIterator<Item = (Key, KeyTimes)>,
        verifying: impl IntoIterator<Item = Key>,
    ) -> Self {
        let mut keys: Vec<_> = signing.into_iter().collect();
        let signing = keys.len();
        keys.extend(verifying.into_iter().map(|key| (key, KeyTimes::fixed(false))));
        let keys = keys.into_iter().enumerate().map(|(place, (key, times))| {
            let generation = place as u64;
            (key, ScheduledKey { generation, times, retire_at: None, revoked: false })
        });
        Self::of_schedule(keys, signing)
    }

    /// The same keys, for these times only: at others the source is asked for other keys.
    pub(crate) fn within(self, times: Range<Timestamp>) -> Self {
        Self { times, ..self }
    }

    /// Whether these are the keys to hold at `now`.
    #[inline]
    pub(crate) fn covers(&self, now: Timestamp) -> bool {
        self.times.contains(&now)
    }

    /// No keys, as before the first are read.
    pub(crate) fn empty() -> Self {
        Self::scheduled([], [])
    }

    /// The keys of an issuer that is followed, before they were ever fetched.
    pub(crate) fn unfetched(following: Following) -> Self {
        Self::followed(Vec::new(), Timestamp::from_unix_millis(0), following)
    }

    /// Whether no key of the set verifies at `now` because an issuer's keys could not be fetched for
    /// too long, or never.
    pub(crate) fn is_out_of_date(&self, now: Timestamp) -> bool {
        self.limit() <= now
    }

    /// How long ago the keys of a followed issuer were fetched, and the least time to a fetch for an unknown key.
    pub(crate) fn fetched_ago(&self, now: Timestamp) -> Option<(Duration, Duration)> {
        let Following { max_staleness, cooldown } = self.following?;
        Some((now - (self.limit() - max_staleness), cooldown))
    }

    /// The keys of an issuer that is followed: they only verify, and no longer than to `until`.
    pub(crate) fn followed(keys: Vec<Key>, until: Timestamp, following: Following) -> Self {
        let (limit, following) = (until.as_unix_millis().into(), Some(following));
        Self { limit, following, ..Self::scheduled([], keys) }
    }

    /// Lets the keys of this set verify to `until`, if that is no earlier than before. The set stays
    /// the same, and with it the tokens that were verified by it.
    pub(crate) fn extend(&self, until: Timestamp) -> bool {
        let extends = self.limit() <= until;
        if extends {
            self.limit.store(until.as_unix_millis(), Ordering::Relaxed);
        }
        extends
    }

    /// Keys with their schedule, of which the first `signing` may sign, each at its time.
    pub(crate) fn of_schedule(
        keys: impl IntoIterator<Item = (Key, ScheduledKey)>,
        signing: usize,
    ) -> Self {
        let ring_key = |(key, scheduled)| RingKey::new(key, scheduled);
        let keys: Vec<_> = keys.into_iter().map(ring_key).collect();
        let signing = signing.min(keys.len());
        let mut by_header = HashMap::new();
        let mut by_key_id = HashMap::new();
        for (place, RingKey { key, .. }) in keys.iter().enumerate() {
            let places: &mut SmallVec<_> = by_key_id.entry(key.key_id().into()).or_default();
            places.push(place);
            for header in key.encoded_headers(SESSION_TOKEN_TYPE) {
                by_header.insert(header.into_bytes().into(), place);
            }
        }
        let fingerprint = fingerprint(&keys);
        let limit = Timestamp::MAX.as_unix_millis().into();
        let times = Timestamp::from_unix_millis(i64::MIN)..Timestamp::MAX;
        Self { keys, signing, by_header, by_key_id, fingerprint, limit, times, following: None }
    }

    /// The same keys, of which these are revoked.
    pub(crate) fn with_revoked(&self, key_ids: &BTreeSet<String>) -> Self {
        let keys = self.keys.iter().map(|RingKey { key, scheduled, .. }| {
            let revoked = scheduled.revoked || key_ids.contains(key.key_id());
            (key.clone(), ScheduledKey { revoked, ..scheduled.clone() })
        });
        Self {
            limit: self.limit().as_unix_millis().into(),
            times: self.times.clone(),
            following: self.following,
            ..Self::of_schedule(keys, self.signing)
        }
    }

    /// The keys that may sign, as the schedule sees them.
    pub(crate) fn schedule(&self) -> Vec<ScheduledKey> {
        self.keys[..self.signing].iter().map(|key| key.scheduled.clone()).collect()
    }

    /// The key that signs at `now`; never one that cannot.
    pub(crate) fn signer(&self, now: Timestamp) -> Option<&RingKey> {
        schedule::signer(&self.keys[..self.signing], |key| &key.scheduled, now)
            .filter(|key| key.key.can_sign())
    }

    /// Whether any key could sign at some time.
    pub(crate) fn can_sign(&self) -> bool {
        self.keys[..self.signing].iter().any(|key| key.key.can_sign())
    }

    /// Whether both hold the same keys with the same times and marks: what is bound to the one is
    /// then good with the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&RingKey, &RingKey)| {
            one.scheduled == other.scheduled && one.key.is_same(&other.key)
        };
        self.signing == other.signing
            && self.limit() == other.limit()
            && self.times == other.times
            && self.keys.len() == other.keys.len()
            && self.keys.iter().zip(&other.keys).all(same)
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

    /// Whether a token begins with a header that one of the keys writes.
    pub(crate) fn has_header_of(&self, token: &[u8]) -> bool {
        let by_header = || self.by_encoded_header(token.split(|byte| *byte == b'.').next()?);
        self.by_beginning(token).or_else(by_header).is_some()
    }

    /// The keys of that ID, each of an algorithm of its own.
    pub(crate) fn of_key_id(&self, key_id: &str) -> impl Iterator<Item = &RingKey> {
        self.by_key_id.get(key_id).into_iter().flatten().map(|place| &self.keys[*place])
    }

    /// The key of that ID for that algorithm.
    ///
    /// SECURITY: the algorithm stays the key's. It only says which of the keys that an issuer lists
    /// under one ID is meant.
    pub(crate) fn by_key_id(&self, key_id: &str, algorithm: Algorithm) -> Option<&RingKey> {
        self.of_key_id(key_id).find(|key| key.key.algorithm().canonical() == algorithm.canonical())
    }

    /// The key that a token means which names no key of the set: the only one that verifies with that
    /// algorithm at `now`. If the token has a `kid`, only keys without an ID of their own come into question.
    /// The error is how many there are.
    ///
    /// SECURITY: the algorithm stays the key's. With several keys a token could choose among them.
    pub(crate) fn only_key(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<&RingKey, usize> {
        let is_it = |key: &&RingKey| {
            key.key.algorithm().canonical() == algorithm.canonical()
                && (key_id.is_none() || !key.key.is_named())
                && self.verifies(key, now)
        };
        let mut keys = self.keys.iter().filter(is_it);
        match (keys.next(), keys.count()) {
            (Some(key), 0) => Ok(key),
            (found, others) => Err(usize::from(found.is_some()) + others),
        }
    }

    /// Whether a key of this set verifies at `now`.
    pub(crate) fn verifies(&self, key: &RingKey, now: Timestamp) -> bool {
        key.scheduled.verifies(now) && now < self.limit()
    }

    /// From when on no key of the set verifies, whatever its own times are.
    pub(crate) fn limit(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.limit.load(Ordering::Relaxed))
    }

    pub(crate) fn keys(&self) -> &[RingKey] {
        &self.keys
    }

    /// A short text that is the same on all replicas that know the same keys and marks.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The first 48 bits of the fingerprint: a metric holds that many exactly.
    pub(crate) fn fingerprint_number(&self) -> f64 {
        let bytes = base64url::decode(&self.fingerprint[..8]).unwrap_or_default();
        bytes.iter().fold(0., |number, byte| number * 256. + f64::from(*byte))
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
    let hash = backend::sha256([lines.concat().as_bytes()]);
    base64url::encode(&hash[..12])
}
