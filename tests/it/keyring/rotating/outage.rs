//! A store that is down: the last known keys stay in use.

use tower_jwt_session::Clock as _;

use crate::support::replicas::{
    PERIOD, REFRESH, Replica, START, assert_converged, pass, policy, seconds,
};
use crate::support::stores::{Operation, TestStore};

#[tokio::test]
async fn store_down_keeps_last_known_keys_and_reports_failure() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    let read = START + seconds(100);
    replica.refresh_at(read).await;
    assert_eq!(replica.ring.status().refreshed_at, Some(read));
    assert_eq!(replica.ring.status().failure, None);
    let fingerprint = replica.fingerprint();

    store.down();
    replica.clock.advance(REFRESH);
    let error = replica.ring.refresh().await.expect_err("is down").to_string();
    let status = replica.ring.status();
    assert_eq!(status.failure, Some(error.clone()));
    assert!(error.contains("refuses to Load"), "{error}");
    assert_eq!(status.refreshed_at, Some(read));
    assert_eq!(status.fingerprint, fingerprint);
    assert_eq!(replica.ring.ready(), Ok(()));
    assert_eq!(replica.judge(&replica.issue()), Ok(()));

    store.up();
    replica.refresh().await;
    let status = replica.ring.status();
    assert_eq!((status.failure, status.refreshed_at), (None, Some(replica.clock.now())));
}

#[tokio::test]
async fn a_store_that_hangs_is_a_store_that_is_down() {
    let store = TestStore::new();
    // Long enough for a store in memory on a busy machine.
    let (limit, text) = (seconds(1) / 10, "took longer than 100ms");
    let hasty = policy().refresh_timeout(limit).insert_timeout(limit);
    let replica = Replica::open_with(store.clone(), hasty, START).await;
    store.hang(&[Operation::Load]);
    let error = replica.ring.refresh().await.expect_err("hangs").to_string();
    assert!(error.contains(&format!("reading the ring {text}")), "{error}");
    store.up();
    store.hang(&[Operation::Insert]);
    replica.clock.set(replica.times(1).signs_from);
    let error = replica.ring.refresh().await.expect_err("hangs").to_string();
    assert!(error.contains(&format!("writing an entry {text}")), "{error}");
    assert_eq!(replica.judge(&replica.issue()), Ok(()));
    store.up();
    replica.refresh().await;
    assert_eq!(replica.generations(), [0, 1, 2]);
}

#[tokio::test]
async fn replica_cut_off_under_two_periods_serves_others_tokens() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let cut_off = Replica::open(store.sibling(), START).await;
    // Two keys were ahead when it was last there: the first of them signs for a whole period.
    while one.clock.now() < START + PERIOD + seconds(7000) {
        pass(&[&one], REFRESH).await;
        cut_off.clock.advance(REFRESH);
        assert_eq!(cut_off.judge(&one.issue()), Ok(()));
        assert_eq!(one.judge(&cut_off.issue()), Ok(()));
    }
    cut_off.refresh().await;
    assert_converged(&[&one, &cut_off]);
}

#[tokio::test]
async fn replica_with_read_only_store_follows_others() {
    let content = TestStore::new();
    let one = Replica::open(content.clone(), START).await;
    let store = content.sibling();
    let reader = Replica::open(store.clone(), START).await;
    store.fail(&[Operation::Insert, Operation::Remove]);
    pass(&[&one], seconds(7000)).await;
    one.revoke(0).await;
    // It says that it can't write, which it tries now and then.
    reader.clock.set(one.clock.now());
    reader.ring.refresh().await.expect_err("can't be written");
    assert!(reader.ring.status().write_failure.is_some());
    assert_converged(&[&one, &reader]);
}
