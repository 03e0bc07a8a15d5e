//! A long walk: hundreds of rotations with clocks that differ, refreshes in any order, outages,
//! restarts and rotations by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Algorithm, KeyRing, RotationPolicy, Timestamp};

use crate::support::replicas::{
    REFRESH, RING, Replica, SKEW, START, assert_converged, policy, seconds,
};
use crate::support::stores::{Operation, TestStore};

/// A small generator of numbers (SplitMix64), the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn up_to(&mut self, duration: Duration) -> Duration {
        Duration::from_millis(self.below(duration.as_millis() as u64 + 1))
    }
}

/// A key is in use for ten minutes, a token for five.
const TOKEN_LIFE: Duration = Duration::from_secs(300);

fn short() -> RotationPolicy {
    policy()
        .signing_period(seconds(600))
        .max_token_lifetime(TOKEN_LIFE)
        .max_overdue_signing(seconds(300))
}

struct Walker {
    replica: Replica,
    store: TestStore,
    /// How far its clock is ahead of the slowest.
    ahead: Duration,
    next_refresh: Timestamp,
    /// When it last read the store.
    refreshed: Timestamp,
}

struct Live {
    token: String,
    /// By the issuer's clock.
    expires: Timestamp,
    ahead: Duration,
}

struct Walk {
    random: Random,
    algorithm: Algorithm,
    walkers: Vec<Walker>,
    tokens: Vec<Live>,
    /// The key of each generation.
    keys: BTreeMap<u64, String>,
    checked: usize,
}

async fn open(store: TestStore, algorithm: Algorithm, now: Timestamp) -> Replica {
    let clock = ManualClock::new(now);
    let builder = KeyRing::builder(RING).store(store).clock(clock.clone());
    let ring = builder.algorithm(algorithm).rotation(short()).open().await.expect("opens");
    Replica::of(ring, clock, TOKEN_LIFE)
}

impl Walk {
    async fn begin(seed: u64, algorithm: Algorithm) -> Self {
        let mut random = Random(seed);
        let content = TestStore::new();
        let mut walkers = Vec::new();
        for _ in 0..3 {
            let ahead = random.up_to(SKEW);
            let store = content.sibling();
            let replica = open(store.clone(), algorithm, START + ahead).await;
            let next_refresh = START + random.up_to(REFRESH);
            walkers.push(Walker { replica, store, ahead, next_refresh, refreshed: START });
        }
        Self { random, algorithm, walkers, tokens: Vec::new(), keys: BTreeMap::new(), checked: 0 }
    }

    /// The next refresh of whichever replica is first, and what goes on around it.
    async fn step(&mut self) {
        let next = (0..self.walkers.len()).min_by_key(|place| self.walkers[*place].next_refresh);
        let place = next.expect("a replica");
        let now = self.walkers[place].next_refresh;
        self.walkers[place].next_refresh = now + REFRESH / 2 + self.random.up_to(REFRESH / 2);
        if self.random.one_in(8) {
            self.walkers[place].ahead = self.random.up_to(SKEW);
        }
        for walker in &self.walkers {
            walker.replica.clock.set(now + walker.ahead);
        }
        self.refresh(place, now).await;
        self.observe(place);
        self.issue(now);
        self.check(now);
    }

    async fn refresh(&mut self, place: usize, now: Timestamp) {
        let trouble = self.random.below(60);
        let walker = &mut self.walkers[place];
        match trouble {
            0 => walker.store.fail(&[Operation::Load]),
            1 => walker.store.fail(&[Operation::Insert]),
            2 => walker.store.lose_answers(),
            // A crash; it comes back at once.
            3 => {
                let begun = open(walker.store.clone(), self.algorithm, now + walker.ahead);
                walker.replica = begun.await;
            }
            4 => _ = walker.replica.ring.rotate_now().await,
            _ => {}
        }
        let result = walker.replica.ring.refresh().await;
        assert!(result.is_ok() || trouble < 3, "{result:?}");
        if trouble != 0 {
            walker.refreshed = now;
        }
        walker.store.up();
    }

    /// One key per generation, and no generation left out.
    fn observe(&mut self, place: usize) {
        let status = self.walkers[place].replica.ring.status();
        for pair in status.keys.windows(2) {
            assert_eq!(pair[0].generation + 1, pair[1].generation, "generations are dense");
        }
        for key in status.keys {
            let known = self.keys.entry(key.generation).or_insert(key.key_id.clone());
            assert_eq!(*known, key.key_id, "one key per generation");
        }
    }

    fn issue(&mut self, now: Timestamp) {
        let place = self.random.below(self.walkers.len() as u64) as usize;
        let walker = &self.walkers[place];
        if now - walker.refreshed > REFRESH {
            return;
        }
        let token = walker.replica.try_issue().expect("someone always signs");
        let expires = token.expires_at();
        assert_eq!(token.lifetime(), TOKEN_LIFE);
        let ahead = walker.ahead;
        self.tokens.push(Live { token: token.as_str().to_owned(), expires, ahead });
    }

    /// Every replica that has refreshed in time accepts every token that lives.
    fn check(&mut self, now: Timestamp) {
        self.tokens.retain(|live| now + live.ahead < live.expires);
        let newest = self.tokens.len().saturating_sub(1);
        let some = self.random.below(self.tokens.len() as u64 + 1) as usize;
        for live in [newest, some].iter().filter_map(|place| self.tokens.get(*place)) {
            for walker in self.walkers.iter().filter(|walker| now - walker.refreshed <= REFRESH) {
                assert_eq!(walker.replica.judge(&live.token), Ok(()), "at {now}");
                self.checked += 1;
            }
        }
    }

    /// At one time all replicas sign with one key.
    async fn converge(&mut self) {
        let latest = self.walkers.iter().map(|walker| walker.next_refresh).max();
        let now = latest.expect("a replica") + SKEW;
        for _ in 0..2 {
            for walker in &self.walkers {
                walker.replica.refresh_at(now).await;
            }
        }
        let replicas: Vec<_> = self.walkers.iter().map(|walker| &walker.replica).collect();
        assert_converged(&replicas);
    }
}

async fn walk(seed: u64, algorithm: Algorithm, rotations: usize) {
    let mut walk = Walk::begin(seed, algorithm).await;
    while walk.keys.len() < rotations {
        walk.step().await;
    }
    walk.converge().await;
    assert!(walk.checked > rotations * 10, "{} checks", walk.checked);
    let generations: Vec<_> = walk.keys.keys().copied().collect();
    assert_eq!(generations, (0..generations.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn tokens_are_accepted_through_hundreds_of_rotations() {
    walk(1, Algorithm::HS256, 200).await;
}

#[tokio::test]
async fn tokens_are_accepted_in_any_order_of_events() {
    for seed in 2..6 {
        walk(seed, Algorithm::EdDSA, 10).await;
    }
}
