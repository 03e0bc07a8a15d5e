//! Any durations: either they break a stated inequality and are refused, or the schedule that they
//! make keeps its promises.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRng;
use tokio::runtime::Builder;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    Algorithm, BuildError, KeyRing, Login, RotationPolicy, Sessions, Timestamp,
};

const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

/// The durations of a policy, in seconds; the period in hundredths of what a successor needs.
#[derive(Clone, Debug)]
struct Durations {
    period: u64,
    lifetime: u64,
    skew: u64,
    interval: u64,
    timeout: u64,
    insert_timeout: u64,
    max_age: u64,
    overrun: u64,
}

fn any_durations() -> impl Strategy<Value = Durations> {
    let needs = (0..=90_u64, 5..=60_u64, 1..=10_u64, 1..=15_u64, 0..=300_u64);
    (needs, 80..=300_u64, 1..=2000_u64, 0..=1000_u64).prop_map(
        |((skew, interval, timeout, insert_timeout, max_age), period, lifetime, overrun)| {
            Durations {
                period,
                lifetime,
                skew,
                interval,
                timeout,
                insert_timeout,
                max_age,
                overrun,
            }
        },
    )
}

impl Durations {
    fn policy(&self) -> RotationPolicy {
        let policy = RotationPolicy::new()
            .max_token_lifetime(Duration::from_secs(self.lifetime))
            .clock_skew(Duration::from_secs(self.skew))
            .refresh_interval(Duration::from_secs(self.interval))
            .refresh_timeout(Duration::from_secs(self.timeout))
            .insert_timeout(Duration::from_secs(self.insert_timeout))
            .jwks_max_age(Duration::from_secs(self.max_age))
            .max_overdue_signing(Duration::from_secs(self.overrun));
        let period = self.needed(&policy) * self.period as u32 / 100;
        policy.signing_period(period)
    }

    /// What it takes to publish a successor to everyone: W + 2R + 2d + C.
    fn needed(&self, policy: &RotationPolicy) -> Duration {
        Duration::from_secs(self.insert_timeout + 2 * self.skew + self.max_age)
            + 2 * policy.refresh_bound()
    }

    fn may_stand(&self) -> bool {
        self.period >= 100 && self.skew < self.lifetime
    }
}

/// A replica whose clock is so much ahead.
struct Replica {
    ahead: Duration,
    clock: ManualClock,
    ring: KeyRing,
    sessions: Sessions<()>,
    next_refresh: Timestamp,
    /// When it first held each key.
    held_since: BTreeMap<String, Timestamp>,
}

impl Replica {
    async fn open(
        store: &MemoryStore,
        durations: &Durations,
        ahead: Duration,
    ) -> Result<Self, BuildError> {
        let clock = ManualClock::new(START + ahead);
        let builder = KeyRing::builder("app").store(store.clone()).rotation(durations.policy());
        let ring = builder.algorithm(Algorithm::HS256).clock(clock.clone()).open().await?;
        let sessions = Sessions::builder(ring.clone(), "https://issuer.test", "app")
            .idle_lifetime(Duration::from_secs(durations.lifetime))
            .token_cache_bytes(0)
            .build()?;
        let held_since = BTreeMap::new();
        Ok(Self { ahead, clock, ring, sessions, next_refresh: START, held_since })
    }

    fn hold(&mut self, now: Timestamp) {
        for key in self.ring.status().keys {
            self.held_since.entry(key.key_id).or_insert(now);
        }
    }
}

/// Two replicas with clocks as far apart as they may be, through more than three periods, each
/// refreshing as seldom as it may.
async fn keeps_its_promises(durations: Durations, mut random: TestRng) {
    let store = MemoryStore::new();
    let skew = Duration::from_secs(durations.skew);
    let first = match Replica::open(&store, &durations, Duration::ZERO).await {
        Ok(replica) => replica,
        Err(error) => return assert!(!durations.may_stand(), "{error}"),
    };
    assert!(durations.may_stand());
    let second = Replica::open(&store, &durations, skew).await.expect("as the first");
    let mut replicas = [first, second];
    let interval = Duration::from_secs(durations.interval);
    let max_age = Duration::from_secs(durations.max_age);
    let end = START + durations.needed(&durations.policy()) * durations.period as u32 / 100 * 7 / 2;
    let mut tokens: Vec<(String, Timestamp)> = Vec::new();
    let mut signers: Vec<String> = Vec::new();
    loop {
        let place = usize::from(replicas[1].next_refresh < replicas[0].next_refresh);
        let now = replicas[place].next_refresh;
        if now >= end {
            break;
        }
        replicas[place].next_refresh = now + interval + interval * (random.next_u32() % 101) / 1000;
        for replica in &replicas {
            replica.clock.set(now + replica.ahead);
        }
        replicas[place].ring.refresh().await.expect("the store is up");
        replicas.iter_mut().for_each(|replica| replica.hold(now));

        let issuer = &replicas[random.next_u32() as usize % 2];
        let token = issuer.sessions.issue(&Login::new("alice", ())).expect("a key signs");
        for replica in &replicas {
            let accepted = replica.sessions.validate(token.as_str());
            let session = accepted.unwrap_or_else(|rejection| panic!("{rejection} at {now}"));
            let signer = session.key_id();
            // The first key has nobody to be published to.
            if signers.first().is_some_and(|first| first != signer) {
                let held_since = replica.held_since[signer];
                assert!(held_since + max_age <= now, "{signer} of {held_since} signs at {now}");
            }
            if !signers.iter().any(|known| known == signer) {
                signers.push(signer.to_owned());
            }
        }
        tokens.push((token.as_str().to_owned(), token.expires_at()));
        tokens.retain(|(_, expires_at)| now + skew < *expires_at);
        for _ in 0..3.min(tokens.len()) {
            let (token, _) = &tokens[random.next_u32() as usize % tokens.len()];
            let replica = &replicas[random.next_u32() as usize % 2];
            let accepted = replica.sessions.validate(token);
            assert!(accepted.is_ok(), "{accepted:?} at {now}");
        }
    }
    assert!(signers.len() >= 3, "{} keys have signed", signers.len());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_durations_are_refused_or_keep_their_promises(
        durations in any_durations(),
        random in any::<[u8; 32]>(),
    ) {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let algorithm = proptest::test_runner::RngAlgorithm::ChaCha;
        let random = TestRng::from_seed(algorithm, &random);
        runtime.block_on(keeps_its_promises(durations, random));
    }
}
