//! Revocations in virtual time: sessions are ended, the store is emptied, and a replica is restarted
//! before the others have polled. No replica accepts a copy of an ended session, and none that is
//! ready refuses a good one.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_jwt_session::store::{
    Advance, Cursor, Entry, EntryName, FeedRead, Insertion, Loaded, Register, RegisterId,
    RevocationStore, RevokedSession, Store, StoreFuture,
};
use tower_jwt_session::testing::{ManualClock, fixed_ring};
use tower_jwt_session::{Login, Revocations, Sessions, Timestamp};

use super::scenario::{Millis, Random};
use super::{environment, in_virtual_time};
use crate::support::PLACE;
use crate::support::delegate::delegate;
use crate::support::replicas::START;
use crate::support::stores::{Reach, TestStore};

/// A connection on which each operation takes up to so long.
#[derive(Debug)]
struct Slow {
    store: TestStore,
    most: Millis,
    random: Mutex<Random>,
}

impl Slow {
    async fn delay(&self) {
        let takes = self.random.lock().expect("no test panics in here").between(0, self.most);
        sleep(Duration::from_millis(takes)).await;
    }
}

impl Slow {
    /// Does it some time after the call, and answers some time later.
    async fn slowly<T>(&self, operation: impl Future<Output = T>) -> T {
        self.delay().await;
        let done = operation.await;
        self.delay().await;
        done
    }
}

impl Store for Slow {
    delegate!(store: changed properties);

    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(self.slowly(self.store.load(ring)))
    }

    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        Box::pin(self.slowly(self.store.read(ring, names)))
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        Box::pin(self.slowly(self.store.insert(ring, entry)))
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(self.slowly(self.store.remove(ring, name)))
    }
}

impl RevocationStore for Slow {
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(self.slowly(self.store.append(feed, sessions, now)))
    }

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        Box::pin(self.slowly(self.store.advance(feed, advance)))
    }

    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(self.slowly(RevocationStore::restore(&self.store, feed, held, now)))
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        Box::pin(self.slowly(self.store.registers(feed, ids)))
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        Box::pin(self.slowly(self.store.read_feed(feed, cursor)))
    }
}

struct Fleet {
    random: Random,
    store: TestStore,
    interval: Millis,
    write_timeout: Millis,
    /// How long an operation may take.
    most: Millis,
    /// A newcomer relies on an empty store at once: the fault to be found.
    at_once: bool,
    replicas: Vec<Replica>,
}

struct Replica {
    revocations: Revocations,
    sessions: Sessions<()>,
}

/// What a seed came to: how often the store was emptied, and what did not hold.
type Outcome = Result<u64, String>;

impl Fleet {
    fn of_seed(seed: u64, at_once: bool) -> Self {
        let mut random = Random::new(seed);
        let reach = [Reach::Notifying, Reach::Polled][random.index(2)];
        let most = match reach {
            // Slower than the wait is asleep during it, as far as a newcomer can see.
            Reach::Polled => [5, 400][random.index(2)],
            _ => [5, 50][random.index(2)],
        };
        let interval = random.between(2_000, 20_000);
        let write_timeout = random.between(5_000, 10_000);
        let store = TestStore::shared(reach);
        Self { random, store, interval, write_timeout, most, at_once, replicas: Vec::new() }
    }

    async fn open(&mut self, at_once: bool) -> Replica {
        let random = Mutex::new(Random::new(self.random.next()));
        let store = Slow { store: self.store.sibling(), most: self.most, random };
        let clock = ManualClock::new(START + Duration::from_millis(self.random.between(0, 30_000)));
        let revocations = Revocations::builder("app")
            .store(store)
            .clock(clock.clone())
            .refresh_interval(Duration::from_millis(self.interval))
            .refresh_timeout(Duration::from_millis(2_000))
            .insert_timeout(Duration::from_millis(self.write_timeout));
        let revocations = if at_once { revocations.found_now() } else { revocations };
        let revocations = revocations.open().await.expect("the store is up");
        let sessions = Sessions::builder(fixed_ring(clock), "https://app.example", "app");
        let sessions = sessions.revocations(revocations.clone()).build().expect("good settings");
        Replica { revocations, sessions }
    }

    fn bound(&self) -> Duration {
        self.replicas[0].revocations.refresh_bound()
    }

    fn is_ready(&self) -> bool {
        self.replicas.iter().all(|replica| replica.revocations.ready().is_ok())
    }

    /// Waits until every replica is ready, for as long as a wait and its answer may take.
    async fn until_ready(&self) -> Result<(), String> {
        let longest = 4 * (self.bound() + Duration::from_millis(self.write_timeout));
        let began = Instant::now();
        while !self.is_ready() {
            if began.elapsed() > longest {
                return Err(format!("a replica is not ready after {longest:?}"));
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// One login at a replica.
    fn login(&mut self, subject: &str) -> String {
        let by = self.random.index(self.replicas.len());
        let issued = self.replicas[by].sessions.issue(&Login::new(subject, ()));
        issued.expect("a fixed key signs").as_str().to_owned()
    }

    /// Ends a session, or all of its subject, at a replica.
    async fn logout(&mut self, token: &str, subject: &str) {
        let by = self.random.index(self.replicas.len());
        let sessions = self.replicas[by].sessions.clone();
        if self.random.percent(50) {
            sessions.revoke_subject(subject).await.expect("the store is up");
        } else {
            let session = sessions.validate(token).expect("it is good");
            sessions.logout(&session).await.expect("the store is up");
        }
    }

    async fn run(mut self) -> Outcome {
        for _ in 0..3 + self.random.index(3) {
            let replica = self.open(false).await;
            self.replicas.push(replica);
        }
        self.until_ready().await?;
        for round in 0..4 {
            let (mut ended, mut good) = (Vec::new(), Vec::new());
            for user in 0..4 {
                let subject = format!("user-{round}-{user}");
                let token = self.login(&subject);
                if user < 2 {
                    self.logout(&token, &subject).await;
                    ended.push(token);
                } else {
                    good.push(token);
                }
            }
            // The one that is restarted may be the last to know.
            sleep(self.bound() + Duration::from_millis(100)).await;
            self.check(usize::MAX, &ended, &good)?;
            self.store.purge_feed(PLACE).await;
            let restarted = self.random.index(self.replicas.len());
            let pause = self.random.between(0, 200);
            sleep(Duration::from_millis(pause)).await;
            self.replicas[restarted] = self.open(self.at_once).await;
            let longest = self.bound() + Duration::from_millis(self.write_timeout);
            let began = Instant::now();
            while began.elapsed() < longest || !self.is_ready() {
                self.check(restarted, &ended, &good)?;
                if began.elapsed() > 4 * longest {
                    return Err(format!(
                        "replica {restarted} is not ready after {:?}",
                        4 * longest
                    ));
                }
                let step = self.random.between(1, 300);
                sleep(Duration::from_millis(step)).await;
            }
            self.check(restarted, &ended, &good)?;
        }
        Ok(4)
    }

    fn check(&self, restarted: usize, ended: &[String], good: &[String]) -> Result<(), String> {
        for (place, replica) in self.replicas.iter().enumerate() {
            let ready = replica.revocations.ready();
            let what = || {
                let restarted = if place == restarted { "restarted " } else { "" };
                let reach = if self.store.properties().notifies { "notified" } else { "polled" };
                format!("the {restarted}replica {place} ({reach}, {ready:?})")
            };
            for token in ended {
                if replica.sessions.validate(token).is_ok() {
                    return Err(format!("{} accepts an ended session", what()));
                }
            }
            for token in good.iter().filter(|_| ready.is_ok()) {
                if let Err(rejection) = replica.sessions.validate(token) {
                    return Err(format!("{} refuses a good session: {rejection}", what()));
                }
            }
        }
        Ok(())
    }
}

fn run(seed: u64, at_once: bool) -> Outcome {
    in_virtual_time(async { Fleet::of_seed(seed, at_once).run().await })
}

#[test]
fn store_emptied_and_replica_restarted_revives_no_session() {
    let seeds = environment("SIMULATION_SEEDS").unwrap_or(60);
    let mut emptied = 0;
    for seed in 0..seeds {
        emptied += run(seed, false).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
    assert_eq!(emptied, 4 * seeds);
}

#[test]
fn without_the_wait_of_a_newcomer_an_ended_session_is_accepted() {
    let found = (0..60).find_map(|seed| run(seed, true).err().map(|why| (seed, why)));
    let (seed, why) = found.expect("it is found");
    println!("seed {seed}: {why}");
    assert!(why.contains("the restarted replica") && why.contains("accepts an ended"), "{why}");
}
