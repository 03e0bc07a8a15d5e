//! Marks that outlive their keys, or differ.

use std::time::Duration;

use crate::support::replicas::{
    LEAD, MILLI, REFRESH, Replica, SKEW, START, assert_converged, pass, pass_until, policy, seconds,
};
use crate::support::stores::TestStore;

#[tokio::test]
async fn no_mark_outlives_its_key() {
    let store = TestStore::new();
    let fast = Replica::open(store.clone(), START + SKEW).await;
    let slow = Replica::open(store.sibling(), START).await;
    fast.revoke(1).await;
    fast.ring.rotate_now().await.expect("rotates");
    let ended = fast.times(1).verifies_until + 2 * SKEW;
    pass(&[&slow, &fast], ended - START - SKEW - seconds(200)).await;
    // The fast clock's replica removes, while the slow one still holds what was removed.
    for _ in 0..40 {
        slow.clock.advance(seconds(10));
        fast.clock.advance(seconds(10));
        fast.refresh().await;
        slow.refresh().await;
        fast.refresh().await;
    }
    let names = store.names().await;
    let orphans: Vec<_> = names.iter().filter(|name| name.starts_with("re")).collect();
    assert_eq!(orphans, [""; 0]);
}

#[tokio::test]
async fn replicas_that_retired_a_key_apart_agree_when() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    pass(&[&one, &two], seconds(1000)).await;
    one.ring.rotate_now().await.expect("rotates");
    store.purge().await;
    two.clock.advance(seconds(20));
    two.ring.rotate_now().await.expect("rotates");
    pass(&[&one, &two], 3 * REFRESH).await;
    assert_converged(&[&one, &two]);
}

#[tokio::test]
async fn concurrent_rotations_return_the_recorded_retire_time() {
    let content = TestStore::new();
    let stores = [content.sibling(), content.sibling()];
    let one = Replica::open(stores[0].clone(), START).await;
    let two = Replica::open(stores[1].clone(), START).await;
    pass(&[&one, &two], 5 * LEAD).await;
    two.clock.advance(SKEW);
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    for store in &stores {
        store.meet_after_load(Some(barrier.clone()));
    }
    let (first, second) = tokio::join!(one.ring.rotate_now(), two.ring.rotate_now());
    let returned = [first.expect("rotates"), second.expect("rotates")];
    assert_eq!(one.key(0).retire_at, two.key(0).retire_at);
    assert_eq!(returned.map(Some), [one.key(0).retire_at; 2]);
}

/// A key that another configuration gave a longer lead is not ready as early as ours would be.
#[tokio::test]
async fn a_key_is_not_retired_before_its_successor_may_sign() {
    let store = TestStore::new();
    // A period so short that both successors are made at the birth.
    let slow = policy().refresh_interval(seconds(600)).jwks_max_age(Duration::ZERO);
    let slow = slow.signing_period(seconds(10 + 2 * 664 + 60));
    let slow = Replica::open_with(store.clone(), slow, START).await;
    let quick = policy().jwks_max_age(Duration::ZERO);
    let quick = Replica::open_with(store.sibling(), quick, START).await;
    assert_eq!(quick.generations(), [0, 1, 2]);
    assert!(quick.times(1).propagated > START + LEAD);
    let retired = quick.ring.rotate_now().await.expect("rotates");
    pass_until(&[&quick, &slow], retired).await;
    assert!(quick.signs().is_some(), "someone signs at {retired}");
}

#[tokio::test]
async fn rotations_by_hand_do_not_lengthen_the_life_of_later_keys() {
    let replica = Replica::open(TestStore::new(), START).await;
    let mut now = START;
    for _ in 0..6 {
        now = replica.ring.rotate_now().await.expect("rotates");
        pass_until(&[&replica], now).await;
    }
    // From now on nobody rotates by hand: the signer steps down after its period.
    let signer = replica.signs().expect("someone signs");
    let limit = crate::support::replicas::PERIOD + crate::support::replicas::OVERRUN;
    pass(&[&replica], limit).await;
    let later = replica.signs().expect("someone signs");
    assert!(later > signer, "{signer} signs for longer than {limit:?}, since {now}");
}

/// Its key may come yet: a read can find the one and miss the other.
#[tokio::test]
async fn a_mark_without_a_key_stays_until_the_end_of_its_key() {
    let (store, elsewhere) = (TestStore::new(), TestStore::new());
    let other = Replica::open(elsewhere.clone(), START).await;
    other.revoke(1).await;
    let end = other.times(1).verifies_until;
    let mut marks = elsewhere.entries().await;
    marks.retain(|name, _| name.starts_with("revoke-"));
    let (name, value) = marks.pop_first().expect("a mark");
    store.put(&name, &value).await;

    let orphaned = end + 2 * SKEW;
    let replica = Replica::open(store.clone(), orphaned - MILLI).await;
    assert!(store.names().await.contains(&name));
    replica.refresh_at(orphaned).await;
    assert!(!store.names().await.contains(&name));
}
