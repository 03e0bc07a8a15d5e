//! A panic in a background task: it is restarted and shown, its callers fail clearly, and a task that
//! is gone makes its handle not ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tower_jwt_session::store::{
    Advance, Cursor, FeedRead, Loaded, Register, RevokedSession, Store, StoreFuture,
    StoreProperties,
};
use tower_jwt_session::{KeyRing, NotReadyKind, OperationError, RotationPolicy};

use super::*;
use crate::support::delegate::delegate;
use crate::support::stores::{TestStore, nothing_at_rest};

/// A store whose next calls panic.
#[derive(Clone, Debug, Default)]
struct Panicking {
    content: TestStore,
    reads: Arc<AtomicUsize>,
    pages: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
    waits: Arc<AtomicUsize>,
}

fn panic_if(left: &AtomicUsize) {
    let has_left = |left: usize| left.checked_sub(1);
    let left = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, has_left);
    assert!(left.is_err(), "a test's panic");
}

impl Store for Panicking {
    delegate!(content: insert remove);

    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            panic_if(&self.reads);
            self.content.load(ring).await
        })
    }

    fn changed<'a>(&'a self, _: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            panic_if(&self.waits);
            std::future::pending().await
        })
    }

    fn properties(&self) -> StoreProperties {
        nothing_at_rest()
    }
}

impl RevocationStore for Panicking {
    delegate!(content: restore registers);

    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            panic_if(&self.writes);
            self.content.append(feed, sessions, now).await
        })
    }

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        Box::pin(async move {
            panic_if(&self.writes);
            self.content.advance(feed, advance).await
        })
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        Box::pin(async move {
            panic_if(&self.pages);
            self.content.read_feed(feed, cursor).await
        })
    }
}

async fn open() -> (Panicking, Replica) {
    let store = Panicking::default();
    (store.clone(), open_on(store).await)
}

async fn open_on(store: Panicking) -> Replica {
    let clock = ManualClock::new(START);
    let hasty = builder(store, &clock).refresh_interval(seconds(10)).found_now();
    Replica::of(hasty, clock).await
}

/// Ends a session alone, or all of its subject.
async fn end(one: &Replica, session: &Session<()>, everywhere: bool) -> Result<(), OperationError> {
    match everywhere {
        true => one.sessions.logout_everywhere(session).await,
        false => one.sessions.logout(session).await,
    }
}

#[tokio::test(start_paused = true)]
async fn panic_of_writing_task_fails_only_its_callers() {
    for (panics, everywhere) in (1..5).flat_map(|panics| [(panics, false), (panics, true)]) {
        let (store, one) = open().await;
        store.writes.store(panics, Ordering::SeqCst);
        for _ in 0..panics {
            let token = one.login("alice");
            let error = end(&one, &one.session(&token), everywhere).await.unwrap_err().to_string();
            assert!(error.contains("panicked"), "{error}");
            assert_eq!(one.judge(&token), Ok(()), "nothing is said to be recorded");
        }
        assert_eq!(one.revocations.status().task_panics, panics as u64);
        for subject in ["bob", "carol"] {
            let token = one.login(subject);
            end(&one, &one.session(&token), everywhere).await.unwrap();
            assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
            let newcomer = Replica::open(store.content.sibling()).await;
            assert_eq!(newcomer.judge(&token), Err(RejectionKind::Revoked));
        }
        one.revocations.ready().unwrap();
        assert_eq!(one.revocations.status().failure, None);
    }
}

/// The others in the same write are answered, too: none waits for its time limit.
#[tokio::test(start_paused = true)]
async fn panic_of_one_write_answers_all_that_were_written_with_it() {
    let (store, one) = open().await;
    let tokens = ["alice", "bob", "carol"].map(|subject| one.login(subject));
    let [alice, bob, carol] = tokens.each_ref().map(|token| one.session(token));
    store.writes.store(1, Ordering::SeqCst);
    let began = tokio::time::Instant::now();
    let ended =
        tokio::join!(end(&one, &alice, false), end(&one, &bob, true), end(&one, &carol, true));
    assert!(began.elapsed() < seconds(5), "{:?}", began.elapsed());
    let newcomer = Replica::open(store.content.sibling()).await;
    let ended = [ended.0, ended.1, ended.2];
    assert!(ended.iter().any(Result::is_err), "{ended:?}");
    for (ended, token) in ended.iter().zip(&tokens) {
        let judged = newcomer.judge(token);
        assert!(ended.is_err() || judged == Err(RejectionKind::Revoked), "{ended:?} {judged:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn panic_of_the_following_task_is_shown_and_following_resumes() {
    for what in ["reads", "pages", "waits"] {
        let store = Panicking::default();
        if what == "waits" {
            // Each time that it begins to wait for a change.
            store.waits.store(3, Ordering::SeqCst);
        }
        let one = open_on(store.clone()).await;
        let two = Replica::open(store.content.sibling()).await;
        tokio::task::yield_now().await;
        match what {
            "reads" => store.reads.store(3, Ordering::SeqCst),
            "pages" => store.pages.store(3, Ordering::SeqCst),
            _ => {}
        }
        tokio::time::sleep(seconds(12)).await;
        let status = one.revocations.status();
        assert!(status.task_panics > 0, "{what}");
        tokio::time::sleep(seconds(60)).await;
        let token = two.login("alice");
        two.logout(&token).await;
        tokio::time::sleep(one.revocations.refresh_bound()).await;
        assert_eq!(one.judge(&token), Err(RejectionKind::Revoked), "{what}");
        assert_eq!(one.revocations.status().failure, None, "{what}");
        one.revocations.ready().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_rings_task_is_shown_and_following_resumes() {
    let store = Panicking::default();
    let clock = ManualClock::new(START);
    let policy = RotationPolicy::new().refresh_interval(seconds(10));
    let ring = KeyRing::builder("app").store(store.clone()).rotation(policy).clock(clock.clone());
    let ring = ring.found_now().open().await.unwrap();
    store.reads.store(2, Ordering::SeqCst);
    while ring.status().task_panics == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = ring.status();
    assert!(status.failure.unwrap().contains("panicked"));
    ring.ready().unwrap();
    tokio::time::sleep(seconds(60)).await;
    assert_eq!((ring.status().task_panics, ring.status().failure), (2, None));
    clock.advance(seconds(100));
    tokio::time::sleep(seconds(12)).await;
    assert_eq!(ring.status().refreshed_at, Some(clock.now()));
}

#[test]
fn handle_whose_runtime_is_gone_is_not_ready() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (first, second) = (runtime(), runtime());
    let one = first.block_on(Replica::open(TestStore::new()));
    let keys = KeyRing::builder("app").store(TestStore::new()).clock(one.clock.clone());
    let keys = first.block_on(keys.found_now().open()).unwrap();
    one.revocations.ready().unwrap();
    keys.ready().unwrap();
    drop(first);
    let unready = [one.revocations.ready(), keys.ready()].map(|ready| ready.unwrap_err().kind());
    assert_eq!(unready, [NotReadyKind::TaskStopped; 2]);
    assert!(one.revocations.status().failure.unwrap().contains("stopped"));
    assert!(keys.status().failure.unwrap().contains("stopped"));
    let error = second.block_on(one.sessions.revoke_session("s")).unwrap_err().to_string();
    assert!(error.contains("has stopped"), "{error}");
}
