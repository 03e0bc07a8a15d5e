//! A slow store must not delay requests and revocations.

use std::sync::Arc;

use tower_jwt_session::{OperationErrorKind, RejectionKind};

use crate::support::replicas::{LEAD, Replica, START, pass};
use crate::support::stores::{Operation, TestStore};

/// Polls a task of this thread as far as it gets by itself.
async fn let_run() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_leaked_key_is_revoked_here_before_the_store_answers() {
    for hanging in [Operation::Load, Operation::Insert] {
        let store = TestStore::new();
        let replica = Arc::new(Replica::open(store.clone(), START).await);
        pass(&[&replica], LEAD).await;
        let stolen = replica.issue();
        store.forget_calls();
        store.hang(&[hanging]);
        let revoking = tokio::spawn({
            let replica = Arc::clone(&replica);
            async move { replica.ring.revoke(&replica.key(0).key_id).await }
        });
        store.called(hanging).await;
        let_run().await;
        assert_eq!(replica.judge(&stolen), Err(RejectionKind::UnknownKey), "{hanging:?}");
        store.up();
        revoking.await.expect("ends").expect("the store answers at last");
    }
}

#[tokio::test]
async fn a_leaked_key_is_revoked_here_while_a_refresh_hangs() {
    let store = TestStore::new();
    let replica = Arc::new(Replica::open(store.clone(), START).await);
    pass(&[&replica], LEAD).await;
    let stolen = replica.issue();
    store.hang(&[Operation::Load]);
    store.forget_calls();
    let refreshing = tokio::spawn({
        let replica = Arc::clone(&replica);
        async move { replica.ring.refresh().await }
    });
    store.called(Operation::Load).await;
    let revoking = tokio::spawn({
        let replica = Arc::clone(&replica);
        async move { replica.ring.revoke(&replica.key(0).key_id).await }
    });
    let_run().await;
    assert_eq!(replica.judge(&stolen), Err(RejectionKind::UnknownKey));
    store.up();
    refreshing.await.expect("ends").expect("the store answers at last");
    revoking.await.expect("ends").expect("the store answers at last");
    assert_eq!(replica.judge(&stolen), Err(RejectionKind::UnknownKey));
}

/// As when the client of an administrative route goes away.
#[tokio::test]
async fn a_revocation_whose_caller_went_away_stands() {
    let store = TestStore::new();
    let replica = Arc::new(Replica::open(store.clone(), START).await);
    pass(&[&replica], LEAD).await;
    let stolen = replica.issue();
    store.forget_calls();
    store.hang(&[Operation::Insert]);
    let revoking = tokio::spawn({
        let replica = Arc::clone(&replica);
        async move { replica.ring.revoke(&replica.key(0).key_id).await }
    });
    store.called(Operation::Insert).await;
    revoking.abort();
    let_run().await;
    assert_eq!(replica.judge(&stolen), Err(RejectionKind::UnknownKey));
}

/// Otherwise the refresh bound does not hold: each write may take as long as an insert may.
#[tokio::test]
async fn read_revocation_applies_before_any_write() {
    let content = TestStore::new();
    let other = Replica::open(content.clone(), START).await;
    let store = content.sibling();
    let replica = Arc::new(Replica::open(store.clone(), START).await);
    pass(&[&replica, &other], LEAD).await;
    let stolen = replica.issue();
    other.revoke(0).await;
    content.delete("birth").await;
    store.forget_calls();
    store.hang(&[Operation::Insert]);
    let refreshing = tokio::spawn({
        let replica = Arc::clone(&replica);
        async move { replica.ring.refresh().await }
    });
    store.called(Operation::Insert).await;
    let_run().await;
    assert_eq!(replica.judge(&stolen), Err(RejectionKind::UnknownKey));
    store.up();
    refreshing.await.expect("ends").expect("the store answers at last");
}

/// The order matters to a newcomer that opens in between, or if the store fails again.
#[tokio::test]
async fn revoked_key_is_restored_after_its_revocation() {
    for inserts in 0..4 {
        let store = TestStore::new();
        let replica = Replica::open(store.clone(), START).await;
        pass(&[&replica], LEAD).await;
        let stolen = replica.issue();
        replica.revoke(0).await;
        store.purge().await;
        store.fail_after_inserts(inserts);
        replica.ring.refresh().await.expect_err("the store fails again");
        let newcomer = Replica::open(store.sibling(), START + LEAD).await;
        newcomer.judge(&stolen).expect_err(&format!("after {inserts} inserts"));
    }
}

#[tokio::test]
async fn a_key_already_in_the_store_is_not_put_beside() {
    let content = TestStore::new();
    let stores = [content.sibling(), content.sibling()];
    let one = Replica::open(stores[0].clone(), START).await;
    let two = Replica::open(stores[1].clone(), START).await;
    let entries = content.entries().await;
    content.purge().await;
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    for store in &stores {
        store.meet_after_load(Some(Arc::clone(&barrier)));
    }
    let (first, second) = tokio::join!(one.ring.refresh(), two.ring.refresh());
    first.and(second).expect("the store is up");
    assert_eq!(content.entries().await, entries);
}

#[tokio::test]
async fn operation_failing_after_its_read_publishes_what_it_read() {
    let content = TestStore::new();
    let other = Replica::open(content.clone(), START).await;
    let store = content.sibling();
    let replica = Replica::open(store.clone(), START).await;
    pass(&[&replica, &other], LEAD).await;
    other.revoke(0).await;
    content.delete("birth").await;
    store.fail(&[Operation::Insert]);
    let failed = replica.ring.rotate_now().await;
    assert!(matches!(failed, Err(error) if error.kind() == OperationErrorKind::Store));
    assert_eq!(replica.fingerprint(), other.fingerprint());
}
