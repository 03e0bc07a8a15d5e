//! Who signs: a pure function of the keys and the time.

use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::{KeyState, OperationErrorKind};

use crate::support::replicas::{
    FULL_LEAD, LEAD, LIFE, MILLI, OVERRUN, PERIOD, Replica, SKEW, START, assert_converged, pass,
    pass_until,
};
use crate::support::stores::TestStore;

#[tokio::test]
async fn one_key_signs_at_each_time_on_all_replicas() {
    let store = MemoryStore::new();
    let ahead = Replica::open(store.clone(), START + SKEW).await;
    let behind = Replica::open(store.clone(), START).await;
    let between = Replica::open(store, START + SKEW / 2).await;
    let replicas = [&ahead, &behind, &between];
    pass(&replicas, 2 * PERIOD).await;
    assert_eq!(ahead.fingerprint(), behind.fingerprint());
    let mut signers = Vec::new();
    for minute in 0..300 {
        let now = START + PERIOD + minute * 2 * SKEW;
        let signer = ahead.signs_at(now).expect("someone signs");
        assert_eq!([behind.signs_at(now), between.signs_at(now)], [Some(signer); 2]);
        signers.push(signer);
    }
    signers.dedup();
    assert_eq!(signers, [1, 2, 3]);
}

#[tokio::test]
async fn a_key_takes_over_at_its_time_and_not_before() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let takes_over = replica.times(1).signs_from;
    assert_eq!(replica.signs_at(takes_over - MILLI), Some(0));
    assert_eq!(replica.signs_at(takes_over), Some(1));
    assert_eq!(replica.state(0), KeyState::Verifying);
    assert_eq!(replica.state(1), KeyState::Signing);
}

#[tokio::test]
async fn the_first_key_signs_at_once_even_by_a_slow_clock() {
    let store = MemoryStore::new();
    let first = Replica::open(store.clone(), START).await;
    let slow = Replica::open(store, START - SKEW).await;
    assert_eq!(slow.signing_key(), first.signing_key());
    assert_eq!(first.judge(&slow.issue()), Ok(()));
    assert_eq!(slow.judge(&first.issue()), Ok(()));
}

#[tokio::test]
async fn a_successor_signs_only_when_its_lead_is_complete() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    replica.revoke(0).await;
    assert_eq!(replica.signs_at(START + LEAD - MILLI), None);
    assert!(
        matches!(replica.try_issue(), Err(error) if error.kind() == OperationErrorKind::NoSigningKey)
    );
    assert_eq!(replica.ring.ready(), Ok(()), "it is known when a key will sign");
    assert_eq!(replica.signs_at(START + LEAD), Some(1));
    assert_eq!(replica.ring.ready(), Ok(()));
}

#[tokio::test]
async fn revoked_signer_is_succeeded_in_the_same_instant() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    replica.refresh_at(START + LEAD).await;
    replica.revoke(0).await;
    assert_eq!(replica.signs(), Some(1));
    assert_eq!(replica.state(0), KeyState::Revoked);
}

#[tokio::test]
async fn the_predecessor_of_a_revoked_key_does_not_come_back() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let takes_over = replica.times(1).signs_from;
    pass_until(&[&replica], takes_over).await;
    assert!(takes_over < replica.times(0).signs_latest, "the predecessor still could");
    replica.revoke(1).await;
    assert_eq!(replica.signs(), Some(2));
    replica.revoke(2).await;
    // The next two have just been made.
    let made = replica.times(3).published;
    assert_eq!(made, takes_over);
    assert_eq!(replica.signs(), None);
    assert_eq!(replica.signs_at(made + LEAD - MILLI), None);
    assert_eq!(replica.signs_at(made + LEAD), Some(3));
}

#[tokio::test]
async fn a_key_revoked_before_its_time_is_passed_over() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let takes_over = replica.times(1).signs_from;
    replica.revoke(1).await;
    assert_eq!(replica.signs(), Some(0));
    assert_eq!(replica.times(2).signs_from, takes_over);
    assert_eq!(replica.signs_at(takes_over - MILLI), Some(0));
    assert_eq!(replica.signs_at(takes_over), Some(2));
}

#[tokio::test]
async fn a_retired_key_signs_until_it_is_retired_and_verifies_on() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let retired = replica.ring.rotate_now().await.expect("rotates");
    assert_eq!(retired, START + FULL_LEAD);
    assert_eq!(replica.key(0).retire_at, Some(retired));
    assert_eq!(replica.signs_at(retired - MILLI), Some(0));
    let last = replica.issue();
    assert_eq!(replica.signs_at(retired), Some(1));
    replica.clock.set(retired - MILLI + LIFE);
    assert_eq!(replica.judge(&last), Ok(()));
}

#[tokio::test]
async fn key_without_successor_signs_to_its_overrun() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    store.down();
    let last = replica.times(1);
    assert_eq!(replica.signs_at(last.signs_until), Some(1));
    assert_eq!(replica.signs_at(last.signs_until + OVERRUN - MILLI), Some(1));
    replica.ring.refresh().await.expect_err("the store is down");
    let token = replica.issue();

    assert_eq!(replica.signs_at(last.signs_latest), None);
    let error = replica.try_issue().expect_err("nobody signs");
    assert!(matches!(error.kind(), OperationErrorKind::NoSigningKey));
    assert!(error.is_temporary());
    assert_eq!(replica.ring.ready(), Ok(()), "it was ready, and verifies");
    // Validation goes on for the token's whole life.
    replica.clock.set(last.signs_latest - MILLI + LIFE);
    assert_eq!(replica.judge(&token), Ok(()));
}

#[tokio::test]
async fn issuing_comes_back_a_replica_lead_after_the_store() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    let other = Replica::open(store.sibling(), START).await;
    store.down();
    let back = replica.times(1).signs_latest + SKEW;
    replica.clock.set(back);
    replica.ring.refresh().await.expect_err("the store is down");
    assert_eq!(replica.signs(), None);

    store.up();
    replica.refresh().await;
    assert_eq!(replica.signs(), None);
    assert_eq!(replica.signs_at(back + LEAD - MILLI), None);
    assert_eq!(replica.signs_at(back + LEAD), Some(2));
    other.refresh_at(back + LEAD).await;
    assert_converged(&[&replica, &other]);
}

#[tokio::test]
async fn a_fast_clock_signs_with_no_key_that_others_lack() {
    let store = MemoryStore::new();
    let slow = Replica::open(store.clone(), START).await;
    let fast = Replica::open(store, START + SKEW).await;
    pass(&[&fast, &slow], PERIOD - 2 * SKEW).await;
    // By the fast clock the successor signs already, by the slow one not yet.
    pass(&[&fast, &slow], SKEW).await;
    assert_eq!((fast.signs(), slow.signs()), (Some(1), Some(0)));
    assert_eq!(slow.judge(&fast.issue()), Ok(()));
    assert_eq!(fast.judge(&slow.issue()), Ok(()));
}
