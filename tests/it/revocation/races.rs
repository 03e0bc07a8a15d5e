//! Many who end sessions at once.

use std::sync::Arc;

use tokio::sync::Barrier;
use tower_jwt_session::store::MemoryStore;

use super::*;
use crate::support::stores::{Operation, TestStore};
use crate::support::web::claims_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_replicas_that_end_sessions_at_once_lose_none() {
    const REPLICAS: usize = 4;
    const ENDS: usize = 5;
    let store = MemoryStore::new();
    let mut replicas = Vec::new();
    for number in 0..REPLICAS {
        // Clocks of which some are always behind.
        let now = START + seconds(10) * u32::try_from(number).unwrap();
        replicas.push(Arc::new(Replica::open_at(store.clone(), now).await));
    }
    let start = Arc::new(Barrier::new(REPLICAS * ENDS));
    let racers = (0..REPLICAS * ENDS).map(|number| {
        let (replica, start) = (replicas[number % REPLICAS].clone(), start.clone());
        tokio::spawn(async move {
            start.wait().await;
            replica.sessions.revoke_session(&format!("s-{number}")).await.unwrap();
            replica.sessions.revoke_subject(&format!("u-{}", number % 3)).await.unwrap();
        })
    });
    for racer in racers.collect::<Vec<_>>() {
        racer.await.unwrap();
    }
    let mut cutoffs = Vec::new();
    for replica in &replicas {
        replica.refresh().await;
        assert_eq!(replica.counts(), [REPLICAS * ENDS, 3, 0]);
        // All know the same versions.
        cutoffs.push(
            (0..3)
                .map(|n| claims_of(&replica.login(&format!("u-{n}")))["rv"].clone())
                .collect::<Vec<_>>(),
        );
    }
    assert!(cutoffs.iter().all(|of| *of == cutoffs[0]), "{cutoffs:?}");
}

/// Two cutoffs of one subject by two that know of neither: the login between them is of before.
#[tokio::test]
async fn of_two_cutoffs_at_once_each_has_its_own_version() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let two = Replica::open(store.sibling()).await;
    one.sessions.revoke_subject("alice").await.unwrap();
    let between = one.login("alice");
    two.sessions.revoke_subject("alice").await.unwrap();
    one.refresh().await;
    let after = two.login("alice");
    for replica in [&one, &two] {
        assert_eq!(replica.judge(&between), Err(RejectionKind::Revoked));
        assert_eq!(replica.judge(&after), Ok(()));
    }
}

#[tokio::test]
async fn those_who_wait_for_a_write_are_written_together() {
    const WAITING: usize = 500;
    let store = TestStore::new();
    let one = Arc::new(Replica::open(store.clone()).await);
    store.hang(&[Operation::Append]);
    let end = |number: usize| {
        let one = one.clone();
        tokio::spawn(async move { one.sessions.revoke_session(&format!("s-{number}")).await })
    };
    let first = end(0);
    store.called(Operation::Append).await;
    let others: Vec<_> = (1..=WAITING).map(end).collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    store.up();
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(one.counts(), [1 + WAITING, 0, 0]);
    assert_eq!(store.calls(Operation::Append).len(), 2);
}

/// A few go at once; under load they are taken together, so that a store has few writes.
#[tokio::test(start_paused = true)]
async fn sustained_logouts_are_written_five_times_a_second() {
    let store = TestStore::new();
    let one = Arc::new(Replica::open(store.clone()).await);
    let began = tokio::time::Instant::now();
    let mut ends = Vec::new();
    for number in 0..400 {
        let one = one.clone();
        ends.push(tokio::spawn(async move {
            let began = tokio::time::Instant::now();
            one.sessions.revoke_session(&format!("s-{number}")).await.unwrap();
            began.elapsed()
        }));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut longest = Duration::ZERO;
    for end in ends {
        longest = longest.max(end.await.unwrap());
    }
    let writes = store.calls(Operation::Append).len();
    assert!((20..=26).contains(&writes), "{writes} writes in {:?}", began.elapsed());
    assert!(longest <= Duration::from_millis(210), "{longest:?}");
}

#[tokio::test]
async fn a_logout_is_recorded_even_if_its_client_goes_away() {
    let store = TestStore::new();
    let one = Arc::new(Replica::open(store.clone()).await);
    store.hang(&[Operation::Append]);
    let logout = tokio::spawn({
        let one = one.clone();
        async move { one.sessions.revoke_session("s").await }
    });
    store.called(Operation::Append).await;
    logout.abort();
    assert!(logout.await.unwrap_err().is_cancelled());
    store.up();
    while one.counts() != [1, 0, 0] {
        tokio::task::yield_now().await;
    }
}
