//! A seed decides: how many replicas, which policy, how slow the store, what goes wrong.

use std::time::Duration;

use tower_jwt_session::{Algorithm, RotationPolicy};

/// Virtual milliseconds since the simulation began.
pub(super) type Millis = u64;

/// A small generator of numbers that are the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `least` to `most`, both included.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most.max(least) - least + 1)
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub(super) fn index(&mut self, length: usize) -> usize {
        (self.next() % length.max(1) as u64) as usize
    }
}

/// One run. All that is random in it follows from the seed, but for the keys themselves.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) replicas: usize,
    pub(super) algorithm: Algorithm,
    pub(super) policy: RotationPolicy,
    /// The policy's durations, in milliseconds.
    pub(super) interval: Millis,
    pub(super) read_timeout: Millis,
    pub(super) write_timeout: Millis,
    pub(super) skew: Millis,
    pub(super) token_lifetime: Millis,
    pub(super) overrun: Millis,
    /// How long faults go on; then the store is well, and everything has to come together.
    pub(super) faults_for: Millis,
    /// How often something goes wrong, in percent of the steps.
    pub(super) troubles: u64,
    pub(super) faults: Faults,
    /// Whether newcomers on an empty store wait for live replicas, and then hear of changes at once
    /// or have to poll; otherwise they found a ring at once.
    pub(super) founding: Option<Founding>,
    pub(super) broken: Option<Broken>,
    /// The only property that counts then.
    pub(super) sought: Option<&'static str>,
}

/// How newcomers found a ring that they do not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Founding {
    /// After a wait of seconds: the store reports each change to each replica.
    Notified,
    /// After every replica has polled.
    Polled,
}

/// A promise that is broken on purpose, to see that it is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Keys sign from when they are written: the lead is zero.
    Lead,
    /// A read misses what was written within so long, and the store does not say so.
    Reads(Millis),
    /// Every insert reports that it was the first.
    Inserts,
    /// Marks are said to be written, and are not.
    Marks,
    /// Clocks differ by ten times as much as the policy allows for.
    Clocks,
    /// Newcomers on an empty store found a ring at once.
    Founding,
}

/// What goes wrong, in percent: of operations, or as weights of events.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) failing: u64,
    pub(super) slow: u64,
    pub(super) pushed: u64,
    pub(super) partition: u64,
    pub(super) outage: u64,
    pub(super) crash: u64,
    pub(super) purge: u64,
    pub(super) restore: u64,
    pub(super) revoke: u64,
    pub(super) rotate: u64,
    pub(super) replace: u64,
    pub(super) clock: u64,
    pub(super) wild: u64,
    pub(super) empty: u64,
}

/// One seed in so many has hundreds of replicas.
const EACH_LARGE: u64 = 250;

impl Scenario {
    /// Each seed has a few kinds of faults and not the others, so that none hides another.
    pub(super) fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let interval = random.between(4_000, 20_000);
        let read_timeout = random.between(100, interval / 2);
        let write_timeout = random.between(100, interval);
        let skew = [0, random.between(1, 1_000), random.between(1_000, 6_000)][random.index(3)];
        let jwks = [0, random.between(0, interval)][random.index(2)];
        let mut scenario = Self {
            seed,
            replicas: match seed % EACH_LARGE {
                1 => random.index(200) + 50,
                _ => [3, 3, 3, 4, 5, 8][random.index(6)],
            },
            algorithm: [Algorithm::HS256, Algorithm::EdDSA][usize::from(random.percent(4))],
            policy: RotationPolicy::new(),
            interval,
            read_timeout,
            write_timeout,
            skew,
            token_lifetime: skew + random.between(2_000, 60_000),
            overrun: 0,
            faults_for: 0,
            troubles: 13,
            faults: Faults::of(&mut random),
            founding: None,
            broken: None,
            sought: None,
        };
        let policy = RotationPolicy::new()
            .refresh_interval(Duration::from_millis(interval))
            .refresh_timeout(Duration::from_millis(read_timeout))
            .insert_timeout(Duration::from_millis(write_timeout))
            .clock_skew(Duration::from_millis(skew))
            .jwks_max_age(Duration::from_millis(jwks))
            .max_token_lifetime(Duration::from_millis(scenario.token_lifetime));
        // The shortest that is accepted, and longer.
        let shortest = millis(policy.full_lead() + policy.refresh_bound());
        let period = shortest * random.between(100, 250) / 100;
        scenario.overrun = [0, period / 2, 2 * period][random.index(3)];
        scenario.faults_for = (2 * period).min(20 * interval);
        scenario.policy = policy
            .signing_period(Duration::from_millis(period))
            .max_overdue_signing(Duration::from_millis(scenario.overrun));
        scenario
    }

    /// The store is emptied again and again, and each time a replica is restarted before the others
    /// have polled. What else goes wrong keeps no live replica from the store.
    pub(super) fn emptied(seed: u64) -> Self {
        let mut scenario = Self::of_seed(seed);
        let mut random = Random::new(seed ^ 0x5eed);
        let founding = [Founding::Notified, Founding::Polled][random.index(2)];
        let (pushed, slow) = match founding {
            // A read that takes longer than the wait is a live replica that sleeps through it.
            Founding::Notified => (100, 0),
            Founding::Polled => ([0, 50][random.index(2)], [0, 40][random.index(2)]),
        };
        let [revoke, rotate] = [(); 2].map(|()| [0, 1][random.index(2)]);
        scenario.faults = Faults { pushed, slow, revoke, rotate, empty: 10, ..Faults::default() };
        scenario.replicas = scenario.replicas.min(8);
        scenario.founding = Some(founding);
        scenario.troubles = 40;
        scenario.faults_for = 30 * scenario.interval;
        scenario
    }

    /// The algorithm of a replica in one of its lives. In each third run replicas differ, as in a rolling
    /// deployment: rotations by hand then hand over from one algorithm to the other.
    pub(super) fn algorithm_of(&self, replica: usize, life: u64) -> Algorithm {
        let differ = self.algorithm == Algorithm::HS256 && self.seed.is_multiple_of(3);
        if differ && (replica as u64 + life) % 2 == 1 { Algorithm::HS384 } else { self.algorithm }
    }

    /// R: the longest time until a replica sees a change.
    pub(super) fn bound(&self) -> Millis {
        millis(self.policy.refresh_bound())
    }

    /// How far clocks are apart, those of sane replicas.
    pub(super) fn skew_of_clocks(&self) -> Millis {
        if self.broken == Some(Broken::Clocks) { 10 * self.skew } else { self.skew }
    }

    pub(super) fn replica_lead(&self) -> Millis {
        millis(self.policy.replica_lead())
    }
}

impl Faults {
    fn of(random: &mut Random) -> Self {
        let mut now_and_then = |most| [0, 0, most][random.index(3)];
        Self {
            failing: now_and_then(12),
            slow: now_and_then(40),
            pushed: now_and_then(90),
            partition: now_and_then(20),
            outage: now_and_then(10),
            crash: now_and_then(20),
            purge: now_and_then(6),
            restore: now_and_then(6),
            revoke: now_and_then(10),
            rotate: now_and_then(10),
            replace: now_and_then(4),
            clock: now_and_then(10),
            wild: now_and_then(6),
            empty: 0,
        }
    }
}

pub(super) fn millis(duration: Duration) -> Millis {
    duration.as_millis() as Millis
}
