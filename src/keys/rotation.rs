//! When keys are made, sign and end: the durations, the inequalities between them, and the
//! schedule as a pure function of the keys and the time.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::BuildError;
use crate::follow::{Polling, check_durations};

/// The durations of a ring, with safe defaults.
///
/// A configuration changes only the keys that are made after it: every key carries the absolute
/// times of its life. Every inequality is checked when the ring is opened.
///
/// ```
/// use std::time::Duration;
/// use tower_jwt_session::RotationPolicy;
///
/// let weekly = RotationPolicy::new().signing_period(Duration::from_secs(7 * 24 * 3600));
/// assert_eq!(weekly.replica_lead(), RotationPolicy::default().replica_lead());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    pub(crate) signing_period: Duration,
    pub(crate) max_token_lifetime: Duration,
    pub(crate) clock_skew: Duration,
    pub(crate) refresh_interval: Duration,
    pub(crate) refresh_timeout: Duration,
    pub(crate) insert_timeout: Duration,
    pub(crate) jwks_max_age: Duration,
    pub(crate) overrun: Duration,
    /// What the store may add to a refresh; not the application's to set.
    pub(crate) store_staleness: Duration,
}

impl Default for RotationPolicy {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const DAY: u64 = 24 * 60 * MINUTE;
        Self {
            signing_period: Duration::from_secs(DAY),
            max_token_lifetime: Duration::from_secs(DAY),
            clock_skew: Duration::from_secs(MINUTE),
            refresh_interval: Duration::from_secs(15),
            refresh_timeout: Duration::from_secs(5),
            insert_timeout: Duration::from_secs(10),
            jwks_max_age: Duration::from_secs(10 * MINUTE),
            overrun: Duration::from_secs(DAY),
            store_staleness: Duration::ZERO,
        }
    }
}

impl RotationPolicy {
    /// The defaults, to be changed by the methods below.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a key signs before its successor takes over (P). Default: 24 hours.
    #[must_use]
    pub fn signing_period(mut self, period: Duration) -> Self {
        self.signing_period = period;
        self
    }

    /// The longest life of any token of the ring, refresh tokens included (L): a key verifies that
    /// long after it stopped signing. Default: 24 hours.
    #[must_use]
    pub fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_token_lifetime = lifetime;
        self
    }

    /// The largest difference between any two replicas' clocks (d), which is also the leeway with
    /// which a token's times are checked. Default: 60 seconds.
    #[must_use]
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew;
        self
    }

    /// How often a replica reads the store; up to a tenth is added at random, so that replicas
    /// don't read in step. Default: 15 seconds.
    #[must_use]
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self
    }

    /// How long one read of the store may take. Default: 5 seconds.
    #[must_use]
    pub fn refresh_timeout(mut self, timeout: Duration) -> Self {
        self.refresh_timeout = timeout;
        self
    }

    /// How long one write to the store may take (W). Default: 10 seconds.
    #[must_use]
    pub fn insert_timeout(mut self, timeout: Duration) -> Self {
        self.insert_timeout = timeout;
        self
    }

    /// How long a client or proxy may cache the JWKS (C), served as `max-age`. Default: 10
    /// minutes.
    #[must_use]
    pub fn jwks_max_age(mut self, age: Duration) -> Self {
        self.jwks_max_age = age;
        self
    }

    /// How long a key may sign past its time when no successor could be made, the store being down
    /// (G). After that issuing fails closed. Default: 24 hours.
    #[must_use]
    pub fn overrun(mut self, overrun: Duration) -> Self {
        self.overrun = overrun;
        self
    }

    /// The longest time until a replica sees a change in the store (R): from one read to the next,
    /// which is the interval with its jitter, or one that writes with all its might; then the read
    /// itself, and what the store may be behind.
    pub fn refresh_bound(&self) -> Duration {
        self.polling().bound()
    }

    pub(crate) fn polling(&self) -> Polling {
        Polling {
            interval: self.refresh_interval,
            timeout: self.refresh_timeout,
            insert_timeout: self.insert_timeout,
            staleness: self.store_staleness,
        }
    }

    /// How long before it may sign a key is published to the replicas: W + R + 2d.
    pub fn replica_lead(&self) -> Duration {
        sum([self.insert_timeout, self.refresh_bound(), self.clock_skew, self.clock_skew])
    }

    /// How long before it signs a key is published to everyone, caches of the JWKS included:
    /// W + R + 2d + C.
    pub fn full_lead(&self) -> Duration {
        sum([self.replica_lead(), self.jwks_max_age])
    }

    /// How early the next key is made: one refresh before its lead begins, so that a poll that
    /// comes late makes no key late.
    fn publication(&self) -> Duration {
        sum([self.full_lead(), self.refresh_bound()])
    }

    /// Checks every inequality of a ring that rotates in a store.
    pub(crate) fn validate(&self) -> Result<(), BuildError> {
        self.validate_each()?;
        if self.signing_period < self.publication() {
            return Err(BuildError::invalid(
                "signing_period",
                format_args!("{:?}", self.signing_period),
                format_args!(
                    "a successor has to be published to everyone while its predecessor signs, \
                     which takes insert_timeout {:?} + 2 x refresh bound {:?} + 2 x clock_skew {:?} \
                     + jwks_max_age {:?} = {:?}: make signing_period at least that, or those shorter",
                    self.insert_timeout,
                    self.refresh_bound(),
                    self.clock_skew,
                    self.jwks_max_age,
                    self.publication(),
                ),
            ));
        }
        Ok(())
    }

    /// Checks every inequality of a ring that is derived.
    pub(crate) fn validate_derived(&self) -> Result<(), BuildError> {
        self.validate_each()?;
        let publication = sum([self.jwks_max_age, self.clock_skew, self.clock_skew]);
        if self.signing_period < publication {
            return Err(BuildError::invalid(
                "signing_period",
                format_args!("{:?}", self.signing_period),
                format_args!(
                    "a key is published one period ahead, which has to cover jwks_max_age {:?} + \
                     2 x clock_skew {:?}: make signing_period at least {publication:?}",
                    self.jwks_max_age, self.clock_skew,
                ),
            ));
        }
        let most = self.signing_period.saturating_mul(MOST_DERIVED_KEYS);
        if self.max_token_lifetime > most {
            return Err(BuildError::invalid(
                "max_token_lifetime",
                format_args!("{:?}", self.max_token_lifetime),
                format_args!(
                    "keys of {MOST_DERIVED_KEYS} periods are held at most: make it at most \
                     {most:?}, or signing_period longer"
                ),
            ));
        }
        Ok(())
    }

    /// Checks each duration by itself, and the token's.
    pub(crate) fn validate_each(&self) -> Result<(), BuildError> {
        check_durations([
            ("signing_period", self.signing_period, false),
            ("max_token_lifetime", self.max_token_lifetime, false),
            ("clock_skew", self.clock_skew, true),
            ("refresh_interval", self.refresh_interval, false),
            ("refresh_timeout", self.refresh_timeout, false),
            ("insert_timeout", self.insert_timeout, false),
            ("jwks_max_age", self.jwks_max_age, true),
            ("overrun", self.overrun, true),
        ])?;
        if self.max_token_lifetime < Duration::from_secs(1) {
            return Err(BuildError::invalid(
                "max_token_lifetime",
                format_args!("{:?}", self.max_token_lifetime),
                "a token's times are whole seconds: set it to at least 1s",
            ));
        }
        if self.clock_skew >= self.max_token_lifetime {
            return Err(BuildError::invalid(
                "clock_skew",
                format_args!("{:?}", self.clock_skew),
                format_args!(
                    "the leeway has to be shorter than max_token_lifetime ({:?})",
                    self.max_token_lifetime
                ),
            ));
        }
        Ok(())
    }

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

    /// How long after a key's times nothing of it can be about, on whatever clock.
    pub(crate) fn margin(&self) -> Duration {
        2 * self.clock_skew
    }

    /// How long after its making the last trace of a key is gone.
    pub(crate) fn longest_life(&self) -> Duration {
        sum([
            self.publication(),
            self.signing_period.saturating_mul(2),
            self.overrun,
            self.max_token_lifetime,
            self.margin(),
        ])
    }

    /// The longest time to a store's change that keys of this lead allow for.
    pub(crate) fn allowed_bound(&self, lead: Duration) -> Duration {
        lead.saturating_sub(sum([self.insert_timeout, self.clock_skew, self.clock_skew]))
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
    /// time comes within its successor's lead (two ahead).
    pub(crate) fn is_due(&self, keys: &[ScheduledKey], now: Timestamp) -> bool {
        let open = self.open(keys, now);
        let last = open.iter().map(|key| key.times.signs_from).max();
        open.len() < 2 || last.is_none_or(|signs_from| signs_from <= now + self.publication())
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

/// How many periods' keys a derived ring holds, at most.
const MOST_DERIVED_KEYS: u32 = 100;

fn sum<const N: usize>(durations: [Duration; N]) -> Duration {
    durations.into_iter().fold(Duration::ZERO, Duration::saturating_add)
}
