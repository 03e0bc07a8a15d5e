//! The default signing period: few keys, however long a token may live.

use std::time::Duration;

use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    Algorithm, Clock as _, KeyRing, KeyStatus, Login, Root, RotationPolicy, Sessions, Timestamp,
};

use crate::support::replicas::{MILLI, START};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The default.
const SKEW: Duration = Duration::from_secs(60);

/// A ring through twice its longest token lifetime: the times at which it holds the most keys, and at
/// which one could be missing.
struct Walk {
    policy: RotationPolicy,
    life: Duration,
    overdue: Duration,
    clock: ManualClock,
    ring: KeyRing,
    sessions: Sessions<()>,
    /// The last token of each key, and when it expires.
    tokens: Vec<(u64, Timestamp, String)>,
}

impl Walk {
    async fn begin(policy: RotationPolicy, life: Duration, overdue: Duration) -> Self {
        let policy = policy.max_token_lifetime(life).max_overdue_signing(overdue);
        let clock = ManualClock::new(START);
        let ring = KeyRing::builder("app").store(MemoryStore::new()).rotation(policy.clone());
        let ring = ring
            .algorithm(Algorithm::HS256)
            .clock(clock.clone())
            .open()
            .await
            .expect("good durations");
        let sessions = Sessions::builder(ring.clone(), "https://app.example", "app");
        let sessions = sessions.idle_lifetime(life).absolute_lifetime(2 * life);
        let sessions = sessions.build().expect("good settings");
        Self { policy, life, overdue, clock, ring, sessions, tokens: Vec::new() }
    }

    /// The most keys that were published at once.
    async fn most_keys(mut self) -> usize {
        let mut most = 0;
        while self.clock.now() < START + 2 * self.life {
            self.ring.refresh().await.expect("the store is up");
            most = most.max(published(&self.ring, self.clock.now()));
            self.check();
            self.clock.set(self.next());
        }
        most
    }

    /// The next moment at which something may change, and those beside it.
    fn next(&self) -> Timestamp {
        let (now, keys) = (self.clock.now(), self.ring.status().keys);
        let published = self.policy.full_lead() + self.policy.refresh_bound();
        let of_key = |key: &KeyStatus| {
            let times = key.times;
            let due = times.signs_from - published;
            [due - MILLI, due, times.signs_from, times.signs_until - MILLI, times.verifies_until]
        };
        let times = keys.iter().flat_map(of_key);
        let expiries = self.tokens.iter().map(|(_, expires_at, _)| *expires_at + SKEW - MILLI);
        let next = times.chain(expiries).filter(|at| now < *at).min();
        next.expect("a key is ahead")
    }

    /// The invariants of a rotation that nothing disturbs.
    fn check(&mut self) {
        let (now, status) = (self.clock.now(), self.ring.status());
        let signer = status.generation.expect("a key signs");
        let is_ready = |key: &&KeyStatus| key.generation > signer && key.times.propagated <= now;
        let has_ready = status.keys.iter().any(|key| is_ready(&key));
        assert!(has_ready || now < START + self.policy.full_lead(), "no successor at {now}");
        for pair in status.keys.windows(2) {
            let (key, next) = (pair[0].times, pair[1].times);
            assert_eq!(next.signs_from, key.signs_until);
            assert!(next.published + self.policy.full_lead() <= next.signs_from);
        }
        let key =
            status.keys.iter().find(|key| key.generation == signer).expect("the signer").times;
        assert_eq!(key.signs_latest, key.signs_until + self.overdue);
        assert_eq!(key.verifies_until, key.signs_latest + self.life + SKEW);
        let token = self.sessions.issue(&Login::new("alice", ())).expect("a key signs");
        assert_eq!(token.lifetime().as_secs(), self.life.as_secs());
        assert!(token.expires_at() <= key.verifies_until - SKEW);
        self.tokens.retain(|(generation, expires_at, _)| {
            *generation != signer && now < *expires_at + SKEW
        });
        self.tokens.push((signer, token.expires_at(), token.as_str().to_owned()));
        for (_, _, token) in &self.tokens {
            self.sessions.validate(token).expect("it has not expired");
        }
    }
}

/// How many keys verify, as the JWKS of asymmetric ones lists them.
fn published(ring: &KeyRing, now: Timestamp) -> usize {
    let keys = ring.status().keys;
    keys.iter().filter(|key| now < key.times.verifies_until).count()
}

fn period_of(ring: &KeyRing) -> Duration {
    let times = ring.status().keys.last().expect("a key").times;
    times.signs_until - times.signs_from
}

#[tokio::test]
async fn default_period_publishes_at_most_nine_keys_up_to_ninety_days() {
    for days in 1..=90 {
        let walk = Walk::begin(RotationPolicy::new(), days * DAY, DAY).await;
        let period = period_of(&walk.ring);
        assert!(period >= DAY.max(days * DAY / 6), "{days} days: {period:?}");
        assert!(period <= DAY.max(days * DAY / 6) + Duration::from_secs(300), "{days}: {period:?}");
        let most = walk.most_keys().await;
        assert!(most <= 9, "{days} days: {most} keys");
    }
}

#[tokio::test]
async fn default_period_counts_how_long_a_key_may_sign_past_its_time() {
    for overdue in [Duration::ZERO, 30 * DAY] {
        let most = Walk::begin(RotationPolicy::new(), 20 * DAY, overdue).await.most_keys().await;
        assert!(most <= 9, "{overdue:?}: {most} keys");
    }
}

#[tokio::test]
async fn explicit_period_stays_as_it_is() {
    let policy = RotationPolicy::new().signing_period(DAY);
    let walk = Walk::begin(policy, 30 * DAY, DAY).await;
    assert_eq!(period_of(&walk.ring), DAY);
    assert!(walk.most_keys().await > 30, "each verifies for a month");
}

#[test]
fn derived_ring_publishes_at_most_nine_keys_up_to_ninety_days() {
    for days in 1..=90 {
        let life = days * DAY;
        let open = |policy: RotationPolicy| {
            let clock = ManualClock::new(START);
            let root = Root::new((100..132).collect::<Vec<u8>>()).expect("random enough");
            let policy = policy.max_token_lifetime(life);
            let ring = KeyRing::derived("app", root).rotation(policy).clock(clock.clone());
            (ring.algorithm(Algorithm::HS256).build().expect("good settings"), clock)
        };
        let (ring, clock) = open(RotationPolicy::new());
        assert_eq!(period_of(&ring), DAY.max(life / 6));
        // Settings of a store change nothing: replicas with others hold the same keys.
        let polling = RotationPolicy::new().refresh_interval(DAY).max_overdue_signing(9 * DAY);
        assert_eq!(ring.status().signing_key_id, open(polling).0.status().signing_key_id);
        let sessions = Sessions::<()>::builder(ring.clone(), "https://app.example", "app");
        let sessions = sessions.idle_lifetime(life).absolute_lifetime(life).build();
        let sessions = sessions.expect("good settings");
        let token = sessions.issue(&Login::new("alice", ())).expect("signs");
        while clock.now() < START + life + SKEW - MILLI {
            let published = published(&ring, clock.now());
            assert!(published <= 9, "{days} days: {published} keys");
            sessions.validate(token.as_str()).expect("it has not expired");
            clock.set((clock.now() + life / 37).min(START + life + SKEW - MILLI));
        }
        sessions.validate(token.as_str()).expect("the last moment");
    }
}
