//! The schedule: when the next key is made and lives, and which key signs, as pure functions of the
//! keys and the time.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::keys::rotation_policy::RotationPolicy;

impl RotationPolicy {
    /// The life of a key that is made now and follows `keys`.
    ///
    /// If no key is left whose tokens may still be valid, no replica serves: the new key need not
    /// wait for others and signs at once. That is so when a ring is founded, or resumes after a
    /// long stop.
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
                let ends = only.times.signs_until.min(begins + self.period());
                let ends = passed_over_from(keys, only).fold(ends, Timestamp::min);
                // Never before its predecessor's own time, so that keys end in their order.
                ends.max(only.times.signs_from).max(ready)
            }
            [.., last] => last.times.signs_until.max(ready),
        };
        self.times(now, now + self.replica_lead(), signs_from)
    }

    /// The life of a key that is made now, and to which signing is handed over ahead of the keys before
    /// it. Its time is not before theirs, so that keys end in their order: it signs earlier because
    /// they are retired.
    pub(crate) fn handover_times(&self, keys: &[ScheduledKey], now: Timestamp) -> KeyTimes {
        let before = keys.iter().filter(|key| !self.is_of_the_future(key, now));
        let before = before.map(|key| key.times.signs_from);
        let signs_from = before.fold(now + self.full_lead(), Timestamp::max);
        self.times(now, now + self.replica_lead(), signs_from)
    }

    fn open<'k>(&self, keys: &'k [ScheduledKey], now: Timestamp) -> Vec<&'k ScheduledKey> {
        open(keys, self.margin(), now)
    }

    /// Whether a key was made by a clock that was further ahead than clocks may be.
    pub(crate) fn is_of_the_future(&self, key: &ScheduledKey, now: Timestamp) -> bool {
        key.is_of_the_future(self.margin(), now)
    }

    fn times(
        &self,
        published: Timestamp,
        propagated: Timestamp,
        signs_from: Timestamp,
    ) -> KeyTimes {
        let signs_until = signs_from + self.period();
        let signs_latest = signs_until + self.max_overdue_signing;
        KeyTimes {
            published,
            propagated,
            jwks_propagated: propagated + self.jwks_max_age,
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

    /// Whether rotation is late: a due key is not written one refresh and one write after it was due, or
    /// the signing key is past its time. A ring that holds no key is not founded yet.
    pub(crate) fn is_overdue(&self, keys: &[ScheduledKey], now: Timestamp) -> bool {
        if keys.is_empty() {
            return false;
        }
        let signer = signer(keys, |key| key, now);
        !self.are_two_ahead(keys, now, self.full_lead().saturating_sub(self.insert_timeout))
            || signer.is_some_and(|signer| signer.times.signs_until <= now)
    }

    /// Why no key signs now, and when the next known key will; `None` while one signs.
    pub(crate) fn pause(&self, keys: &[ScheduledKey], now: Timestamp) -> Option<IssuingPaused> {
        pause(keys, self.margin(), now)
    }

    /// Whether two keys are open to sign, and the last one does not take over within `lead`.
    fn are_two_ahead(&self, keys: &[ScheduledKey], now: Timestamp, lead: Duration) -> bool {
        match self.open(keys, now).as_slice() {
            [.., before, last] => {
                let mut takes_over = passed_over_from(keys, before).chain([last.times.signs_from]);
                takes_over.all(|from| now + lead < from)
            }
            _ => false,
        }
    }
}

/// Issuing is paused because no key signs: logins, renewals and refreshes answer 503. Validation is
/// not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct IssuingPaused {
    /// The reason.
    pub reason: PauseReason,
    /// When a key signs again, by this replica's clock; `None` if none has been made yet.
    pub until: Option<Timestamp>,
}

/// Why no key of a ring signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PauseReason {
    /// The ring holds no key.
    NoKey,
    /// The key that would sign was revoked, and its successor has not been published for long enough
    /// to be known to every replica: after `replace_all`, a second `revoke`, or one within the first
    /// minutes of a ring.
    Revoked,
    /// The key that would sign was retired, and its successor is not known to every replica.
    Retired,
    /// The last key has signed up to `max_overdue_signing` past its time: no successor could be made. The
    /// store could not be written.
    Overdue,
}

impl PauseReason {
    /// The reason as a stable text, for logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
            Self::Overdue => "overdue",
        }
    }
}

/// The absolute times of a key's life, in the order in which they pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct KeyTimes {
    /// When it was made and published.
    pub published: Timestamp,
    /// When every replica has read it.
    pub propagated: Timestamp,
    /// When every cache of the JWKS has it, too.
    pub jwks_propagated: Timestamp,
    /// When its time to sign begins.
    pub signs_from: Timestamp,
    /// When its successor takes over.
    pub signs_until: Timestamp,
    /// When it stops signing even without a successor.
    pub signs_latest: Timestamp,
    /// When the last of its tokens has expired, and it no longer verifies.
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
            jwks_propagated: past,
            signs_from,
            signs_until: Timestamp::MAX,
            signs_latest: Timestamp::MAX,
            verifies_until: Timestamp::MAX,
        }
    }

    /// Whether it was made without a lead, when no other replica served: a slow clock need not wait
    /// either.
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
            && self.propagated <= self.jwks_propagated
            && self.published <= self.signs_from
            && self.signs_from < self.signs_until
            && self.signs_until <= self.signs_latest
            && self.signs_latest < self.verifies_until
    }
}

/// The values of a key that the schedule needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScheduledKey {
    pub(crate) generation: u64,
    pub(crate) times: KeyTimes,
    /// When it stops signing ahead of its time.
    pub(crate) retire_at: Option<Timestamp>,
    /// Whether it neither signs nor verifies any more.
    pub(crate) revoked: bool,
}

impl ScheduledKey {
    pub(crate) fn verifies(&self, now: Timestamp) -> bool {
        !self.revoked && now < self.times.verifies_until
    }

    pub(crate) fn is_unmarked(&self) -> bool {
        !self.revoked && self.retire_at.is_none()
    }

    /// Whether it was made by a clock that was further ahead than clocks may be.
    pub(crate) fn is_of_the_future(&self, margin: Duration, now: Timestamp) -> bool {
        self.times.published > now + margin
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

/// Why no key signs now, and when the next known key will; `None` while one signs. A key that was
/// published later than `margin` from now was made by a wrong clock.
pub(crate) fn pause(
    keys: &[ScheduledKey],
    margin: Duration,
    now: Timestamp,
) -> Option<IssuingPaused> {
    if signer(keys, |key| key, now).is_some() {
        return None;
    }
    let base = base(keys, |key| key, now);
    // Those that would sign now or later, but for a mark.
    let mut left = keys.iter().filter(|key| key.generation >= base);
    let is_any = |marked: fn(&ScheduledKey) -> bool| {
        left.clone().any(|key| marked(key) && now < key.times.signs_latest)
    };
    let reason = match () {
        () if keys.is_empty() => PauseReason::NoKey,
        () if is_any(|key| key.revoked) => PauseReason::Revoked,
        () if is_any(|key| key.retire_at.is_some()) => PauseReason::Retired,
        () => PauseReason::Overdue,
    };
    // A key begins to sign once every replica has it; at any other time one can only end. What a
    // wrong clock has made is nothing to wait for.
    let begins = left.by_ref().filter(|key| !key.is_of_the_future(margin, now));
    let mut begins: Vec<_> =
        begins.map(|key| key.times.propagated).filter(|at| now < *at).collect();
    begins.sort_unstable();
    let until = begins.into_iter().find(|at| signer(keys, |key| key, *at).is_some());
    Some(IssuingPaused { reason, until })
}

/// When the key of that generation begins to sign, as the keys and marks are; `None` if it will not.
pub(crate) fn takes_over(
    keys: &[ScheduledKey],
    generation: u64,
    now: Timestamp,
) -> Option<Timestamp> {
    let signs = |at: &Timestamp| {
        signer(keys, |key| key, *at).is_some_and(|signer| signer.generation == generation)
    };
    changes(keys, now).into_iter().find(signs)
}

/// When the signer next becomes another key, as the keys and marks are, and its place; `None` if none
/// follows.
pub(crate) fn next_signer(keys: &[ScheduledKey], now: Timestamp) -> Option<(usize, Timestamp)> {
    let place = |at| {
        let signer = signer(keys, |key| key, at)?;
        keys.iter().position(|key| std::ptr::eq(key, signer))
    };
    let current = place(now);
    let mut later = changes(keys, now).into_iter().filter_map(|at| Some((place(at)?, at)));
    later.find(|(next, _)| Some(*next) != current)
}

/// Now and the later times at which the signer may change, in order: it does at no other.
fn changes(keys: &[ScheduledKey], now: Timestamp) -> Vec<Timestamp> {
    let times = keys.iter().flat_map(|key| {
        let KeyTimes { propagated, signs_from, signs_latest, .. } = key.times;
        [Some(propagated), Some(signs_from), Some(signs_latest), key.retire_at]
    });
    let mut times: Vec<_> = times.flatten().filter(|at| now < *at).chain([now]).collect();
    times.sort_unstable();
    times
}

/// Whether two keys are open to sign: with fewer, live replicas make another.
pub(crate) fn are_two_open(keys: &[ScheduledKey], margin: Duration, now: Timestamp) -> bool {
    open(keys, margin, now).len() >= 2
}

/// The keys that count when the next one is planned: neither marked nor over, none that a later one has
/// followed already, and not made by a clock that was far ahead.
fn open(keys: &[ScheduledKey], margin: Duration, now: Timestamp) -> Vec<&ScheduledKey> {
    let base = base(keys, |key| key, now);
    let is_open = |key: &&ScheduledKey| {
        key.generation >= base
            && key.is_unmarked()
            && now < key.times.signs_until
            && !key.is_of_the_future(margin, now)
    };
    keys.iter().filter(is_open).collect()
}

/// When the time of each later key begins, revoked or not: from then on this one signs no more.
fn passed_over_from(keys: &[ScheduledKey], key: &ScheduledKey) -> impl Iterator<Item = Timestamp> {
    let later = keys.iter().filter(|later| later.generation > key.generation);
    later.map(|later| later.times.signs_from)
}

/// The generation of the last key whose time has begun.
fn base<K>(keys: &[K], scheduled: impl Fn(&K) -> &ScheduledKey, now: Timestamp) -> u64 {
    let begun = keys.iter().rfind(|key| scheduled(key).times.signs_from <= now);
    begun.map_or(0, |key| scheduled(key).generation)
}
