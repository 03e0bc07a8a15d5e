//! How a ring begins, and begins again: one ring and one key per generation, whichever replica comes
//! first.

use tower_jwt_session::store::{FileStore, MemoryStore};
use tower_jwt_session::{KeyRing, NotReadyKind};

use crate::support::replicas::{
    LEAD, LIFE, MILLI, OVERRUN, PERIOD, REFRESH, RING, Replica, SKEW, START, assert_converged,
    assert_served_everywhere, pass, policy, seconds,
};
use crate::support::stores::{Operation, TestStore};

#[tokio::test]
async fn a_ring_signs_from_its_birth_on() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    assert_eq!(replica.ring.ready(), Ok(()));
    assert_eq!(replica.signs(), Some(0));
    assert_eq!(replica.judge(&replica.issue()), Ok(()));
}

#[tokio::test]
async fn a_restart_keeps_keys_and_tokens() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let open = || FileStore::open(place.path().join("keys")).expect("opens");
    let before = Replica::open(open(), START).await;
    let (token, fingerprint) = (before.issue(), before.fingerprint());
    drop(before);
    let after = Replica::open(open(), START + seconds(60)).await;
    assert_eq!(after.judge(&token), Ok(()));
    assert_eq!(after.fingerprint(), fingerprint);
}

#[tokio::test]
async fn a_ring_whose_maker_died_after_its_birth_goes_on() {
    let store = TestStore::new();
    store.fail_after_inserts(1);
    let died = Replica::try_open(store.clone(), policy(), START).await;
    died.err().expect("no key was written");
    assert_eq!(store.names().await, ["birth"]);
    store.up();
    let replica = Replica::open(store.clone(), START + seconds(5)).await;
    assert_eq!(replica.ring.ready(), Ok(()));
    assert_eq!(replica.generations(), [0, 1]);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_found_again() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    let due = replica.times(1).signs_from - seconds(500);
    store.lose_answers();
    replica.clock.set(due);
    replica.ring.refresh().await.expect_err("the answer was lost");
    assert_eq!(replica.generations(), [0, 1]);
    store.up();
    let entries = store.entries().await;
    replica.refresh().await;
    assert_eq!(replica.generations(), [0, 1, 2]);
    assert_eq!(store.entries().await, entries);
}

#[tokio::test]
async fn after_a_long_sleep_a_new_key_signs_at_once() {
    let store = TestStore::new();
    let asleep = Replica::open(store.clone(), START).await;
    let old = asleep.issue();
    let woken = asleep.times(1).verifies_until + 2 * SKEW;
    asleep.clock.set(woken - MILLI);
    assert_eq!(asleep.ring.ready().unwrap_err().kind(), NotReadyKind::NoSigningKey);
    asleep.refresh_at(woken).await;
    assert_eq!(asleep.signs(), Some(2));
    asleep.judge(&old).expect_err("has expired");
    assert_eq!(asleep.generations(), [2, 3]);

    let other = Replica::open(store.sibling(), woken).await;
    assert_converged(&[&asleep, &other]);
    assert_served_everywhere(&[&asleep, &other]);
}

#[tokio::test]
async fn a_ring_whose_last_tokens_may_live_does_not_wake_at_once() {
    let store = MemoryStore::new();
    let asleep = Replica::open(store, START).await;
    let woken = asleep.times(1).verifies_until + 2 * SKEW - MILLI;
    asleep.refresh_at(woken).await;
    assert_eq!(asleep.signs(), None);
    assert_eq!(asleep.signs_at(woken + LEAD), Some(2));
}

#[tokio::test]
async fn ended_keys_leave_memory_and_store() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    replica.ring.rotate_now().await.expect("rotates");
    replica.revoke(1).await;
    let first = replica.times(0);
    let kept = PERIOD + OVERRUN + LIFE + SKEW;
    assert_eq!(first.verifies_until, START + kept);
    pass(&[&replica], kept - REFRESH).await;
    let names = |generation: u64| {
        let suffix = format!("-{generation:010}");
        let names = store.names();
        async move { names.await.into_iter().filter(|name| name.ends_with(&suffix)).count() }
    };
    replica.refresh_at(first.verifies_until + 2 * SKEW - MILLI).await;
    assert!(replica.generations().contains(&0));
    assert_eq!(names(0).await, 1);

    replica.refresh_at(first.verifies_until + 2 * SKEW).await;
    assert!(!replica.generations().contains(&0));
    assert_eq!(names(0).await, 0);
    let marks = store.names().await.into_iter().filter(|name| name.starts_with("retire-"));
    assert_eq!(marks.count(), 0);

    replica.refresh_at(START + 2 * PERIOD + OVERRUN + LIFE + 3 * SKEW).await;
    let names = store.names().await;
    assert!(!names.iter().any(|name| name.starts_with("revoke-")), "{names:?}");
    assert_eq!(names.len(), 1 + replica.generations().len(), "{names:?}");
}

#[tokio::test]
async fn replica_with_slow_clock_restores_no_ended_key() {
    let store = TestStore::new();
    let fast = Replica::open(store.clone(), START + SKEW).await;
    let slow = Replica::open(store.sibling(), START).await;
    let ended = fast.times(0).verifies_until + 2 * SKEW;
    pass(&[&fast, &slow], ended - START - SKEW).await;
    assert!(!fast.generations().contains(&0));
    store.forget_calls();
    slow.refresh_at(ended - SKEW).await;
    assert_eq!(store.calls(Operation::Insert), [""; 0]);
    assert!(!store.names().await.iter().any(|name| name.ends_with("-0000000000")));
}

#[tokio::test]
async fn two_rings_in_one_store_do_not_see_each_other() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let builder = KeyRing::builder("other").store(store.sibling()).rotation(policy());
    let ring = builder.clock(one.clock.clone()).open().await.expect("opens");
    let other = Replica::of(ring, one.clock.clone(), LIFE);
    assert_ne!(one.fingerprint(), other.fingerprint());
    other.judge(&one.issue()).expect_err("another ring's key");
    other.ring.replace_all().await.expect("revokes its own");
    one.refresh().await;
    assert_eq!(one.judge(&one.issue()), Ok(()));
    assert_eq!(one.generations(), [0, 1]);
    assert_eq!(other.generations(), [0, 1, 2, 3]);
    assert_eq!((one.ring.status().ring.as_str(), RING), (RING, "app"));
}
