//! Schedules that would refuse a token or lose a signer.

use serde_json::json;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{KeyRing, Timestamp};

use crate::support::replicas::{
    LIFE, MILLI, OVERRUN, PERIOD, REFRESH, RING, Replica, SKEW, START, assert_served_everywhere,
    pass, pass_until, policy, seconds,
};
use crate::support::stores::{Operation, TestStore, pack, unpack};

#[tokio::test]
async fn ancient_ring_restored_beside_live_one_signs_nothing() {
    let ancient = TestStore::new();
    let gone = Replica::open(ancient.clone(), START).await;
    drop(gone);
    let now = START + 20 * PERIOD;
    let store = TestStore::new();
    let one = Replica::open(store.clone(), now).await;
    let two = Replica::open(store.sibling(), now).await;
    pass(&[&one, &two], seconds(1000)).await;
    for (name, value) in ancient.entries().await {
        store.put(&name, &value).await;
    }
    one.clock.advance(REFRESH / 2);
    two.clock.advance(REFRESH / 2);
    one.refresh().await;
    assert_served_everywhere(&[&one, &two]);
    two.refresh().await;
    assert_served_everywhere(&[&one, &two]);
}

/// The keys are lost, the birth is not: a newcomer makes a second first key.
#[tokio::test]
async fn second_first_key_signs_only_once_all_replicas_know_it() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    pass(&[&one, &two], seconds(1000)).await;
    for name in store.names().await.iter().filter(|name| name.starts_with("key-")) {
        store.delete(name).await;
    }
    let _newcomer = Replica::open(store.sibling(), START + seconds(1000)).await;
    one.refresh().await;
    assert_eq!(two.judge(&one.issue()), Ok(()));
}

/// In a rolling change of the configuration both stand beside each other.
#[tokio::test]
async fn a_longer_token_life_refuses_no_token_while_it_is_rolled_out() {
    let store = MemoryStore::new();
    let before = Replica::open(store.clone(), START).await;
    let clock = ManualClock::new(START);
    let builder = KeyRing::builder(RING).store(store).clock(clock.clone());
    let ring = builder.rotation(policy().max_token_lifetime(2 * LIFE)).open().await;
    let after = Replica::of(ring.expect("opens"), clock, 2 * LIFE);
    assert_eq!(before.judge(&after.issue()), Ok(()));
}

#[tokio::test]
async fn a_replica_that_polls_too_slowly_by_the_skews_is_not_ready() {
    let store = MemoryStore::new();
    let _usual = Replica::open(store.clone(), START).await;
    // As long as the whole lead, which has to hold an insert and two skews as well.
    let interval = (policy().replica_lead() - seconds(4)) * 10 / 11;
    let slow = policy().refresh_interval(interval);
    assert!(slow.refresh_bound() > REFRESH + seconds(60));
    let slow = Replica::open_with(store, slow, START).await;
    slow.ring.ready().expect_err("sees a key only after it may sign");
}

#[tokio::test]
async fn slower_polling_is_ready_once_keys_in_use_allow_it() {
    let store = MemoryStore::new();
    let usual = Replica::open(store.clone(), START).await;
    drop(usual);
    let slow = policy().refresh_interval(seconds(300)).signing_period(PERIOD);
    let slow = Replica::open_with(store, slow, START).await;
    slow.ring.ready().expect_err("the keys in use are published too late");
    // Both first keys are of the past, and verify only.
    let past = slow.times(1).signs_until;
    pass_until(&[&slow], past).await;
    assert_eq!(slow.signs(), Some(2));
    assert_eq!(slow.ring.ready(), Ok(()));
}

/// One machine comes up with a wrong clock, makes keys, and is corrected.
async fn glitch(by: std::time::Duration) -> [Replica; 2] {
    let store = MemoryStore::new();
    let one = Replica::open(store.clone(), START).await;
    let wrong = Replica::open(store.clone(), START).await;
    pass(&[&one, &wrong], seconds(1000)).await;
    wrong.clock.advance(by);
    let _ = wrong.ring.refresh().await;
    wrong.clock.set(START + seconds(1000));
    [one, wrong]
}

async fn assert_no_standstill_after(glitch_by: std::time::Duration) {
    let [one, wrong] = glitch(glitch_by).await;
    for _ in 0..6 * PERIOD.as_secs() / REFRESH.as_secs() {
        pass(&[&one, &wrong], REFRESH).await;
        let status = one.ring.status();
        assert!(status.generation.is_some(), "no signer {glitch_by:?} after: {:?}", status.keys);
    }
    let times = one.times(one.signs().expect("someone signs"));
    let latest = START + 7 * PERIOD + SKEW;
    assert!(times.signs_from < latest, "stands still since a glitch of {glitch_by:?}");
}

macro_rules! ring_goes_on {
    ($($glitch:ident $by:expr;)+) => {$(
        #[tokio::test]
        async fn $glitch() {
            assert_no_standstill_after($by).await;
        }
    )+};
}

ring_goes_on! {
    clock_wrong_by_a_period_does_not_stop_the_ring PERIOD;
    clock_wrong_by_two_periods_does_not_stop_the_ring 2 * PERIOD;
    clock_wrong_by_two_periods_and_the_overrun_does_not_stop_the_ring 2 * PERIOD + OVERRUN;
    clock_wrong_by_three_periods_does_not_stop_the_ring 3 * PERIOD;
    clock_wrong_by_many_periods_does_not_stop_the_ring 500 * PERIOD;
}

/// Where the store pushes, each of the two would wake the other at once, and all others with it.
#[tokio::test]
async fn slow_clock_does_not_restore_removed_keys_forever() {
    let store = TestStore::new();
    let one = Replica::open(store.sibling(), START).await;
    let behind = Replica::open(store.clone(), START).await;
    pass_until(&[&one, &behind], one.times(0).verifies_until - seconds(200)).await;
    one.clock.advance(seconds(300));
    store.forget_calls();
    for _ in 0..20 {
        one.refresh().await;
        behind.refresh().await;
    }
    assert_eq!(store.calls(Operation::Insert).len(), 1);
    // What was really lost comes back with the next poll.
    store.purge().await;
    behind.clock.advance(REFRESH);
    behind.refresh().await;
    assert!(store.names().await.len() > 2);
}

/// A generation's number that nothing can follow.
#[tokio::test]
async fn a_record_with_the_highest_number_of_all_does_no_harm() {
    let store = TestStore::new();
    drop(Replica::open(store.clone(), START).await);
    let entries = store.entries().await;
    let (name, value) = entries.iter().find(|(name, _)| name.ends_with("-0000000001")).unwrap();
    let mut record = unpack(value);
    record["record"]["generation"] = json!(u64::MAX);
    store.delete(name).await;
    let name = name.replace("0000000001", &u64::MAX.to_string());
    store.put(&name, &pack(record)).await;
    let now: Timestamp = START + PERIOD - seconds(100);
    let replica = Replica::open(store, now).await;
    pass(&[&replica], 4 * PERIOD).await;
    assert!(replica.signs().is_some());
}

/// Twice the clocks' difference: a clock that is ahead made it, and one that is behind reads it.
#[tokio::test]
async fn keys_of_a_clock_beyond_the_skew_do_not_count() {
    for (ahead, counts) in [(2 * SKEW, true), (2 * SKEW + MILLI, false)] {
        let store = TestStore::new();
        drop(Replica::open(store.clone(), START + ahead).await);
        let replica = Replica::open(store.clone(), START).await;
        let skipped = replica.ring.status().skipped;
        assert_eq!(skipped.is_empty(), counts, "{skipped:?}");
        assert!(skipped.iter().all(|it| it.contains("made in the future")), "{skipped:?}");
        let generations = replica.generations();
        assert_eq!(generations == [0, 1], counts, "{generations:?}");
    }
}
