//! The background work of a replica: it reads when a token's issuer knew more, and ends with its last
//! handle.

use std::sync::Arc;

use tokio::sync::Notify;
use tower_jwt_session::store::{Loaded, MemoryStore, Store, StoreFuture};

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
    one.sessions.revoke_subject("alice").await.unwrap();
    let gossip = one.login("alice");
    reading.forget_calls();
    (one, two, reading, ended, gossip)
}

fn reads(store: &TestStore) -> usize {
    store.calls(Operation::Load).len()
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
    reading.fail(&[Operation::Load]);
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

/// The store and all replicas have forgotten what this token's issuer knew, whose clock was ahead.
#[tokio::test]
async fn versions_go_on_above_what_tokens_claim() {
    let one = Replica::open(TestStore::new()).await;
    let claiming = |subject: &str| {
        let mut claims = claims_of(&one.login(subject));
        let known = one.clock.now() + SKEW;
        claims["rv"] = serde_json::json!(known.as_unix_millis());
        signed(&header(), &claims)
    };
    let [alice, bob] = ["alice", "bob"].map(claiming);
    assert_eq!([&alice, &bob].map(|token| one.judge(token)), [Ok(()), Ok(())]);
    // The session at hand says how far they had come.
    one.sessions.logout_everywhere(&one.session(&alice)).await.unwrap();
    assert_eq!(one.judge(&alice), Err(RejectionKind::Revoked));
    // Without it, a read that began clearly after the token was issued shows that a register is lost.
    one.sessions.revoke_subject("bob").await.unwrap();
    assert_eq!(one.judge(&bob), Ok(()));
    pass(&[&one], SKEW + seconds(1));
    one.refresh().await;
    assert_eq!(one.judge(&bob), Err(RejectionKind::Revoked));
    one.refresh().await;
    let later = one.login("bob");
    assert!(claims_of(&later)["rv"].as_u64() > claims_of(&bob)["rv"].as_u64(), "it was advanced");
    assert_eq!(one.judge(&later), Ok(()));
}

/// Answers late, with what it held when it was asked; it reports no change.
#[derive(Clone, Debug)]
struct Slow {
    content: MemoryStore,
    takes: Duration,
    asked: Arc<Notify>,
}

impl RevocationStore for Slow {
    delegate!(content: append advance restore registers read_feed);
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

#[tokio::test(start_paused = true)]
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
    assert_eq!(reading.calls(Operation::ReadFeed), ["new"]);
    // However much time passes.
    for _ in 0..50 {
        pass(&[&two], seconds(3600));
        two.refresh().await;
    }
    assert!(!reading.calls(Operation::ReadFeed).contains(&"whole".to_owned()));
}

#[tokio::test]
async fn the_background_ends_with_the_last_clone() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let one = Replica::open(TestStore::new()).await;
    let clone = one.revocations.clone();
    assert_eq!(tasks(), 3);
    drop(one);
    settle().await;
    assert_eq!(tasks(), 3, "a clone is left");
    drop(clone);
    settle().await;
    assert_eq!(tasks(), 0);
}
