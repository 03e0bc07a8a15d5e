//! The alarm that rotation is overdue: raised in time, once, and only when it is.

use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{self, ManualClock};
use tower_jwt_session::{KeyRing, OperationErrorKind, Root};

use crate::support::recorder::Events;
use crate::support::replicas::{
    FULL_LEAD, INSERT, MILLI, OVERRUN, PERIOD, REFRESH, Replica, START, policy, seconds,
};
use crate::support::stores::{Operation, TestStore};

impl Replica {
    fn is_overdue(&self) -> bool {
        self.ring.status().rotation_overdue
    }

    /// Lets `duration` pass with a store that fails.
    async fn pass_without_store(&self, duration: std::time::Duration) {
        let end = self.now() + duration;
        while self.now() < end {
            self.clock.advance(REFRESH.min(end - self.now()));
            self.ring.refresh().await.expect_err("the store is down");
        }
    }

    fn now(&self) -> tower_jwt_session::Timestamp {
        tower_jwt_session::Clock::now(&self.clock)
    }
}

#[tokio::test]
async fn a_ring_that_rotates_is_never_overdue() {
    let store = MemoryStore::new();
    let [one, two] = [
        Replica::open(store.clone(), START).await,
        Replica::open(store.clone(), START + seconds(30)).await,
    ];
    assert!(!one.is_overdue() && !two.is_overdue());
    while one.now() < START + 4 * PERIOD {
        for replica in [&one, &two] {
            // As late as a refresh may be.
            replica.clock.advance(REFRESH - MILLI);
            assert!(!replica.is_overdue(), "{:#?}", replica.ring.status());
            replica.clock.advance(MILLI);
            replica.refresh().await;
            assert!(!replica.is_overdue(), "{:#?}", replica.ring.status());
        }
    }
    assert!(one.signs() >= Some(3));
}

#[tokio::test]
async fn manual_operations_make_nothing_overdue() {
    let store = MemoryStore::new();
    let [one, two] =
        [Replica::open(store.clone(), START).await, Replica::open(store.clone(), START).await];
    let settled = async |what| {
        assert!(!one.is_overdue(), "{what}");
        for _ in 0..30 {
            for replica in [&one, &two] {
                replica.clock.advance(REFRESH);
                replica.refresh().await;
                assert!(!replica.is_overdue(), "{what}: {:#?}", replica.ring.status());
            }
        }
    };
    one.ring.rotate_now().await.expect("rotates");
    settled("rotated").await;
    one.revoke(one.signs().expect("one signs")).await;
    settled("revoked").await;
    one.ring.replace_all().await.expect("replaces");
    settled("replaced").await;
}

/// The alarm comes when the key after next is missing: long before anything is refused.
#[tokio::test]
async fn long_outage_is_reported_before_issuing_ends() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    replica.refresh().await;
    let second = replica.times(1);
    store.down();

    // A write of it may have been under way until now.
    let expected = second.signs_from - FULL_LEAD + INSERT;
    replica.pass_without_store(expected - START - MILLI).await;
    assert!(!replica.is_overdue());
    replica.pass_without_store(MILLI).await;
    assert!(replica.is_overdue());
    // It is an alarm, and no reason to take the replica away.
    assert_eq!(replica.ring.ready(), Ok(()));

    // Two keys sign to their end, and the last of them past it.
    replica.pass_without_store(second.signs_until + OVERRUN - expected - MILLI).await;
    assert!(replica.is_overdue());
    assert!(replica.try_issue().is_ok());
    replica.pass_without_store(MILLI).await;
    assert!(
        matches!(replica.try_issue(), Err(error) if error.kind() == OperationErrorKind::NoSigningKey)
    );
    assert_eq!(replica.ring.ready(), Ok(()), "it verifies, and all replicas are in the same state");
    assert!(replica.is_overdue());

    store.up();
    replica.refresh().await;
    assert!(!replica.is_overdue(), "its successors are published, and sign when all have them");
}

#[tokio::test]
async fn key_signing_past_its_time_is_overdue_until_succeeded() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    let second = replica.times(1);
    store.fail(&[Operation::Insert]);
    replica.clock.set(second.signs_until + seconds(10));
    replica.ring.refresh().await.expect_err("nothing can be written");
    assert!(replica.is_overdue());
    store.up();
    replica.refresh().await;
    assert_eq!((replica.signs(), replica.is_overdue()), (Some(1), true));
    let successor = replica.times(2);
    replica.refresh_at(successor.signs_from).await;
    assert_eq!((replica.signs(), replica.is_overdue()), (Some(2), false));
}

#[tokio::test]
async fn overdue_is_logged_once_and_once_when_over() {
    let scenario = async || {
        let store = TestStore::new();
        let replica = Replica::open(store.clone(), START).await;
        for outage in [0, 1] {
            let due = replica.times(outage + 1).signs_from;
            store.down();
            replica.clock.set(due - FULL_LEAD + INSERT);
            for _ in 0..5 {
                replica.ring.refresh().await.expect_err("the store is down");
                // Asking logs nothing.
                assert!(replica.is_overdue());
                assert_eq!(replica.ring.ready(), Ok(()));
                replica.clock.advance(MILLI);
            }
            store.up();
            for _ in 0..3 {
                replica.refresh().await;
            }
        }
    };
    let messages =
        ["rotation is overdue", "rotation is no longer overdue", "refreshes succeed again"];
    let counts = |events: &Events| messages.map(|message| events.count(message));
    let events =
        Events::of(scenario, |events| counts(events).iter().all(|count| *count >= 2)).await;
    assert_eq!(counts(&events), [2; 3]);
    let all = events.all();
    let first = all.iter().find(|event| event.message == "rotation is overdue").expect("logged");
    assert_eq!((&*first.fields["ring"], &*first.fields["generation"]), ("\"app\"", "0"));
    assert_eq!(first.fields["signs_until"], (START + PERIOD).to_string());
}

#[tokio::test]
async fn keys_of_time_or_of_another_service_are_never_overdue() {
    let clock = ManualClock::new(START);
    let secret: Vec<u8> = (100..132).collect();
    let root = Root::new(secret).expect("random bytes");
    let derived = KeyRing::derived("app", root).rotation(policy()).clock(clock.clone());
    let derived = derived.build().expect("good settings");
    let fixed = testing::fixed_ring(clock.clone());
    for _ in 0..50 {
        clock.advance(PERIOD / 7);
        assert!(!derived.status().rotation_overdue);
        assert!(!fixed.status().rotation_overdue);
    }
}
