//! A store that is read and takes no writes: the status says so, of revocations and of keys, before a
//! user's logout fails; and replicas stay ready.

use futures_util::FutureExt as _;
use tower_jwt_session::store::{FileStore, Store};
use tower_jwt_session::{KeyRing, OperationErrorKind, RotationPolicy};

use super::*;
use crate::support::stores::{Operation, TestStore};

async fn ring(store: &TestStore, clock: &ManualClock) -> KeyRing {
    let policy = RotationPolicy::new().refresh_interval(seconds(60));
    let ring = KeyRing::builder("app").store(store.clone()).rotation(policy).clock(clock.clone());
    ring.found_now().open().await.unwrap()
}

#[tokio::test]
async fn failed_logout_is_shown_until_a_write_succeeds() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let token = one.login("alice");
    store.fail(&[Operation::Insert, Operation::Append]);
    let error = one.sessions.logout(&one.session(&token)).await.unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::Store);
    for _ in 0..3 {
        // Less than an interval later: nothing is tried.
        one.refresh().await;
        pass(&[&one], seconds(10));
        let status = one.revocations.status();
        assert!(status.write_failure.unwrap().contains("refuses to "));
        assert_eq!(status.failure, None, "reading did not fail");
        one.revocations.ready().unwrap();
    }
    pass(&[&one], seconds(30));
    one.revocations.refresh().await.unwrap_err();
    store.up();
    // It recovers by itself, with nobody logging out.
    pass(&[&one], seconds(60));
    one.refresh().await;
    let status = one.revocations.status();
    assert_eq!((status.write_failure, status.written_at), (None, Some(one.clock.now())));
    assert!(store.entries_of(PLACE).await.is_empty(), "the try leaves nothing");
}

#[tokio::test]
async fn store_that_takes_no_writes_is_noticed_before_a_logout_fails() {
    for operations in [[Operation::Insert].as_slice(), &[Operation::Insert, Operation::Remove]] {
        let store = TestStore::new();
        let one = Replica::open(store.clone()).await;
        let keys = ring(&store, &one.clock).await;
        assert_eq!(keys.status().write_failure, None);
        store.fail(operations);
        pass(&[&one], seconds(40 * 60));
        one.revocations.refresh().await.unwrap_err();
        keys.refresh().await.unwrap_err();
        let failures = [one.revocations.status().write_failure, keys.status().write_failure];
        for failure in failures {
            assert!(failure.unwrap().contains("refuses to Insert"));
        }
        assert_eq!((one.revocations.status().failure, keys.status().failure), (None, None));
        one.revocations.ready().unwrap();
        keys.ready().unwrap();
        assert_eq!(one.judge(&one.login("alice")), Ok(()));
        store.up();
        pass(&[&one], seconds(60));
        one.refresh().await;
        keys.refresh().await.unwrap();
        let failures = [one.revocations.status().write_failure, keys.status().write_failure];
        assert_eq!(failures, [None, None]);
        assert_eq!(keys.status().written_at, Some(one.clock.now()));
    }
}

#[tokio::test]
async fn store_that_takes_entries_and_no_appends_is_noticed_before_a_logout_fails() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    store.fail(&[Operation::Append]);
    pass(&[&one], seconds(40 * 60));
    one.revocations.refresh().await.unwrap_err();
    for _ in 0..3 {
        let failure = one.revocations.status().write_failure;
        assert!(failure.unwrap().contains("refuses to Append"));
        one.revocations.ready().unwrap();
        pass(&[&one], seconds(60));
        one.revocations.refresh().await.unwrap_err();
    }
    store.up();
    pass(&[&one], seconds(60));
    one.refresh().await;
    assert_eq!(one.revocations.status().write_failure, None);
}

/// Where the directories of appends are to be made there are files, which refuse them to any user.
#[tokio::test]
async fn directory_that_takes_entries_and_no_appends_is_noticed_before_a_logout_fails() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys");
    let clock = ManualClock::new(START);
    let store = FileStore::open(&keys).unwrap();
    let one = Replica::of(builder(store, &clock).found_now(), clock).await;
    assert_eq!(one.revocations.status().write_failure, None);
    let session = one.session(&one.login("alice"));
    pass(&[&one], seconds(40 * 60));
    let hour = one.clock.now().as_unix_seconds() / 3600;
    let partitions: Vec<_> = (hour + 1..hour + 100)
        .map(|hour| keys.join(PLACE).join(".revocations").join(hour.to_string()))
        .filter(|partition| std::fs::write(partition, b"").is_ok())
        .collect();
    one.revocations.refresh().await.unwrap_err();
    let failure = one.revocations.status().write_failure.expect("appends fail");
    assert!(failure.contains("revocations"), "{failure}");
    one.sessions.logout(&session).await.unwrap_err();
    one.revocations.ready().unwrap();
    for partition in partitions {
        std::fs::remove_file(partition).unwrap();
    }
    pass(&[&one], seconds(60));
    one.refresh().await;
    assert_eq!(one.revocations.status().write_failure, None);
}

#[tokio::test]
async fn writes_are_tried_once_in_40_intervals_and_wake_nobody() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    store.forget_calls();
    for _ in 0..80 {
        pass(&[&one], seconds(60));
        one.refresh().await;
    }
    let tried = store.calls(Operation::Insert);
    assert_eq!(tried.len(), 2);
    assert!(tried[0].starts_with("probe-") && tried[0] == tried[1], "{tried:?}");
    assert_eq!(store.calls(Operation::Remove), tried);
    assert_eq!(store.calls(Operation::Append), ["0", "0"], "no session");
    // A logout is as good.
    pass(&[&one], seconds(39 * 60));
    one.sessions.revoke_session("s").await.unwrap();
    store.forget_calls();
    pass(&[&one], seconds(39 * 60));
    one.refresh().await;
    assert_eq!(store.calls(Operation::Insert), [""; 0]);
    assert_eq!(store.calls(Operation::Append), [""; 0]);

    let memory = tower_jwt_session::store::MemoryStore::new();
    drop(memory.changed("app").now_or_never());
    let probe = tower_jwt_session::store::Entry::new(
        tower_jwt_session::store::EntryName::parse("probe-1").unwrap(),
        b"1".to_vec(),
    );
    memory.insert("app", &probe).await.unwrap();
    assert!(memory.changed("app").now_or_never().is_none(), "nobody is woken");
}

#[tokio::test]
async fn entry_left_behind_by_a_try_is_no_entry_to_anyone() {
    let store = TestStore::new();
    for place in [PLACE, "app"] {
        store.put_of(place, "probe-0123456789abcdef", b"{").await;
    }
    let one = Replica::open(store.clone()).await;
    let keys = ring(&store, &one.clock).await;
    assert_eq!(one.revocations.status().skipped, [""; 0]);
    assert_eq!(keys.status().skipped, [""; 0]);
    keys.ready().unwrap();
}
