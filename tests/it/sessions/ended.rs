//! Streams that outlive their request end with the session: by time, by a logout, with its key.
//!
//! Time is tokio's, paused: it passes as soon as everyone waits, for timers and clock alike.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{
    Algorithm, Clock, KeyRing, Login, RejectionKind, Revocations, Session, Sessions, Timestamp,
};

use crate::support::replicas::{START, seconds};

/// A clock that goes with tokio's timers.
#[derive(Clone, Debug)]
struct TimerClock(Instant);

impl Clock for TimerClock {
    fn now(&self) -> Timestamp {
        START + self.0.elapsed()
    }
}

const IDLE: Duration = Duration::from_secs(60 * 60);
const LEEWAY: Duration = Duration::from_secs(60);

struct Replica {
    clock: TimerClock,
    keys: KeyRing,
    sessions: Sessions<()>,
}

impl Replica {
    async fn open(store: &MemoryStore) -> Self {
        let clock = TimerClock(Instant::now());
        let keys =
            KeyRing::fixed([fixed_key(Algorithm::EdDSA)]).clock(clock.clone()).build().unwrap();
        let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
        let sessions = Sessions::builder(keys.clone(), "https://app.example", "app")
            .revocations(revocations.open().await.unwrap())
            .build()
            .unwrap();
        Self { clock, keys, sessions }
    }

    fn login(&self) -> Session<()> {
        self.login_of("alice")
    }

    fn login_of(&self, subject: &str) -> Session<()> {
        let token = self.sessions.issue(&Login::new(subject, ())).unwrap();
        self.sessions.validate(token.as_str()).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_its_token_is_refused_by_time() {
    let replica = Replica::open(&MemoryStore::new()).await;
    let session = replica.login();
    assert_eq!(replica.sessions.ended(&session).await.kind(), RejectionKind::Expired);
    let past = replica.clock.now() - (session.expires_at() + LEEWAY);
    assert!(replica.clock.now() >= START + IDLE + LEEWAY && past < seconds(1), "{past:?}");
    // One that begins too late ends at once.
    assert_eq!(replica.sessions.ended(&session).await.kind(), RejectionKind::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_logout_ends_it_on_every_replica() {
    let store = MemoryStore::new();
    let (here, there) = (Replica::open(&store).await, Replica::open(&store).await);
    let token = here.sessions.issue(&Login::new("alice", ())).unwrap();
    let [mine, theirs] =
        [&here, &there].map(|replica| replica.sessions.validate(token.as_str()).unwrap());
    let other = there.login();
    let connections = [here.sessions.ended(&mine), there.sessions.ended(&theirs)].map(tokio::spawn);
    let goes_on = tokio::spawn(there.sessions.ended(&other));
    tokio::time::sleep(seconds(100)).await;
    assert!(connections.iter().all(|connection| !connection.is_finished()));

    here.sessions.logout(&mine).await.unwrap();
    for connection in connections {
        assert_eq!(connection.await.unwrap().kind(), RejectionKind::Revoked);
    }
    let bound = there.sessions.revocations().unwrap().refresh_bound();
    assert!(there.clock.now() <= START + seconds(100) + bound);
    assert!(!goes_on.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_gone_ends_it_too() {
    let replica = Replica::open(&MemoryStore::new()).await;
    let session = replica.login();
    let connection = tokio::spawn(replica.sessions.ended(&session));
    tokio::time::sleep(seconds(100)).await;
    replica.keys.replace([fixed_key(Algorithm::ES256)]).unwrap();
    assert_eq!(connection.await.unwrap().kind(), RejectionKind::UnknownKey);
    assert!(replica.clock.now() <= START + seconds(116));
}

/// Streams, and how often they were woken.
struct Streams {
    polls: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<RejectionKind>>,
}

impl Streams {
    fn open(replica: &Replica, sessions: &[Session<()>]) -> Self {
        let polls = Arc::<AtomicUsize>::default();
        let open = |session| {
            let mut ended = Box::pin(replica.sessions.ended(session));
            let polls = polls.clone();
            let counted = poll_fn(move |context| {
                polls.fetch_add(1, Ordering::Relaxed);
                ended.as_mut().poll(context)
            });
            tokio::spawn(async { counted.await.kind() })
        };
        let tasks = sessions.iter().map(open).collect();
        Self { polls, tasks }
    }

    /// Those that have ended since, and how many polls there were since.
    async fn since(&self) -> (Vec<usize>, usize) {
        // Time passes once all have run that were woken.
        sleep(Duration::from_millis(1)).await;
        let ended = self.tasks.iter().enumerate().filter(|(_, task)| task.is_finished());
        (ended.map(|(number, _)| number).collect(), self.polls.swap(0, Ordering::Relaxed))
    }
}

#[tokio::test(start_paused = true)]
async fn revocation_wakes_only_the_streams_that_it_concerns() {
    const STREAMS: usize = 10_000;
    const A_SECOND: usize = 100;
    let store = MemoryStore::new();
    let (here, there) = (Replica::open(&store).await, Replica::open(&store).await);
    // Each user has two.
    let sessions: Vec<_> =
        (0..STREAMS).map(|number| there.login_of(&format!("user {}", number / 2))).collect();
    let others: Vec<_> = (0..10 * A_SECOND).map(|_| here.login()).collect();
    let streams = Streams::open(&there, &sessions);
    assert_eq!(streams.since().await, (vec![], STREAMS), "each has looked once");

    // Within the time after which each looks again by itself.
    let mut second = Instant::now();
    for others in others.chunks(A_SECOND) {
        let logouts = others.iter().map(|other| here.sessions.logout(other));
        assert!(join_all(logouts).await.iter().all(Result::is_ok));
        second += seconds(1);
        sleep_until(second).await;
    }
    let known = there.sessions.revocations().unwrap().status();
    assert_eq!(known.sessions, others.len(), "the other replica has read them");
    assert_eq!(streams.since().await, (vec![], 0));

    here.sessions.logout(&sessions[70]).await.unwrap();
    sleep(seconds(1)).await;
    assert_eq!(streams.since().await, (vec![70], 1));
    here.sessions.revoke_subject("user 40").await.unwrap();
    sleep(seconds(1)).await;
    assert_eq!(streams.since().await, (vec![70, 80, 81], 2));
    // This one is of all.
    here.sessions.revoke_logins_before(here.clock.now()).await.unwrap();
    sleep(seconds(1)).await;
    let (ended, polls) = streams.since().await;
    assert_eq!((ended.len(), polls), (STREAMS, STREAMS - 3));
    for task in streams.tasks {
        assert_eq!(task.await.unwrap(), RejectionKind::Revoked);
    }
}
