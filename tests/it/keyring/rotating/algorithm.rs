//! A changed algorithm takes effect when the operator rotates by hand, with replicas of both settings
//! beside each other, and refuses no token.

use std::collections::BTreeSet;
use std::time::Duration;

use tower_jwt_session::store::{MemoryStore, Store};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Algorithm, KeyRing, KeyStatus, Timestamp};

use crate::support::replicas::{
    FULL_LEAD, LIFE, MILLI, PERIOD, REFRESH, RING, Replica, SKEW, START, assert_converged, pass,
    pass_until, policy, seconds,
};
use crate::support::stores::TestStore;

const OLD: Algorithm = Algorithm::HS256;
const NEW: Algorithm = Algorithm::HS384;

async fn open(store: impl Store, algorithm: Algorithm, now: Timestamp) -> Replica {
    let clock = ManualClock::new(now);
    let builder = KeyRing::builder(RING).store(store).rotation(policy()).algorithm(algorithm);
    let ring = builder.clock(clock.clone()).found_now().open().await.expect("the ring opens");
    Replica::of(ring, clock, LIFE)
}

/// The algorithm that signs now.
fn signs(replica: &Replica) -> Algorithm {
    signer(replica).algorithm
}

fn signer(replica: &Replica) -> KeyStatus {
    replica.key(replica.signs().expect("a key signs"))
}

/// A fleet whose every token is accepted by every replica until it expires.
struct Fleet {
    now: Timestamp,
    replicas: Vec<Replica>,
    tokens: Vec<(Timestamp, String)>,
    signed: BTreeSet<&'static str>,
}

impl Fleet {
    /// Replicas that have rotated by themselves for a while, with clocks as different as they may be.
    async fn of<const N: usize>(store: &TestStore, algorithms: [Algorithm; N]) -> Self {
        let mut fleet =
            Self { now: START, replicas: Vec::new(), tokens: Vec::new(), signed: BTreeSet::new() };
        for algorithm in algorithms {
            fleet.join(store, algorithm).await;
        }
        fleet.pass(FULL_LEAD + seconds(600)).await;
        fleet
    }

    async fn join(&mut self, store: &TestStore, algorithm: Algorithm) {
        let ahead = SKEW * (self.replicas.len() as u32 % 2);
        self.replicas.push(open(store.sibling(), algorithm, self.now + ahead).await);
    }

    /// Replaces a replica by one with the new algorithm.
    async fn deploy(&mut self, store: &TestStore, replica: usize) {
        self.join(store, NEW).await;
        self.replicas.swap_remove(replica);
        self.pass(2 * REFRESH).await;
    }

    /// Lets time pass: all issue, and all accept what any has issued.
    async fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until {
            for replica in &self.replicas {
                let token = replica.try_issue().expect("a key signs at any time");
                self.tokens.push((token.expires_at(), token.as_str().to_owned()));
                self.signed.insert(signs(replica).as_str());
            }
            let step = (until - self.now).min(REFRESH);
            self.now = self.now + step;
            self.tokens.retain(|(expires_at, _)| self.now < *expires_at);
            for replica in &self.replicas {
                replica.clock.advance(step);
                replica.refresh().await;
            }
            // The newest, and some of the others.
            for (_, token) in self.tokens.iter().rev().step_by(7).chain(self.tokens.last()) {
                for replica in &self.replicas {
                    assert_eq!(replica.judge(token), Ok(()), "at {}", self.now);
                }
            }
        }
    }

    async fn pass_until(&mut self, until: Timestamp) {
        self.pass(until - self.now).await;
    }
}

#[tokio::test]
async fn changed_algorithm_signs_a_full_lead_after_the_call() {
    let store = MemoryStore::new();
    let before = open(store.clone(), OLD, START).await;
    pass(&[&before], 2 * FULL_LEAD).await;
    assert_eq!(before.key(1).algorithm, OLD, "the published key");
    drop(before);

    let now = START + 2 * FULL_LEAD;
    let replica = open(store, NEW, now).await;
    let old_token = replica.issue();
    let at = replica.ring.rotate_now().await.expect("rotates");
    assert_eq!(at, now + FULL_LEAD);
    assert_eq!(replica.generations(), [0, 1, 2, 3]);
    assert_eq!([0, 1].map(|it| replica.key(it).retire_at), [Some(at); 2]);
    assert_eq!(
        [2, 3].map(|it| (replica.key(it).algorithm, replica.key(it).retire_at)),
        [(NEW, None); 2]
    );
    assert_eq!(replica.signs_at(at - MILLI), Some(0));
    assert_eq!(replica.signs_at(at), Some(2));
    assert_eq!(replica.judge(&old_token), Ok(()));
    // It signs for about a period, as any other, and the next takes over by itself.
    let (key, next) = (replica.times(2), replica.times(3));
    assert!(next.signs_from <= at + PERIOD + FULL_LEAD, "{key:?} {next:?}");
    assert!(next.published + FULL_LEAD <= next.signs_from);
    assert!(replica.times(1).verifies_until <= key.verifies_until, "keys end in their order");
}

#[tokio::test]
async fn call_before_any_change_is_a_usual_rotation() {
    let store = MemoryStore::new();
    let replica = open(store, OLD, START).await;
    pass(&[&replica], 2 * FULL_LEAD).await;
    let first = replica.ring.rotate_now().await.expect("rotates");
    assert_eq!(replica.ring.rotate_now().await.expect("rotates"), first);
    assert_eq!(replica.generations(), [0, 1, 2]);
    assert_eq!(replica.key(1).retire_at, None);
}

#[tokio::test]
async fn change_of_algorithm_after_a_rolling_deployment_refuses_no_token() {
    let store = TestStore::new();
    let mut fleet = Fleet::of(&store, [OLD, OLD, OLD]).await;
    for replica in 0..3 {
        fleet.deploy(&store, replica).await;
    }
    assert_eq!(signs(&fleet.replicas[0]), OLD);
    let at = fleet.replicas[1].ring.rotate_now().await.expect("rotates");
    assert!(at <= fleet.now + FULL_LEAD + SKEW);
    fleet.pass_until(at + SKEW).await;
    assert!(fleet.replicas.iter().all(|replica| signs(replica) == NEW));
    let before = fleet.signed.clone();
    assert_eq!(before, BTreeSet::from([OLD.as_str(), NEW.as_str()]));
    // It stays, through every rotation that follows.
    fleet.signed.clear();
    fleet.pass(4 * PERIOD).await;
    assert_eq!(fleet.signed, BTreeSet::from([NEW.as_str()]));
    assert!(signer(&fleet.replicas[0]).generation > 4);
}

/// Called too early: replicas with the former setting take part in making keys.
#[tokio::test]
async fn call_during_a_rolling_deployment_refuses_no_token_and_a_second_one_settles_it() {
    for calls in 0..3 {
        let store = TestStore::new();
        let mut fleet = Fleet::of(&store, [OLD, OLD, OLD]).await;
        fleet.deploy(&store, 0).await;
        for call in 0..=calls {
            // By turns by a replica of each setting, before the former call has taken effect.
            fleet.replicas[[0, 2][call % 2]].ring.rotate_now().await.expect("rotates");
            fleet.pass(FULL_LEAD / 3).await;
        }
        fleet.pass(PERIOD + 2 * FULL_LEAD).await;
        for replica in 1..3 {
            fleet.deploy(&store, replica).await;
        }
        let at = fleet.replicas[0].ring.rotate_now().await.expect("rotates");
        fleet.pass_until(at + SKEW).await;
        assert!(fleet.replicas.iter().all(|replica| signs(replica) == NEW), "{calls}");
        fleet.pass(2 * PERIOD).await;
        assert!(fleet.replicas.iter().all(|replica| signs(replica) == NEW), "{calls}");
        let all: Vec<_> = fleet.replicas.iter().collect();
        assert_converged(&all);
    }
}

#[tokio::test]
async fn two_replicas_that_call_at_once_make_one_key() {
    let store = TestStore::new();
    let mut fleet = Fleet::of(&store, [OLD, OLD]).await;
    for replica in 0..2 {
        fleet.deploy(&store, replica).await;
    }
    let [one, two] = &fleet.replicas[..] else { panic!("two replicas") };
    let (first, second) = tokio::join!(one.ring.rotate_now(), two.ring.rotate_now());
    let (first, second) = (first.expect("rotates"), second.expect("rotates"));
    pass_until(&[one, two], first.max(second) + SKEW).await;
    assert_converged(&[one, two]);
    assert_eq!((signs(one), signer(one).generation), (NEW, 2));
}

/// A write failed after some of the marks: the signer is the last.
#[tokio::test]
async fn half_written_handover_leaves_a_signer_and_is_completed_by_the_next_call() {
    let store = TestStore::new();
    drop(open(store.sibling(), OLD, START).await);
    let now = START + 2 * FULL_LEAD;
    let replica = open(store.sibling(), NEW, now).await;
    replica.ring.rotate_now().await.expect("rotates");
    let signer_mark = format!("retire-{}", replica.key(0).key_id);
    drop(replica);
    let names = store.names().await;
    assert!(names.contains(&signer_mark), "{names:?}");
    store.delete(&signer_mark).await;

    let replica = open(store.sibling(), NEW, now + REFRESH).await;
    assert_eq!((replica.signs(), replica.key(0).retire_at), (Some(0), None));
    assert!(replica.key(1).retire_at.is_some());
    let at = replica.ring.rotate_now().await.expect("rotates");
    pass_until(&[&replica], at - MILLI).await;
    assert_eq!(replica.signs(), Some(0));
    pass_until(&[&replica], at).await;
    assert_eq!((replica.signs(), signs(&replica)), (Some(2), NEW));
}
