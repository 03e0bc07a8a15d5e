//! Streams that outlive their request end with the session: by time, by a logout, with its key.
//!
//! Time is tokio's, paused: it passes as soon as everyone waits, for timers and clock alike.

use std::time::Duration;

use tokio::time::Instant;
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
        let token = self.sessions.issue(&Login::new("alice", ())).unwrap();
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
