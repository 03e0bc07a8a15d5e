//! The schedule: when the next key is made and lives, and which key signs, as pure functions of the
//! keys and the time.

use std::time::Duration;

use super::rotation::RotationPolicy;
use crate::clock::Timestamp;

impl RotationPolicy {
    /// The life of a key that is made now and follows `keys`.
    ///
    /// Where no key is left whose tokens could still be about, no replica serves, so that the new
    /// one has nobody to wait for and signs at once: the birth of a ring, or its waking.
    pub(crate) fn next_times(&self, keys: &[ScheduledKey], now: Timestamp) -> KeyTimes {
        if keys.is_empty() {
            return self.times(now, now, now);
        }
        let ready = now + self.full_lead();
        let signs_from = match self.open(keys, now).as_slice() {
            [] => ready,
            // A key whose predecessor is retired or revoked begins before its time, and ends so.
            [only] => {
                let retired = keys.iter().filter_map(|key| key.retire_at).max();
                let early = retired.unwrap_or(now).max(now).max(only.times.propagated);
                let begins = only.times.signs_from.min(early);
                let ends = only.times.signs_until.min(begins + self.signing_period);
                // Never before its predecessor's own time, so that keys end in their order.
                ends.max(only.times.signs_from).max(ready)
            }
            [.., last] => last.times.signs_until.max(ready),
        };
        self.times(now, now + self.replica_lead(), signs_from)
    }

    /// The keys that count when the next one is planned: neither marked nor over, none that a later
    /// one has followed already, and not made by a clock that was far ahead.
    fn open<'k>(&self, keys: &'k [ScheduledKey], now: Timestamp) -> Vec<&'k ScheduledKey> {
        let base = base(keys, |key| key, now);
        let is_open = |key: &&ScheduledKey| {
            key.generation >= base
                && key.is_unmarked()
                && now < key.times.signs_until
                && !self.is_of_the_future(key, now)
        };
        keys.iter().filter(is_open).collect()
    }

    /// Whether a key was made by a clock that was further ahead than clocks may be.
    pub(crate) fn is_of_the_future(&self, key: &ScheduledKey, now: Timestamp) -> bool {
        key.times.published > now + 2 * self.clock_skew
    }

    fn times(
        &self,
        published: Timestamp,
        propagated: Timestamp,
        signs_from: Timestamp,
    ) -> KeyTimes {
        let signs_until = signs_from + self.signing_period;
        let signs_latest = signs_until + self.overrun;
        KeyTimes {
            published,
            propagated,
            signs_from,
            signs_until,
            signs_latest,
            verifies_until: signs_latest + self.max_token_lifetime + self.clock_skew,
        }
    }

    /// Whether a further key is to be made now: fewer than two are open to sign, or the last one's
    /// time comes within its successor's lead and one refresh (two ahead).
    pub(crate) fn is_due(&self, keys: &[ScheduledKey], now: Timestamp) -> bool {
        !self.are_two_ahead(keys, now, self.publication())
    }

    /// Whether rotation is late: a key that should be published by now is not there, one refresh
    /// after it was due, or the key that signs is past its time.
    pub(crate) fn is_overdue(&self, keys: &[ScheduledKey], now: Timestamp) -> bool {
        let signer = signer(keys, |key| key, now);
        !self.are_two_ahead(keys, now, self.full_lead())
            || signer.is_some_and(|signer| signer.times.signs_until <= now)
    }

    /// Whether two keys are open to sign, and the later one's time does not come within `lead`.
    fn are_two_ahead(&self, keys: &[ScheduledKey], now: Timestamp, lead: Duration) -> bool {
        let open = self.open(keys, now);
        // The last one's, not the latest: when it begins, whatever comes before it is passed over.
        let last = open.last().map(|key| key.times.signs_from);
        open.len() >= 2 && last.is_some_and(|signs_from| now + lead < signs_from)
    }
}

/// The absolute times of a key's life, in the order in which they pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct KeyTimes {
    /// When it was made and could first be seen.
    pub published: Timestamp,
    /// From when on every replica has seen it.
    pub propagated: Timestamp,
    /// When its time to sign begins.
    pub signs_from: Timestamp,
    /// When its successor takes over.
    pub signs_until: Timestamp,
    /// When it stops signing even without a successor.
    pub signs_latest: Timestamp,
    /// When the last of its tokens has expired, and it is gone.
    pub verifies_until: Timestamp,
}

impl KeyTimes {
    /// The life of a key that is not rotated.
    pub(crate) fn fixed(signs: bool) -> Self {
        let past = Timestamp::from_unix_seconds(0);
        let signs_from = if signs { past } else { Timestamp::MAX };
        Self {
            published: past,
            propagated: past,
            signs_from,
            signs_until: Timestamp::MAX,
            signs_latest: Timestamp::MAX,
            verifies_until: Timestamp::MAX,
        }
    }

    /// Whether it was born with nobody to wait for, so that a slow clock need not wait either.
    pub(crate) fn has_no_lead(&self) -> bool {
        self.propagated == self.published
    }

    /// The longest life of a token that this key may have signed, the clocks' difference included;
    /// `None` for a key that does not end.
    pub(crate) fn token_lifetime(&self) -> Option<Duration> {
        (self.signs_latest != Timestamp::MAX).then(|| self.verifies_until - self.signs_latest)
    }

    /// Whether the times follow each other as they must.
    pub(crate) fn are_ordered(&self) -> bool {
        self.published <= self.propagated
            && self.published <= self.signs_from
            && self.signs_from < self.signs_until
            && self.signs_until <= self.signs_latest
            && self.signs_latest < self.verifies_until
    }
}

/// What the schedule needs to know of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScheduledKey {
    pub(crate) generation: u64,
    pub(crate) times: KeyTimes,
    /// From then on it signs no more.
    pub(crate) retire_at: Option<Timestamp>,
    /// It neither signs nor verifies any more.
    pub(crate) revoked: bool,
}

impl ScheduledKey {
    pub(crate) fn verifies(&self, now: Timestamp) -> bool {
        !self.revoked && now < self.times.verifies_until
    }

    pub(crate) fn is_unmarked(&self) -> bool {
        !self.revoked && self.retire_at.is_none()
    }

    fn may_sign(&self, now: Timestamp) -> bool {
        (self.times.has_no_lead() || self.times.propagated <= now)
            && !self.revoked
            && self.retire_at.is_none_or(|retire_at| now < retire_at)
            && now < self.times.signs_latest
    }
}

/// The key that signs at `now`, of keys in the order of their generations: the first that may,
/// from the last one on whose time has begun. Never an earlier one, so that a revoked key's
/// predecessor does not come back.
pub(crate) fn signer<K>(
    keys: &[K],
    scheduled: impl Fn(&K) -> &ScheduledKey,
    now: Timestamp,
) -> Option<&K> {
    let base = base(keys, &scheduled, now);
    keys.iter().find(|key| scheduled(key).generation >= base && scheduled(key).may_sign(now))
}

/// The generation of the last key whose time has begun.
fn base<K>(keys: &[K], scheduled: impl Fn(&K) -> &ScheduledKey, now: Timestamp) -> u64 {
    let begun = keys.iter().rfind(|key| scheduled(key).times.signs_from <= now);
    begun.map_or(0, |key| scheduled(key).generation)
}
