//! How long keys sign, verify and are kept: the durations of a ring, and the inequalities between
//! them.

use std::time::Duration;

use crate::error::build::BuildError;
use crate::store::polling::{Polling, check_durations};

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
    /// `None` for the default, which follows the longest life of a token.
    pub(crate) signing_period: Option<Duration>,
    pub(crate) max_token_lifetime: Duration,
    pub(crate) clock_skew: Duration,
    pub(crate) refresh_interval: Duration,
    pub(crate) refresh_timeout: Duration,
    pub(crate) insert_timeout: Duration,
    pub(crate) jwks_max_age: Duration,
    pub(crate) max_overdue_signing: Duration,
    /// The store's staleness, which adds to a refresh; not a setting of the application.
    pub(crate) store_staleness: Duration,
}

impl Default for RotationPolicy {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            signing_period: None,
            max_token_lifetime: DAY,
            clock_skew: MINUTE,
            refresh_interval: Duration::from_secs(15),
            refresh_timeout: Duration::from_secs(5),
            insert_timeout: Duration::from_secs(10),
            jwks_max_age: 10 * MINUTE,
            max_overdue_signing: DAY,
            store_staleness: Duration::ZERO,
        }
    }
}

impl RotationPolicy {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long a key signs before its successor takes over (P). Default: 24 hours, or a sixth of
    /// [`max_token_lifetime`](Self::max_token_lifetime) if that is longer; and in a ring that rotates in
    /// a store, as long as it takes for at most 9 keys to be published.
    ///
    /// On a [derived ring](crate::KeyRing::derived) a change of it refuses the tokens of before: there,
    /// set it before `max_token_lifetime` is changed to more than 6 days.
    #[must_use]
    pub fn signing_period(mut self, period: Duration) -> Self {
        self.signing_period = Some(period);
        self
    }

    /// Sets the longest life of any token of the ring, refresh tokens included (L). A key verifies
    /// for this long after it stopped signing. Default: 24 hours.
    ///
    /// Weeks are good: the [signing period](Self::signing_period) follows, so that the JWKS stays short.
    #[must_use]
    pub fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_token_lifetime = lifetime;
        self
    }

    /// Sets the largest difference between any two replicas' clocks (d). Also the leeway for a
    /// token's times. Default: 60 seconds.
    #[must_use]
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew;
        self
    }

    /// Sets the interval between two reads of the store. Up to a tenth is added at random, to
    /// spread the replicas. Default: 15 seconds.
    #[must_use]
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self
    }

    /// Sets the timeout of one read of the store. Default: 5 seconds.
    #[must_use]
    pub fn refresh_timeout(mut self, timeout: Duration) -> Self {
        self.refresh_timeout = timeout;
        self
    }

    /// Sets the timeout of one write to the store (W). Default: 10 seconds.
    #[must_use]
    pub fn insert_timeout(mut self, timeout: Duration) -> Self {
        self.insert_timeout = timeout;
        self
    }

    /// Sets how long clients and proxies may cache the JWKS (C), served as `max-age`. Default: 10
    /// minutes.
    #[must_use]
    pub fn jwks_max_age(mut self, age: Duration) -> Self {
        self.jwks_max_age = age;
        self
    }

    /// Sets how long a key may sign past its time if no successor could be made, for example while
    /// the store is down (G). After that, issuing fails closed. Default: 24 hours.
    #[must_use]
    pub fn max_overdue_signing(mut self, max_overdue_signing: Duration) -> Self {
        self.max_overdue_signing = max_overdue_signing;
        self
    }

    /// Returns the longest time until a replica sees a change in the store (R): max(interval +
    /// jitter, read timeout + write timeout) + read timeout + store staleness.
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

    /// Returns how long before it signs a key is published to the replicas: W + R + 2d.
    pub fn replica_lead(&self) -> Duration {
        sum([self.insert_timeout, self.refresh_bound(), self.clock_skew, self.clock_skew])
    }

    /// Returns how long before it signs a key is published to replicas and caches of the JWKS: W +
    /// R + 2d + C.
    pub fn full_lead(&self) -> Duration {
        sum([self.replica_lead(), self.jwks_max_age])
    }

    /// How early the next key is made: one refresh before its lead begins, so that a late poll
    /// makes no key late.
    pub(crate) fn publication(&self) -> Duration {
        sum([self.full_lead(), self.refresh_bound()])
    }

    /// How long a key signs in a ring that rotates in a store. The default publishes at most
    /// [`MOST_KEYS`] at any time: one signs, one or two are ahead, and each further one verifies until
    /// its tokens have expired.
    pub(crate) fn period(&self) -> Duration {
        self.signing_period.unwrap_or_else(|| {
            let RotationPolicy { max_token_lifetime, max_overdue_signing, clock_skew, .. } = *self;
            let kept =
                sum([max_token_lifetime, max_overdue_signing, clock_skew, self.publication()]);
            // Rounded up: the bound is exact.
            let least = Duration::from_secs((kept / (MOST_KEYS - 2)).as_secs().saturating_add(1));
            self.derived_period().max(least)
        })
    }

    /// The same of a ring that is derived: a function of the two settings on which all its replicas
    /// have to agree.
    pub(crate) fn derived_period(&self) -> Duration {
        self.signing_period.unwrap_or_else(|| DAY.max(self.max_token_lifetime / 6))
    }

    /// Checks every inequality of a ring that rotates in a store.
    pub(crate) fn validate(&self) -> Result<(), BuildError> {
        self.validate_each()?;
        let period = self.period();
        if period < self.publication() {
            return Err(BuildError::invalid(
                "signing_period",
                format_args!("{period:?}"),
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
        let period = self.derived_period();
        if period < publication {
            return Err(BuildError::invalid(
                "signing_period",
                format_args!("{period:?}"),
                format_args!(
                    "a key is published one period ahead, which has to cover jwks_max_age {:?} + \
                     2 x clock_skew {:?}: make signing_period at least {publication:?}",
                    self.jwks_max_age, self.clock_skew,
                ),
            ));
        }
        let most = period.saturating_mul(MOST_DERIVED_KEYS);
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
            ("signing_period", self.signing_period.unwrap_or(DAY), false),
            ("max_token_lifetime", self.max_token_lifetime, false),
            ("clock_skew", self.clock_skew, true),
            ("refresh_interval", self.refresh_interval, false),
            ("refresh_timeout", self.refresh_timeout, false),
            ("insert_timeout", self.insert_timeout, false),
            ("jwks_max_age", self.jwks_max_age, true),
            ("max_overdue_signing", self.max_overdue_signing, true),
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
                    "make it shorter than max_token_lifetime ({:?}), or make that longer",
                    self.max_token_lifetime
                ),
            ));
        }
        Ok(())
    }

    /// The margin after a key's times beyond which none of its tokens is valid on any clock.
    pub(crate) fn margin(&self) -> Duration {
        2 * self.clock_skew
    }

    /// The largest refresh bound that keys with this lead allow.
    pub(crate) fn allowed_bound(&self, lead: Duration) -> Duration {
        lead.saturating_sub(sum([self.insert_timeout, self.clock_skew, self.clock_skew]))
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The most keys that are published at once with the default signing period.
const MOST_KEYS: u32 = 9;

/// The most keys that a derived ring holds per root.
const MOST_DERIVED_KEYS: u32 = 100;

fn sum<const N: usize>(durations: [Duration; N]) -> Duration {
    durations.into_iter().fold(Duration::ZERO, Duration::saturating_add)
}
