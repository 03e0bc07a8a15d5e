//! The background work of a replica: it reads when a token's issuer knew more, and ends with its last
//! handle.

use std::sync::Arc;

use tokio::sync::Notify;
use tower_jwt_session::store::{Loaded, MemoryStore, StoreFuture};

use crate::support::delegate::delegate;
use crate::support::stores::{Operation, TestStore};
use crate::support::web::{claims_of, header, signed};

use super::*;

/// Two replicas that don't hear of each other, and a token of the one that knows more.
async fn ahead() -> (Replica, Replica, TestStore, String, String) {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let reading = store.sibling();
    let two = Replica::open(reading.clone()).await;
    let ended = one.login("alice");
    one.logout(&ended).await;
    let gossip = one.login("bob");
    reading.forget_calls();
    (one, two, reading, ended, gossip)
}

fn reads(store: &TestStore) -> usize {
    store.calls(Operation::Load).len() + store.calls(Operation::Read).len()
}

/// Lets the background do all that it has to.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_token_whose_issuer_knew_more_makes_a_replica_read_at_once() {
    let (_one, two, reading, ended, gossip) = ahead().await;
    assert_eq!(two.judge(&ended), Ok(()));
    settle().await;
    assert_eq!(reads(&reading), 0, "it was not notified");
    assert_eq!(two.judge(&gossip), Ok(()), "it is not held up");
    settle().await;
    assert_eq!(two.judge(&ended), Err(RejectionKind::Revoked));
    assert_eq!(reads(&reading), 1);
    // Now it knows as much.
    assert_eq!(two.judge(&gossip), Ok(()));
    pass(&[&two], seconds(10));
    assert_eq!(two.judge(&gossip), Ok(()));
    settle().await;
    assert_eq!(reads(&reading), 1);
}

#[tokio::test]
async fn many_unknown_versions_cause_one_read_per_cooldown() {
    let (_one, two, reading, _, gossip) = ahead().await;
    reading.fail(&[Operation::Load, Operation::Read]);
    for round in 1..4 {
        for _ in 0..1000 {
            assert_eq!(two.judge(&gossip), Ok(()));
        }
        settle().await;
        assert_eq!(reads(&reading), round);
        pass(&[&two], seconds(1) - Duration::from_millis(1));
        assert_eq!(two.judge(&gossip), Ok(()));
        settle().await;
        assert_eq!(reads(&reading), round, "the cooldown is not over");
        pass(&[&two], Duration::from_millis(1));
    }
}

#[tokio::test]
async fn who_claims_a_version_has_to_be_signed() {
    let (_one, two, reading, _, gossip) = ahead().await;
    let mut claims = claims_of(&gossip);
    claims["rv"] = serde_json::json!(u64::MAX >> 1);
    let forged = signed(&header(), &claims);
    let (signed, _) = forged.rsplit_once('.').unwrap();
    let (_, signature) = gossip.rsplit_once('.').unwrap();
    let judged = two.judge(&format!("{signed}.{signature}"));
    assert_eq!(judged, Err(RejectionKind::BadSignature));
    settle().await;
    assert_eq!(reads(&reading), 0);
}

#[tokio::test]
async fn versions_go_on_above_what_tokens_claim() {
    let one = Replica::open(TestStore::new()).await;
    let mut claims = claims_of(&one.login("alice"));
    // The store and all replicas have forgotten what this issuer knew, whose clock was ahead.
    let known = one.clock.now() + SKEW;
    claims["rv"] = serde_json::json!(known.as_unix_millis());
    let token = signed(&header(), &claims);
    assert_eq!(one.judge(&token), Ok(()));
    one.sessions.revoke_subject("alice").await.unwrap();
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
}

/// Answers late, with what it held when it was asked; it reports no change.
#[derive(Clone, Debug)]
struct Slow {
    content: MemoryStore,
    takes: Duration,
    asked: Arc<Notify>,
}

impl Store for Slow {
    delegate!(content: insert remove);

    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let loaded = self.content.load(ring).await;
            self.asked.notify_waiters();
            tokio::time::sleep(self.takes).await;
            loaded
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_is_known_within_the_bound_however_long_reads_take() {
    let content = MemoryStore::new();
    let one = Replica::open(content.clone()).await;
    let slow = Slow { content, takes: Duration::from_millis(9_800), asked: Arc::default() };
    let clock = ManualClock::new(START);
    let polled = builder(slow.clone(), &clock)
        .refresh_interval(seconds(10))
        .refresh_timeout(Duration::from_millis(9_900))
        .insert_timeout(seconds(1))
        .found_now();
    let two = Replica::of(polled, clock).await;
    let token = one.login("alice");
    // The read that is under way does not see it.
    slow.asked.notified().await;
    one.logout(&token).await;
    tokio::time::sleep(two.revocations.refresh_bound()).await;
    assert_eq!(two.judge(&token), Err(RejectionKind::Revoked));
}

#[tokio::test]
async fn refresh_reads_only_new_revocations() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let reading = store.sibling();
    let two = Replica::open(reading.clone()).await;
    one.logout(&one.login("alice")).await;
    two.refresh().await;
    reading.forget_calls();
    for number in 0..200 {
        one.sessions.revoke_session(&format!("s-{number}")).await.unwrap();
    }
    two.refresh().await;
    assert_eq!(two.counts(), [201, 0, 0]);
    assert_eq!(reading.calls(Operation::Load), [""; 0]);
    // 64 at a time, each from the last one that is known.
    let positions = [0, 64, 128, 192].map(|position| format!("revocations-{position:020}"));
    assert_eq!(reading.calls(Operation::Read), positions);
    // Now and then it is all read, whatever it seems.
    pass(&[&two], KEPT);
    two.refresh().await;
    assert_eq!(reading.calls(Operation::Load).len(), 1);
}

#[tokio::test]
async fn the_background_ends_with_the_last_clone() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let one = Replica::open(TestStore::new()).await;
    let clone = one.revocations.clone();
    assert_eq!(tasks(), 2);
    drop(one);
    settle().await;
    assert_eq!(tasks(), 2, "a clone is left");
    drop(clone);
    settle().await;
    assert_eq!(tasks(), 0);
}
