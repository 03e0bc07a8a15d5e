//! The world of one run: replicas, store, tokens, what was found, and the story so far.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tower_jwt_session::{Clock, KeyRing, KeyTimes, Sessions, Timestamp};

use super::scenario::{Millis, Random, Scenario, millis};
use super::store::{Held, Says, Shelf};

/// Shared by the simulator's tasks, which all run in one thread.
#[derive(Debug)]
pub(super) struct World(Mutex<State>);

#[derive(Debug)]
pub(super) struct State {
    pub(super) scenario: Scenario,
    pub(super) random: Random,
    start: Instant,
    pub(super) shelf: Shelf,
    pub(super) replicas: Vec<Replica>,
    pub(super) tokens: VecDeque<Token>,
    /// Every key that ever stood in the store, by its ID.
    pub(super) keys: BTreeMap<String, KeyFact>,
    /// Every ring that ever was born, in this order.
    pub(super) rings: Vec<String>,
    /// The key that has signed for a generation of a ring.
    pub(super) signers: BTreeMap<(String, u64), String>,
    /// The keys that someone has begun to revoke.
    pub(super) revocations: BTreeSet<String>,
    /// The replicas that have begun to replace all keys: those that their own reads add are revoked
    /// there, too, before anyone else can know.
    pub(super) replacing: BTreeSet<usize>,
    /// When each key's revocation was reported as done.
    pub(super) reported_revoked: BTreeMap<String, Millis>,
    pub(super) last_revocation: Option<Millis>,
    /// When something last failed, was lost or was done by an operator.
    pub(super) troubled: Millis,
    /// When that, or anything in the store, last changed.
    pub(super) disturbed: Millis,
    /// When the store last lost something, and when live replicas had put it all back.
    pub(super) lost: Option<Millis>,
    pub(super) whole: Option<Millis>,
    /// How often the store was emptied under live replicas, and when it was last.
    pub(super) emptied: Option<(u64, Millis)>,
    /// A clock has been off by more than the policy allows for.
    pub(super) was_wild: bool,
    /// The faults are over.
    pub(super) calm_ahead: bool,
    pub(super) violation: Option<Violation>,
    pub(super) counted: Counted,
    story: VecDeque<String>,
}

/// What happened, for figures and to see that something did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) events: u64,
    pub(super) accepted: u64,
    pub(super) excused: u64,
    pub(super) issued: u64,
    pub(super) unavailable: u64,
    pub(super) fingerprints_compared: u64,
    /// How often the store was emptied under live replicas.
    pub(super) emptied: u64,
}

impl Counted {
    pub(super) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.accepted += other.accepted;
        self.excused += other.excused;
        self.issued += other.issued;
        self.unavailable += other.unavailable;
        self.fingerprints_compared += other.fingerprints_compared;
        self.emptied += other.emptied;
    }
}

/// A property that does not hold.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    pub(super) property: &'static str,
    pub(super) story: String,
}

#[derive(Debug)]
pub(super) struct Replica {
    pub(super) clock: SkewedClock,
    /// Counted up by each crash.
    pub(super) life: u64,
    pub(super) up: Option<Up>,
    pub(super) cut_off: bool,
    /// Its clock is off by more than the policy allows for.
    pub(super) wild: bool,
    /// When a read of its last failed.
    pub(super) trouble: Option<Millis>,
    pub(super) changed: Arc<Notify>,
}

/// A replica that runs.
#[derive(Clone, Debug)]
pub(super) struct Up {
    pub(super) ring: KeyRing,
    pub(super) sessions: Sessions<()>,
    pub(super) opened: Millis,
    /// The keys it has been seen to hold, until when.
    pub(super) knows: BTreeMap<String, KeyTimes>,
    /// The keys that it knows to be revoked.
    pub(super) revoked: BTreeSet<String>,
    /// Its first refresh without a failure since the last revocation.
    pub(super) steady: Option<Millis>,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) kid: String,
    pub(super) expires: Timestamp,
    pub(super) by: usize,
    pub(super) issued: Millis,
}

#[derive(Clone, Debug)]
pub(super) struct KeyFact {
    pub(super) number: usize,
    pub(super) ring: String,
    pub(super) generation: u64,
    pub(super) verifies_until: Timestamp,
}

pub(super) fn lock(world: &World) -> MutexGuard<'_, State> {
    world.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(super) fn new(scenario: Scenario) -> Arc<Self> {
        let start = Instant::now();
        let mut random = Random::new(!scenario.seed);
        let half = scenario.skew_of_clocks() / 2;
        let replicas = (0..scenario.replicas).map(|_| {
            let offset = random.between(0, 2 * half) as i64 - half as i64;
            let clock = SkewedClock { start, offset: Arc::new(AtomicI64::new(offset)) };
            let (changed, trouble) = (Arc::default(), None);
            Replica { clock, life: 0, up: None, cut_off: false, wild: false, trouble, changed }
        });
        Arc::new(Self(Mutex::new(State {
            replicas: replicas.collect(),
            random,
            scenario,
            start,
            shelf: Shelf::default(),
            tokens: VecDeque::new(),
            keys: BTreeMap::new(),
            rings: Vec::new(),
            signers: BTreeMap::new(),
            revocations: BTreeSet::new(),
            replacing: BTreeSet::new(),
            reported_revoked: BTreeMap::new(),
            last_revocation: None,
            troubled: 0,
            disturbed: 0,
            lost: None,
            whole: None,
            emptied: None,
            was_wild: false,
            calm_ahead: false,
            violation: None,
            counted: Counted::default(),
            story: VecDeque::new(),
        })))
    }
}

/// How many events of the story are kept: enough for the last cause and its effect.
const STORY: usize = 120;

impl State {
    pub(super) fn now(&self) -> Millis {
        millis(Instant::now() - self.start)
    }

    /// Takes an event into the story. Keys are called by the order in which they came.
    pub(super) fn tell(&mut self, event: String) {
        if self.story.len() == STORY {
            self.story.pop_front();
        }
        let seconds = self.now() as f64 / 1000.0;
        self.story.push_back(format!("{seconds:>9.3} s  {event}"));
    }

    /// Whether a replica may still be writing the birth it decided on before it saw another's.
    pub(super) fn is_newborn(&self) -> bool {
        let Scenario { read_timeout, write_timeout, skew, .. } = &self.scenario;
        self.now() < 2 * (read_timeout + write_timeout + skew) + 1_000
    }

    /// A key's name in the story.
    pub(super) fn name(&self, kid: &str) -> String {
        self.keys.get(kid).map_or_else(|| "key ?".to_owned(), |fact| format!("key {}", fact.number))
    }

    pub(super) fn story(&self) -> String {
        let mut story = Vec::from(self.story.clone()).join("\n");
        for (kid, fact) in &self.keys {
            story = story.replace(kid, &format!("<key {}>", fact.number));
        }
        for (number, ring) in self.rings.iter().enumerate() {
            story = story.replace(ring, &format!("<ring {number}>"));
        }
        story
    }

    /// Notes that a property does not hold; the first one counts.
    pub(super) fn fail(&mut self, property: &'static str, detail: impl fmt::Display) {
        let counts = self.scenario.sought.is_none_or(|sought| sought == property);
        if counts && self.violation.is_none() {
            self.tell(format!("VIOLATION: {property}: {detail}"));
            let Scenario { seed, replicas, policy, faults, founding, .. } = &self.scenario;
            let again =
                if founding.is_some() { "SIMULATION_EMPTIED_SEED" } else { "SIMULATION_SEED" };
            let story = format!(
                "seed {seed}: {property}\n{replicas} replicas, R = {:?}, lead = {:?}\n{policy:?}\n\
                 {faults:?}\n{}\nAgain: {again}={seed} cargo test --all-features --test simulation -- \
                 --nocapture",
                policy.refresh_bound(),
                policy.replica_lead(),
                self.story(),
            );
            self.violation = Some(Violation { property, story });
        }
    }

    pub(super) fn note_entry(&mut self, held: &Held) {
        self.disturbed = self.now();
        if let Says::Birth { ring } | Says::Key { ring, .. } = &held.says
            && !self.rings.contains(ring)
        {
            self.rings.push(ring.clone());
        }
        if let Says::Revoke { kid } = &held.says {
            self.revocations.insert(kid.clone());
            let up = |replica: &Replica| replica.up.as_ref().map(|up| up.revoked.contains(kid));
            if self.replicas.iter().any(|replica| up(replica) == Some(false)) {
                self.note_emergency();
            }
        }
        if let Says::Key { kid, ring, generation, verifies_until } = &held.says {
            let (number, ring) = (self.keys.len(), ring.clone());
            let (generation, verifies_until) = (*generation, *verifies_until);
            let fact = KeyFact { number, ring, generation, verifies_until };
            self.keys.entry(kid.clone()).or_insert(fact);
        }
    }

    /// Notes that the store does not hold all that it held, or may not.
    pub(super) fn note_loss(&mut self) {
        self.trouble();
        (self.lost, self.whole) = (Some(self.now()), None);
    }

    /// Whether the store can't have lost anything since then.
    pub(super) fn lost_nothing_since(&self, then: Millis) -> bool {
        self.lost < Some(then) && !self.replicas.iter().any(|replica| replica.wild)
    }

    /// Notes that keys may be useless from now on, and new ones have to be made.
    pub(super) fn note_emergency(&mut self) {
        self.last_revocation = Some(self.now());
        let ups = self.replicas.iter_mut().filter_map(|replica| replica.up.as_mut());
        ups.for_each(|up| up.steady = None);
    }

    /// Notifies the replicas that can be reached of a change.
    pub(super) fn push(&mut self) {
        let pushed = self.scenario.faults.pushed;
        for replica in &self.replicas {
            if pushed > 0 && self.random.percent(pushed) && !replica.cut_off {
                let delay = Duration::from_millis(self.random.between(0, 50));
                let changed = replica.changed.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    changed.notify_one();
                });
            }
        }
    }

    pub(super) fn up(&self, replica: usize) -> Option<&Up> {
        self.replicas[replica].up.as_ref()
    }

    /// Notes that something failed, was lost, or was done by an operator.
    pub(super) fn trouble(&mut self) {
        (self.troubled, self.disturbed) = (self.now(), self.now());
    }

    /// Since when an entry of that kind for that key has stood in the store.
    pub(super) fn standing(&self, says: &Says) -> Option<Millis> {
        self.shelf.entries.values().find(|held| held.says == *says).map(|held| held.since)
    }
}

/// A clock that is off: by as much as the policy allows for, unless its replica is wild.
#[derive(Clone, Debug)]
pub(super) struct SkewedClock {
    start: Instant,
    pub(super) offset: Arc<AtomicI64>,
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let elapsed = millis(Instant::now() - self.start) as i64;
        let offset = self.offset.load(Ordering::Relaxed);
        Timestamp::from_unix_millis(1_800_000_000_000 + elapsed + offset)
    }
}
