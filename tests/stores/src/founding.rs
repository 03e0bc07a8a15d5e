//! A server that loses everything while one of three replicas restarts.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_jwt_session::store::RevocationStore;
use tower_jwt_session::{
    KeyRing, Login, RejectionKind, Revocations, RotationPolicy, SealingKey, Sessions,
};

use crate::scenarios::{PROMPT, eventually};
use crate::{Backend, Test, block_on};

pub(crate) fn all<B: Backend>() -> Vec<Test<B>> {
    vec![
        ("an_emptied_server_and_a_restarted_replica_lose_nothing", |server| {
            block_on(an_emptied_server_and_a_restarted_replica_lose_nothing(&*server));
        }),
        ("an_empty_server_serves_the_first_login_after_3_seconds", |server| {
            block_on(an_empty_server_serves_the_first_login_after_3_seconds(&*server));
        }),
    ]
}

/// A replica with the defaults, but that it hardly polls.
async fn replica<S: RevocationStore + Clone>(
    keys: S,
    revocations: S,
    founds: bool,
) -> Sessions<()> {
    const HARDLY: Duration = Duration::from_secs(3600);
    let secret: Vec<u8> = (1..33).collect();
    let sealing_key = SealingKey::new(secret).expect("32 different bytes");
    let keys = KeyRing::builder("ring").store(keys).seal_with([sealing_key]);
    let keys = keys.rotation(RotationPolicy::new().refresh_interval(HARDLY));
    let revocations = Revocations::builder("ring").store(revocations).refresh_interval(HARDLY);
    let (keys, revocations) = match founds {
        true => (keys.found_now(), revocations.found_now()),
        false => (keys, revocations),
    };
    let keys = keys.open().await.expect("opens");
    let revocations = revocations.open().await.expect("opens");
    let sessions = Sessions::builder(keys, "https://app.example", "app");
    sessions.revocations(revocations).build().expect("good settings")
}

async fn start<B: Backend>(server: &B, database: &str, founds: bool) -> Sessions<()> {
    replica(server.open(database).await, server.open(database).await, founds).await
}

fn login(sessions: &Sessions<()>) -> String {
    sessions.issue(&Login::new("alice", ())).expect("a key signs").as_str().to_owned()
}

fn judge(sessions: &Sessions<()>, token: &str) -> Result<(), RejectionKind> {
    sessions.validate(token).map(drop).map_err(|rejection| rejection.kind())
}

fn is_ready(sessions: &Sessions<()>) -> bool {
    sessions.keys().ready().is_ok()
        && sessions.revocations().is_some_and(|revocations| revocations.ready().is_ok())
}

async fn an_emptied_server_and_a_restarted_replica_lose_nothing<B: Backend>(server: &B) {
    let database = server.database().await;
    let live = [start(server, &database, true).await, start(server, &database, true).await];
    let stopped = start(server, &database, true).await;
    eventually("all are ready", async || live.iter().all(is_ready)).await;
    // Until they listen.
    eventually("they listen", async || server.listeners(&database).await >= 6).await;
    sleep(Duration::from_millis(500)).await;
    let (good, ended) = (login(&live[0]), login(&stopped));
    let session = live[0].validate(&ended).expect("a good token");
    live[0].logout(&session).await.expect("is recorded");
    eventually("both refuse it", async || {
        live.iter().all(|it| judge(it, &ended) == Err(RejectionKind::Revoked))
    })
    .await;
    let before = live[0].keys().status().fingerprint;
    drop(stopped);

    server.empty(&database).await;
    let restarted = start(server, &database, false).await;
    let began = Instant::now();
    while !is_ready(&restarted) {
        assert!(judge(&restarted, &ended).is_err(), "an ended session");
        assert!(began.elapsed() < PROMPT, "not in time");
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(judge(&restarted, &ended), Err(RejectionKind::Revoked));
    assert_eq!(restarted.keys().status().fingerprint, before, "no other ring was founded");
    let new = login(&restarted);
    for replica in live.iter().chain([&restarted]) {
        assert_eq!([judge(replica, &good), judge(replica, &new)], [Ok(()); 2]);
    }
}

async fn an_empty_server_serves_the_first_login_after_3_seconds<B: Backend>(server: &B) {
    let database = server.database().await;
    let (keys, revocations) = (server.open(&database).await, server.open(&database).await);
    let began = Instant::now();
    let sessions = replica(keys, revocations, false).await;
    eventually("it is ready", async || is_ready(&sessions)).await;
    let took = began.elapsed();
    assert_eq!(judge(&sessions, &login(&sessions)), Ok(()));
    // How soon after the wait is a matter of the machine; in virtual time it is at once.
    assert!((Duration::from_secs(3)..PROMPT).contains(&took), "{took:?}");
}
