//! Many who end sessions at once.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Barrier;
use tower_jwt_session::store::MemoryStore;

use super::*;
use crate::support::stores::{Operation, TestStore};

/// The log in the order of its entries: the version of each, and how many marks it has.
async fn chain(store: &impl Store) -> Vec<(u64, usize)> {
    let mut entries = store.load(PLACE).await.unwrap().entries;
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    let names = entries.iter().map(|entry| entry.name.to_string());
    let gapless = (0..entries.len()).map(|position| format!("revocations-{position:020}"));
    assert!(names.eq(gapless), "{entries:?}");
    let parse = |value: &[u8]| serde_json::from_slice::<Value>(value).unwrap();
    let values = entries.iter().map(|entry| parse(&entry.value));
    values
        .map(|value| {
            (value["rv"].as_u64().unwrap(), value["revocations"].as_array().unwrap().len())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn versions_follow_the_order_of_commits_and_nothing_is_lost() {
    const REPLICAS: usize = 4;
    const ENDS: usize = 100;
    let store = MemoryStore::new();
    let mut replicas = Vec::new();
    for number in 0..REPLICAS {
        // Clocks of which some are always behind.
        let now = START + seconds(10) * u32::try_from(number).unwrap();
        replicas.push(Arc::new(Replica::open_at(store.clone(), now).await));
    }
    let start = Arc::new(Barrier::new(REPLICAS));
    let racers = replicas.iter().enumerate().map(|(number, replica)| {
        let (replica, start) = (replica.clone(), start.clone());
        tokio::spawn(async move {
            start.wait().await;
            for end in 0..ENDS {
                let session_id = format!("{number}-{end}");
                let before = replica.version();
                replica.sessions.revoke_session(&session_id).await.unwrap();
                assert!(replica.version() > before);
            }
        })
    });
    for racer in racers.collect::<Vec<_>>() {
        racer.await.unwrap();
    }
    let chain = chain(&store).await;
    assert!(chain.windows(2).all(|pair| pair[0].0 < pair[1].0), "{chain:?}");
    let marks: usize = chain.iter().map(|(_, marks)| marks).sum();
    assert_eq!(marks, REPLICAS * ENDS);
    for replica in &replicas {
        replica.refresh().await;
        assert_eq!(replica.counts(), [REPLICAS * ENDS, 0, 0]);
        assert_eq!(replica.version(), chain.last().unwrap().0);
    }
}

/// Two that have read the same meet at the same place.
#[tokio::test]
async fn of_two_writers_of_one_place_the_second_takes_the_next() {
    for round in 0..20 {
        let store = TestStore::new();
        let one = Replica::open(store.clone()).await;
        let two = Replica::open(store.sibling()).await;
        for _ in 0..round {
            one.sessions.revoke_session("before").await.unwrap();
        }
        let (first, second) = tokio::join!(
            one.sessions.revoke_session("first"),
            two.sessions.revoke_session("second"),
        );
        first.unwrap();
        second.unwrap();
        one.refresh().await;
        two.refresh().await;
        let expected = [2 + usize::from(round > 0), 0, 0];
        assert_eq!([one.counts(), two.counts()], [expected; 2]);
        assert_eq!(store.entries_of(PLACE).await.len(), 2 + round);
    }
}

#[tokio::test]
async fn those_who_wait_for_a_write_are_written_together() {
    const WAITING: usize = 500;
    let store = TestStore::new();
    let one = Arc::new(Replica::open(store.clone()).await);
    store.hang(&[Operation::Insert]);
    let end = |number: usize| {
        let one = one.clone();
        tokio::spawn(async move { one.sessions.revoke_session(&format!("s-{number}")).await })
    };
    let first = end(0);
    store.called(Operation::Insert).await;
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
    assert_eq!(store.calls(Operation::Insert).len(), 2);
}

#[tokio::test]
async fn more_than_an_entry_holds_is_written_as_several() {
    let store = TestStore::new();
    let one = Arc::new(Replica::open(store.clone()).await);
    store.hang(&[Operation::Insert]);
    let long = "x".repeat(20_000);
    let end = |number: usize| {
        let (one, subject) = (one.clone(), format!("{long}{number}"));
        tokio::spawn(async move { one.sessions.revoke_subject(&subject).await })
    };
    let first = end(0);
    store.called(Operation::Insert).await;
    let others: Vec<_> = (1..8).map(end).collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    store.up();
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    // Three fit into one.
    assert_eq!(store.entries_of(PLACE).await.len(), 1 + 3);
    // One that fits into none fails, alone.
    let longest = "x".repeat(70_000);
    let error = one.sessions.revoke_subject(&longest).await.unwrap_err().to_string();
    assert!(error.contains("the maximum is 65536"), "{error}");
    one.sessions.revoke_subject("short").await.unwrap();
    let newcomer = Replica::open(store.sibling()).await;
    assert_eq!([one.counts(), newcomer.counts()], [[0, 9, 0]; 2]);
}

#[tokio::test]
async fn a_logout_is_recorded_even_if_its_client_goes_away() {
    let store = TestStore::new();
    let one = Arc::new(Replica::open(store.clone()).await);
    store.hang(&[Operation::Insert]);
    let logout = tokio::spawn({
        let one = one.clone();
        async move { one.sessions.revoke_session("s").await }
    });
    store.called(Operation::Insert).await;
    logout.abort();
    assert!(logout.await.unwrap_err().is_cancelled());
    store.up();
    while one.counts() != [1, 0, 0] {
        tokio::task::yield_now().await;
    }
}
