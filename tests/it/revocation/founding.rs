//! Founding: a newcomer on a store that lost its revocations accepts nothing before live replicas
//! have had the time to restore them. Time is Tokio's, which is paused; the replicas' own clocks stand
//! still.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::{Instant, sleep, timeout};
use tower_jwt_session::NotReadyKind;
use tower_jwt_session::store::{
    Cursor, FeedRead, FileStore, Loaded, MemoryStore, Store, StoreFuture,
};

use super::*;
use crate::support::delegate::delegate;
use crate::support::stores::{Reach, TestStore};

/// How long a newcomer waits where the store reports changes.
const NOTIFIED: Duration = Duration::from_secs(3);
/// The refresh bound and a write: 66 s, 5 s and 10 s.
const POLLED: Duration = Duration::from_secs(66 + 5 + 10);
const LATE: Duration = Duration::from_millis(500);

fn wait(reach: Reach) -> Duration {
    if reach == Reach::Notifying { NOTIFIED } else { POLLED }
}

/// A replica that relies at once on an empty store.
async fn founder(store: &TestStore) -> Replica {
    let clock = ManualClock::new(START);
    Replica::of(builder(store.sibling(), &clock).found_now(), clock).await
}

/// A replica with the default of founding.
async fn newcomer(store: &TestStore) -> Replica {
    let began = Instant::now();
    let replica = Replica::open(store.sibling()).await;
    assert!(began.elapsed() < LATE, "`open` does not wait");
    replica
}

/// How long it takes until the replica is ready; until then it accepts no token.
async fn ready_after(replica: &Replica, token: &str) -> Duration {
    let began = Instant::now();
    let ready = async {
        while let Err(unready) = replica.revocations.ready() {
            assert_eq!(unready.kind(), NotReadyKind::Founding, "{unready}");
            let judged = replica.judge(token).expect_err("is not accepted");
            let is_temporary = matches!(judged, RejectionKind::StaleRevocations { .. });
            assert!(is_temporary || judged == RejectionKind::Revoked, "{judged:?}");
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(seconds(600), ready).await.expect("becomes ready");
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn emptied_store_and_restarted_replica_accept_no_ended_session() {
    for reach in [Reach::Notifying, Reach::Polled] {
        let store = TestStore::shared(reach);
        let live = [founder(&store).await, founder(&store).await];
        let [ended, good] = ["alice", "bob"].map(|subject| live[0].login(subject));
        live[0].logout(&ended).await;
        live[1].refresh().await;
        store.purge_feed(PLACE).await;

        let restarted = newcomer(&store).await;
        let unready = restarted.revocations.ready().expect_err("waits");
        let expected = format!("does not hold the revocations: waiting since {START}");
        assert!(unready.to_string().contains(&expected), "{unready}");
        let took = ready_after(&restarted, &ended).await;
        assert!(took < wait(reach), "{took:?}");
        assert_eq!(restarted.judge(&ended), Err(RejectionKind::Revoked));
        assert_eq!(restarted.judge(&good), Ok(()));
        // A replica that waited removes its notes.
        sleep(POLLED).await;
        let names: Vec<_> = store.entries_of(PLACE).await.into_keys().collect();
        assert_eq!(names, ["founded"], "and no claim of who restores");
        assert_eq!(store.feed(PLACE).await.sessions.len(), 1, "{reach:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn store_without_revocations_is_trusted_after_the_wait() {
    for reach in [Reach::Notifying, Reach::Polled] {
        let store = TestStore::shared(reach);
        let first = newcomer(&store).await;
        let token = first.login("alice");
        let took = ready_after(&first, &token).await;
        assert!((wait(reach)..wait(reach) + LATE).contains(&took), "{took:?}");
        assert_eq!(first.judge(&token), Ok(()));
        sleep(POLLED).await;
        let names: Vec<_> = store.entries_of(PLACE).await.into_keys().collect();
        assert_eq!(names, ["founded"]);

        let second = newcomer(&store).await;
        assert_eq!(second.revocations.ready(), Ok(()));
        second.logout(&token).await;
        first.refresh().await;
        assert_eq!(first.judge(&token), Err(RejectionKind::Revoked));
    }
}

/// It has nothing to restore but the word that there is nothing.
#[tokio::test(start_paused = true)]
async fn live_replica_without_revocations_answers_a_newcomer() {
    let store = TestStore::shared(Reach::Notifying);
    let live = founder(&store).await;
    let token = live.login("alice");
    store.purge_feed(PLACE).await;
    let restarted = newcomer(&store).await;
    let took = ready_after(&restarted, &token).await;
    assert!(took < seconds(1), "{took:?}");
    assert_eq!(restarted.judge(&token), Ok(()));
}

/// Only the marker, which a restoration writes last, says that all is there.
#[tokio::test(start_paused = true)]
async fn half_restored_revocations_are_not_relied_on() {
    let store = TestStore::shared(Reach::Notifying);
    let live = founder(&store).await;
    let tokens = ["alice", "bob"].map(|subject| live.login(subject));
    for token in &tokens {
        live.logout(token).await;
    }
    live.sessions.revoke_subject("carol").await.unwrap();
    let whole = store.feed(PLACE).await;
    drop(live);
    store.purge_feed(PLACE).await;
    let restarted = newcomer(&store).await;
    for session in &whole.sessions {
        store.append(PLACE, std::slice::from_ref(session), START).await.unwrap();
        sleep(seconds(1)).await;
        assert!(restarted.revocations.ready().is_err(), "{session:?}");
    }
    RevocationStore::restore(&store, PLACE, &whole.registers, START).await.unwrap();
    sleep(seconds(1)).await;
    assert!(restarted.revocations.ready().is_err());
    let _marks = founder(&store).await;
    assert!(ready_after(&restarted, &tokens[0]).await < seconds(1));
    for token in &tokens {
        assert_eq!(restarted.judge(token), Err(RejectionKind::Revoked));
    }
    assert_eq!(restarted.counts(), [2, 1, 0]);
}

/// The small entries are there, and the records are not: the marker is that of another feed.
#[tokio::test(start_paused = true)]
async fn marker_of_a_lost_feed_is_not_relied_on() {
    for reach in [Reach::Notifying, Reach::Polled] {
        let store = TestStore::shared(reach);
        let live = founder(&store).await;
        let ended = live.login("alice");
        live.logout(&ended).await;
        let lost = store.entries_of(PLACE).await;
        store.replace_feeds(MemoryStore::new());
        assert!(lost.contains_key("founded"));

        let restarted = newcomer(&store).await;
        let took = ready_after(&restarted, &ended).await;
        assert!(took < wait(reach), "{took:?}");
        assert_eq!(restarted.judge(&ended), Err(RejectionKind::Revoked));
        sleep(POLLED).await;
        let kept = store.entries_of(PLACE).await;
        assert!(kept.keys().eq(["founded"]) && kept != lost, "{kept:?}");
        // Now it is that of the restored feed.
        newcomer(&store).await.revocations.ready().unwrap();

        // Without a replica that knew, it is founded anew.
        drop((live, restarted));
        store.replace_feeds(MemoryStore::new());
        let first = newcomer(&store).await;
        let token = first.login("bob");
        let took = ready_after(&first, &token).await;
        assert!((wait(reach)..wait(reach) + LATE).contains(&took), "{took:?}");
        newcomer(&store).await.revocations.ready().unwrap();
    }
}

/// A feed without records has an incarnation, too.
#[tokio::test(start_paused = true)]
async fn first_record_of_a_founded_feed_leaves_it_founded() {
    let directory = tempfile::tempdir().unwrap();
    let open = || FileStore::open(directory.path().join("keys")).unwrap();
    let clock = ManualClock::new(START);
    let first = Replica::of(builder(open(), &clock).found_now(), clock).await;
    let token = first.login("alice");
    first.logout(&token).await;
    let second = Replica::open(open()).await;
    second.revocations.ready().unwrap();
    assert_eq!(second.judge(&token), Err(RejectionKind::Revoked));
}

/// A newcomer that finds the marker relies on what it reads then. So the marker counts only if the store
/// was not emptied between.
#[tokio::test(start_paused = true)]
async fn store_emptied_at_any_step_of_an_opening_revives_no_session() {
    for reach in [Reach::Notifying, Reach::Polled] {
        for step in 0..8 {
            let store = TestStore::shared(reach);
            let live = founder(&store).await;
            let ended = live.login("alice");
            live.logout(&ended).await;
            let emptied = Emptied { store: store.sibling(), step, steps: Arc::default() };
            let restarted = Replica::open(emptied.clone()).await;
            let judged = || restarted.judge(&ended).expect_err("is not accepted");
            for _ in 0..40 {
                judged();
                sleep(Duration::from_millis(250)).await;
            }
            sleep(2 * POLLED).await;
            assert_eq!(judged(), RejectionKind::Revoked, "{step}");
            restarted.revocations.ready().unwrap();
            assert!(emptied.steps.load(Ordering::Relaxed) > step, "it has come to that step");
        }
    }
}

/// A connection that empties the store before one of its reads.
#[derive(Clone, Debug)]
struct Emptied {
    store: TestStore,
    step: usize,
    steps: Arc<AtomicUsize>,
}

impl Emptied {
    async fn step(&self) {
        if self.steps.fetch_add(1, Ordering::Relaxed) == self.step {
            self.store.purge_feed(PLACE).await;
        }
    }
}

impl Store for Emptied {
    delegate!(store: insert remove changed properties);

    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            self.step().await;
            self.store.load(ring).await
        })
    }
}

impl RevocationStore for Emptied {
    delegate!(store: append advance restore registers);

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        Box::pin(async move {
            self.step().await;
            self.store.read_feed(feed, cursor).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_private_store_and_a_setting_need_no_wait() {
    let private = Replica::open(TestStore::new()).await;
    let founder = founder(&TestStore::shared(Reach::Polled)).await;
    for replica in [private, founder] {
        assert_eq!(replica.revocations.ready(), Ok(()));
        assert_eq!(replica.judge(&replica.login("alice")), Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn never_found_opens_only_what_was_founded_and_writes_nothing_else() {
    for reach in [Reach::Notifying, Reach::Polled] {
        let (store, clock) = (TestStore::shared(reach), ManualClock::new(START));
        let open = async || builder(store.sibling(), &clock).never_found().open().await;
        let error = open().await.expect_err("nothing is there");
        assert!(error.is_no_revocations() && error.to_string().contains("right name"), "{error}");
        assert!(store.entries_of(PLACE).await.is_empty() && store.feed(PLACE).await.is_empty());

        let live = founder(&store).await;
        let ended = live.login("alice");
        live.logout(&ended).await;
        let tool = open().await.expect("founded");
        assert_eq!((tool.ready().is_ok(), tool.status().sessions), (true, 1));
        // A marker that a lost feed has left behind is that of no feed.
        drop((live, tool));
        store.replace_feeds(MemoryStore::new());
        assert!(open().await.expect_err("lost").is_no_revocations(), "{reach:?}");
        let failed = open_of_broken(&store, &clock).await;
        assert!(failed.is_store_unavailable(), "{failed}");
    }
}

async fn open_of_broken(store: &TestStore, clock: &ManualClock) -> tower_jwt_session::BuildError {
    let broken = store.sibling();
    broken.down();
    builder(broken, clock).never_found().open().await.expect_err("it cannot be read")
}
