//! Time: read once at the edge through a [`Clock`], passed in everywhere else.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A source of time for a ring and its sessions.
///
/// Applications use [`SystemClock`]; tests use `testing::ManualClock` (feature `test-util`).
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// The time since a fixed moment, by a monotonic clock that cannot be set. Ages, such as that of the
    /// last read of a store, are measured with it as well, so that setting [`now`](Self::now) back makes
    /// nothing look fresh. Default: [`Instant`].
    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// A moment by both clocks, from which an age is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) time: Timestamp,
    monotonic: Duration,
}

impl Moment {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { time: clock.now(), monotonic: clock.monotonic() }
    }

    /// The time since this moment: the longer of the two clocks' answers. One may have been set back;
    /// the other may stop while a machine sleeps.
    pub(crate) fn age(self, clock: &dyn Clock) -> Duration {
        let now = Self::now(clock);
        (now.time - self.time).max(now.monotonic.saturating_sub(self.monotonic))
    }
}

/// The operating system's clock ([`SystemTime`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}

/// A point in time, in whole milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// A token's times are whole seconds (RFC 7519, section 2, `NumericDate`); a rotation's may be
/// finer. Arithmetic with [`Duration`] saturates and truncates to milliseconds. `Display`, `Debug` and
/// serde write RFC 3339, which has the years 0 to 9999 only: an earlier or later time shows as the
/// first or last millisecond of those.
///
/// ```
/// # use std::time::Duration;
/// # use tower_jwt_session::Timestamp;
/// let issued = Timestamp::from_unix_seconds(1_800_000_000);
/// let expires = issued + Duration::from_secs(90);
/// assert_eq!(expires.to_string(), "2027-01-15T08:01:30Z");
/// assert_eq!(format!("{expires:?}"), "2027-01-15T08:01:30Z");
/// assert_eq!(expires - issued, Duration::from_secs(90));
/// assert_eq!(issued - expires, Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The latest time there is.
    pub const MAX: Self = Self(i64::MAX);

    /// A time from whole seconds since the Unix epoch; saturates.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// A time from milliseconds since the Unix epoch.
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[doc(alias = "as_secs")]
    #[doc(alias = "unix_seconds")]
    pub const fn as_unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_unix_millis(self) -> i64 {
        self.0
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

/// The time from the second to the first, zero if the second is the later.
impl Sub for Timestamp {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).try_into().unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(millis(since)),
            Err(before) => Self(-millis(before.duration())),
        }
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(time: OffsetDateTime) -> Self {
        // Years ±9999 in nanoseconds, divided by a million, fit an i64.
        Self(time.unix_timestamp_nanos().div_euclid(1_000_000) as i64)
    }
}

/// Times past the year 9999 become its end, times before the year -9999 its beginning.
impl From<Timestamp> for OffsetDateTime {
    fn from(time: Timestamp) -> Self {
        let earliest = time::PrimitiveDateTime::MIN.assume_utc();
        let latest = time::PrimitiveDateTime::MAX.assume_utc();
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000_000)
            .unwrap_or(if time.0 < 0 { earliest } else { latest })
    }
}

/// The range of RFC 3339: 0000-01-01T00:00:00Z to 9999-12-31T23:59:59.999Z.
const WRITABLE: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writable = Self(self.0.clamp(*WRITABLE.start(), *WRITABLE.end()));
        match OffsetDateTime::from(writable).format(&Rfc3339) {
            Ok(text) => f.write_str(&text),
            // An error here would be a panic in `to_string`.
            Err(_) => write!(f, "{} ms since 1970", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        OffsetDateTime::parse(&text, &Rfc3339).map(Self::from).map_err(serde::de::Error::custom)
    }
}

fn millis(duration: Duration) -> i64 {
    duration.as_millis().try_into().unwrap_or(i64::MAX)
}
