//! Replicas of one service within one test: rings on one store, each with a clock of its own that
//! is moved by hand. Nothing here waits for time to pass.

use std::time::Duration;

use tower_jwt_session::store::Store;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    BuildError, IssuedToken, KeyRing, KeyState, KeyStatus, KeyTimes, Login, OperationError,
    RejectionKind, RotationPolicy, Sessions, Timestamp,
};

use super::SMALL_CACHE;

pub(crate) const RING: &str = "app";

/// When every test begins.
pub(crate) const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

pub(crate) const MILLI: Duration = Duration::from_millis(1);

/// How long a key signs.
pub(crate) const PERIOD: Duration = Duration::from_secs(7200);
/// How long a token lives.
pub(crate) const LIFE: Duration = Duration::from_secs(3600);
pub(crate) const SKEW: Duration = Duration::from_secs(30);
pub(crate) const OVERRUN: Duration = Duration::from_secs(1800);
/// Interval, jitter and timeout.
pub(crate) const REFRESH: Duration = Duration::from_secs(60 + 6 + 4);
/// One write to the store.
pub(crate) const INSERT: Duration = Duration::from_secs(10);
/// Insert, refresh and two skews.
pub(crate) const LEAD: Duration = Duration::from_secs(10 + 70 + 60);
/// The same and the caches of the JWKS.
pub(crate) const FULL_LEAD: Duration = Duration::from_secs(140 + 300);

/// A policy of the durations above. Its interval is longer than any test runs, so that the
/// background does not meddle.
pub(crate) fn policy() -> RotationPolicy {
    RotationPolicy::new()
        .signing_period(PERIOD)
        .max_token_lifetime(LIFE)
        .clock_skew(SKEW)
        .refresh_interval(Duration::from_secs(60))
        .refresh_timeout(Duration::from_secs(4))
        .insert_timeout(INSERT)
        .jwks_max_age(Duration::from_secs(300))
        .max_overdue_signing(OVERRUN)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One replica: its clock, its ring, its sessions.
pub(crate) struct Replica {
    pub(crate) clock: ManualClock,
    pub(crate) ring: KeyRing,
    pub(crate) sessions: Sessions<()>,
}

impl Replica {
    /// Opens a replica whose clock shows `now`, with the usual policy.
    pub(crate) async fn open(store: impl Store, now: Timestamp) -> Self {
        Self::open_with(store, policy(), now).await
    }

    pub(crate) async fn open_with(
        store: impl Store,
        policy: RotationPolicy,
        now: Timestamp,
    ) -> Self {
        Self::try_open(store, policy, now).await.expect("the ring opens")
    }

    pub(crate) async fn try_open(
        store: impl Store,
        policy: RotationPolicy,
        now: Timestamp,
    ) -> Result<Self, BuildError> {
        let clock = ManualClock::new(now);
        let builder = KeyRing::builder(RING).store(store).rotation(policy);
        let ring = builder.clock(clock.clone()).found_now().open().await?;
        Ok(Self::of(ring, clock, LIFE))
    }

    /// A replica of that ring, whose tokens live for `life`.
    pub(crate) fn of(ring: KeyRing, clock: ManualClock, life: Duration) -> Self {
        let sessions = Sessions::builder(ring.clone(), "https://app.example", "app");
        let sessions = sessions.idle_lifetime(life).token_cache_bytes(SMALL_CACHE);
        let sessions = sessions.build().expect("good settings");
        Self { clock, ring, sessions }
    }

    pub(crate) async fn refresh(&self) {
        self.ring.refresh().await.expect("the store is up");
    }

    pub(crate) async fn refresh_at(&self, now: Timestamp) {
        self.clock.set(now);
        self.refresh().await;
    }

    pub(crate) fn try_issue(&self) -> Result<IssuedToken, OperationError> {
        self.sessions.issue(&Login::new("alice", ()))
    }

    pub(crate) fn issue(&self) -> String {
        self.try_issue().expect("a key signs").as_str().to_owned()
    }

    pub(crate) fn judge(&self, token: &str) -> Result<(), RejectionKind> {
        self.sessions.validate(token).map(|_| ()).map_err(|rejection| rejection.kind())
    }

    /// The generation that signs now.
    pub(crate) fn signs(&self) -> Option<u64> {
        self.ring.status().generation
    }

    /// The generation that signs at `now`.
    pub(crate) fn signs_at(&self, now: Timestamp) -> Option<u64> {
        self.clock.set(now);
        self.signs()
    }

    /// The ID of the key that signs now.
    pub(crate) fn signing_key(&self) -> String {
        self.ring.status().signing_key_id.expect("a key signs")
    }

    /// The first key of that generation.
    pub(crate) fn key(&self, generation: u64) -> KeyStatus {
        let keys = self.ring.status().keys;
        let key = keys.into_iter().find(|key| key.generation == generation);
        key.unwrap_or_else(|| panic!("a key of generation {generation}"))
    }

    pub(crate) fn times(&self, generation: u64) -> KeyTimes {
        self.key(generation).times
    }

    pub(crate) fn state(&self, generation: u64) -> KeyState {
        self.key(generation).state
    }

    /// The generations held, in the order of the status.
    pub(crate) fn generations(&self) -> Vec<u64> {
        self.ring.status().keys.iter().map(|key| key.generation).collect()
    }

    pub(crate) fn fingerprint(&self) -> String {
        self.ring.status().fingerprint
    }

    pub(crate) async fn revoke(&self, generation: u64) {
        let key_id = self.key(generation).key_id;
        self.ring.revoke(&key_id).await.expect("the key is there, and the store up");
    }
}

/// Lets `duration` pass for all replicas, each as late to refresh as it may be.
pub(crate) async fn pass(replicas: &[&Replica], duration: Duration) {
    let mut left = duration;
    while !left.is_zero() {
        let step = left.min(REFRESH);
        left -= step;
        for replica in replicas {
            replica.clock.advance(step);
        }
        for replica in replicas {
            replica.refresh().await;
        }
    }
}

/// Lets the time until `until` pass, by the first replica's clock.
pub(crate) async fn pass_until(replicas: &[&Replica], until: Timestamp) {
    use tower_jwt_session::Clock as _;
    let now = replicas.first().map(|replica| replica.clock.now());
    pass(replicas, until - now.expect("a replica")).await;
}

/// All replicas hold the same keys and marks, and sign with the same key.
#[track_caller]
pub(crate) fn assert_converged(replicas: &[&Replica]) {
    let [first, others @ ..] = replicas else { panic!("no replicas") };
    let expected = first.ring.status();
    for other in others {
        let status = other.ring.status();
        assert_eq!(status.fingerprint, expected.fingerprint);
        assert_eq!(status.signing_key_id, expected.signing_key_id);
    }
}

/// Every replica accepts what every replica issues now.
#[track_caller]
pub(crate) fn assert_served_everywhere(replicas: &[&Replica]) {
    for issuer in replicas {
        let token = issuer.issue();
        for validator in replicas {
            assert_eq!(validator.judge(&token), Ok(()));
        }
    }
}
