//! Rotation ahead of time.

use tower_jwt_session::OperationErrorKind;
use tower_jwt_session::store::MemoryStore;

use crate::support::replicas::{
    FULL_LEAD, LEAD, MILLI, REFRESH, Replica, SKEW, START, assert_converged, pass, pass_until,
    seconds,
};
use crate::support::stores::TestStore;

/// Three replicas with clocks as different as they may be.
async fn replicas(store: &MemoryStore) -> [Replica; 3] {
    [
        Replica::open(store.clone(), START).await,
        Replica::open(store.clone(), START + SKEW).await,
        Replica::open(store.clone(), START + SKEW / 2).await,
    ]
}

#[tokio::test]
async fn a_rotation_by_hand_leaves_no_gap_and_refuses_nothing() {
    let store = MemoryStore::new();
    let [one, two, three] = replicas(&store).await;
    let all = [&one, &two, &three];
    pass(&all, seconds(1000)).await;
    let retired = two.ring.rotate_now().await.expect("rotates");
    let mut tokens = Vec::new();
    let mut signers = Vec::new();
    for _ in 0..20 {
        for replica in all {
            tokens.push(replica.issue());
            signers.push(replica.signs().expect("someone signs"));
        }
        pass(&all, REFRESH / 3).await;
        for replica in all {
            for token in &tokens {
                assert_eq!(replica.judge(token), Ok(()));
            }
        }
    }
    assert_eq!((signers.first(), signers.last()), (Some(&0), Some(&1)));
    pass_until(&all, retired + SKEW).await;
    for replica in all {
        replica.clock.set(retired + SKEW);
    }
    assert_converged(&all);
    assert_eq!(one.signs(), Some(1));
}

#[tokio::test]
async fn the_signer_is_retired_when_every_replica_knows_its_successor() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let retired = replica.ring.rotate_now().await.expect("rotates");
    // The successor has just been published, caches of the JWKS included.
    assert_eq!(retired, START + FULL_LEAD);

    let replica = Replica::open(MemoryStore::new(), START).await;
    let later = START + 2 * FULL_LEAD;
    replica.refresh_at(later).await;
    let retired = replica.ring.rotate_now().await.expect("rotates");
    assert_eq!(retired, later + LEAD);
    assert_eq!(replica.signs_at(retired - MILLI), Some(0));
    assert_eq!(replica.signs_at(retired), Some(1));
}

#[tokio::test]
async fn a_further_key_is_made_for_the_one_that_goes_early() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    replica.ring.rotate_now().await.expect("rotates");
    assert_eq!(replica.generations(), [0, 1, 2]);
}

#[tokio::test]
async fn a_rotation_asked_for_twice_is_one() {
    let store = MemoryStore::new();
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store, START).await;
    pass(&[&one, &two], 2 * FULL_LEAD).await;
    let first = one.ring.rotate_now().await.expect("rotates");
    one.clock.advance(seconds(60));
    assert_eq!(one.ring.rotate_now().await.expect("rotates"), first);
    two.clock.advance(seconds(61));
    assert_eq!(two.ring.rotate_now().await.expect("rotates"), first);
    assert_eq!(one.generations(), [0, 1, 2]);
    one.refresh().await;
    assert_converged(&[&one, &two]);
}

#[tokio::test]
async fn after_a_rotation_another_can_follow() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    for generation in 1..5 {
        let retired = replica.ring.rotate_now().await.expect("rotates");
        let before = replica.issue();
        pass_until(&[&replica], retired - MILLI).await;
        assert_eq!(replica.signs(), Some(generation - 1));
        pass_until(&[&replica], retired).await;
        assert_eq!(replica.signs(), Some(generation));
        assert_eq!(replica.judge(&before), Ok(()));
    }
}

#[tokio::test]
async fn a_rotation_needs_the_store_and_a_signer() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    store.down();
    assert!(
        matches!(replica.ring.rotate_now().await, Err(error) if error.kind() == OperationErrorKind::Store)
    );
    assert_eq!(replica.key(0).retire_at, None);
    assert!(replica.ring.status().failure.is_some());
    store.up();
    replica.ring.replace_all().await.expect("revokes");
    assert!(
        matches!(replica.try_issue(), Err(error) if error.kind() == OperationErrorKind::NoSigningKey)
    );
    assert!(
        matches!(replica.ring.rotate_now().await, Err(error) if error.kind() == OperationErrorKind::NoSigningKey)
    );
}

/// Nine generations whose places are taken by what can't be read: a rotation by hand finds no
/// successor, and counts with one that is made only now.
#[tokio::test]
async fn a_signer_without_a_successor_waits_for_one_that_is_made_now() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    let names = store.names().await;
    let first = names.iter().find(|name| name.ends_with("-0000000000")).expect("a key");
    for generation in 2..10 {
        let name = first.replace("-0000000000", &format!("-{generation:010}"));
        store.put(&name, b"damaged").await;
    }
    replica.revoke(1).await;
    let retired = replica.ring.rotate_now().await.expect("rotates");
    assert_eq!(replica.generations(), [0, 1, 10, 11]);
    assert_eq!(retired, START + FULL_LEAD);
    assert_eq!(replica.signs_at(retired - MILLI), Some(0));
    assert_eq!(replica.signs_at(retired), Some(10));
}
