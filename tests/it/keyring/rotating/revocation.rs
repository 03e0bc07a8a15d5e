//! Revocation of a key, and of all.

use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::{Clock as _, KeyState, OperationErrorKind, RejectionKind};

use crate::support::replicas::{
    LEAD, MILLI, PERIOD, Replica, START, assert_converged, assert_served_everywhere, pass, seconds,
};
use crate::support::stores::{Operation, TestStore};

/// Two replicas that have had their keys for longer than the lead.
async fn replicas(store: &TestStore) -> [Replica; 2] {
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    pass(&[&one, &two], LEAD).await;
    [one, two]
}

#[tokio::test]
async fn revoked_signer_ends_its_tokens_and_successor_signs() {
    let [one, two] = replicas(&TestStore::new()).await;
    let stolen = one.issue();
    one.revoke(0).await;
    assert_eq!(one.judge(&stolen), Err(RejectionKind::UnknownKey));
    assert_eq!(one.signs(), Some(1));
    // The other hears of it at its next refresh; the successor it knows already.
    assert_eq!(two.judge(&one.issue()), Ok(()));
    assert_eq!(two.judge(&stolen), Ok(()));
    two.refresh().await;
    assert_eq!(two.judge(&stolen), Err(RejectionKind::UnknownKey));
    assert_converged(&[&one, &two]);
}

/// The key is asked before the signature: a replica signs nothing with a revoked key, not to verify either.
#[tokio::test]
async fn forged_token_of_revoked_key_is_refused_by_its_key() {
    let [one, _] = replicas(&TestStore::new()).await;
    let token = one.issue();
    let (signed, _) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", "A".repeat(86));
    assert_eq!(one.judge(&forged), Err(RejectionKind::BadSignature));
    one.revoke(0).await;
    assert_eq!(one.judge(&forged), Err(RejectionKind::UnknownKey));
}

#[tokio::test]
async fn a_revoked_successor_is_replaced_and_nothing_else_changes() {
    let [one, two] = replicas(&TestStore::new()).await;
    let token = one.issue();
    one.revoke(1).await;
    two.refresh().await;
    for replica in [&one, &two] {
        assert_eq!(replica.judge(&token), Ok(()));
        assert_eq!(replica.signs(), Some(0));
        assert_eq!(replica.state(1), KeyState::Revoked);
        assert_eq!(replica.generations(), [0, 1, 2]);
    }
}

/// A revoked key's time passes over the signing key; its replacement then signs, ahead of its own time.
#[tokio::test]
async fn replacement_of_revoked_successor_has_successor_of_its_own_when_it_signs() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let step = seconds(30);
    pass(&[&one], LEAD).await;
    for generation in [0, 1, 3, 4] {
        one.revoke(generation).await;
        pass(&[&one], PERIOD / 8).await;
    }
    let until = one.times(5).signs_until;
    pass(&[&one], LEAD).await;
    while one.clock.now() < until {
        one.clock.advance(step);
        one.refresh().await;
        let (now, signs) = (one.clock.now(), one.signs().expect("one signs"));
        let next = one.generations().into_iter().filter(|generation| *generation > signs);
        let is_ready = |generation| {
            one.state(generation) != KeyState::Revoked && one.times(generation).propagated <= now
        };
        assert!(next.clone().any(is_ready), "beside {signs} at {now}: {:?}", one.ring.status());
    }
}

#[tokio::test]
async fn revoking_unknown_key_is_refused_and_changes_nothing() {
    let store = TestStore::new();
    let [one, _] = replicas(&store).await;
    let before = store.entries().await;
    let error = one.ring.revoke("nobody").await.expect_err("is unknown");
    assert!(
        error.kind() == OperationErrorKind::UnknownKey && error.to_string().contains("\"nobody\""),
        "{error}"
    );
    assert_eq!(store.entries().await, before);
    one.ring.revoke("../birth").await.expect_err("is unknown");
}

#[tokio::test]
async fn a_key_can_be_revoked_twice_and_stays_revoked() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    one.revoke(0).await;
    let entries = store.entries().await;
    one.revoke(0).await;
    two.revoke(0).await;
    assert_eq!(store.entries().await, entries);
    let restarted = Replica::open(store.sibling(), START + LEAD).await;
    assert_eq!(restarted.state(0), KeyState::Revoked);
    assert_converged(&[&one, &two, &restarted]);
}

#[tokio::test]
async fn a_key_that_another_replica_has_just_made_can_be_revoked() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    one.ring.rotate_now().await.expect("rotates");
    let made = one.key(2).key_id;
    assert!(!two.generations().contains(&2));
    two.ring.revoke(&made).await.expect("is found in the store");
    assert_eq!(two.state(2), KeyState::Revoked);
}

#[tokio::test]
async fn key_revoked_with_store_down_is_revoked_here_then_everywhere() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    let stolen = one.issue();
    store.down();
    let key_id = one.key(0).key_id;
    let error = one.ring.revoke(&key_id).await.expect_err("the store is down");
    assert_eq!(error.kind(), OperationErrorKind::Store, "{error}");
    assert_eq!(one.judge(&stolen), Err(RejectionKind::UnknownKey));
    assert_eq!(one.signs(), Some(1));
    assert_eq!(two.judge(&stolen), Ok(()));

    store.up();
    one.refresh().await;
    two.refresh().await;
    assert_eq!(two.judge(&stolen), Err(RejectionKind::UnknownKey));
    assert_converged(&[&one, &two]);
}

#[tokio::test]
async fn a_store_that_can_only_be_read_does_not_save_a_leaked_key() {
    let store = TestStore::new();
    let [one, _] = replicas(&store).await;
    let stolen = one.issue();
    store.fail(&[Operation::Insert]);
    let key_id = one.key(0).key_id;
    one.ring.revoke(&key_id).await.expect_err("the mark was not written");
    assert_eq!(one.judge(&stolen), Err(RejectionKind::UnknownKey));
    one.ring.refresh().await.expect_err("the mark was not restored");
    assert_eq!(one.judge(&stolen), Err(RejectionKind::UnknownKey));
}

#[tokio::test]
async fn replace_all_ends_every_token_and_signs_after_the_lead() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    let old = one.issue();
    one.ring.replace_all().await.expect("the store is up");
    let replaced = START + LEAD;
    assert_eq!(one.judge(&old), Err(RejectionKind::UnknownKey));
    assert!(
        matches!(one.try_issue(), Err(error) if error.kind() == OperationErrorKind::NoSigningKey)
    );
    assert_eq!(one.ring.ready(), Ok(()), "all replicas are in the same state");
    two.refresh().await;
    assert_eq!(two.judge(&old), Err(RejectionKind::UnknownKey));

    for replica in [&one, &two] {
        assert_eq!(replica.signs_at(replaced + LEAD - MILLI), None);
        assert_eq!(replica.signs_at(replaced + LEAD), Some(2));
        let open = [replica.state(2), replica.state(3)];
        assert_eq!(open, [KeyState::Signing, KeyState::Published]);
    }
    assert_served_everywhere(&[&one, &two]);
    one.judge(&old).expect_err("stays revoked");
    assert!(one.times(2).propagated + crate::support::replicas::PERIOD <= one.times(3).signs_from);
}

#[tokio::test]
async fn replace_all_with_store_down_works_here_then_everywhere() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    let old = one.issue();
    store.down();
    one.ring.replace_all().await.expect_err("the store is down");
    assert_eq!(one.judge(&old), Err(RejectionKind::UnknownKey));
    assert_eq!(one.signs(), None);
    store.up();
    pass(&[&one, &two], LEAD + seconds(70)).await;
    assert_eq!(two.judge(&old), Err(RejectionKind::UnknownKey));
    assert_eq!(one.signs(), Some(2));
    assert_converged(&[&one, &two]);
    assert_served_everywhere(&[&one, &two]);
}

#[tokio::test]
async fn a_rotation_goes_on_around_revoked_keys() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    for _ in 0..4 {
        pass(&[&replica], seconds(2000)).await;
        let signer = replica.signs().expect("someone signs");
        replica.revoke(signer).await;
        assert!(replica.signs().is_some_and(|next| next > signer));
        assert_eq!(replica.judge(&replica.issue()), Ok(()));
    }
}
