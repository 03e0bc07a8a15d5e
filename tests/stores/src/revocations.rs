//! Sessions that are ended on the stores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_jwt_session::store::{RefreshTokenStore, RevocationStore};
use tower_jwt_session::testing::{ManualClock, fixed_ring};
use tower_jwt_session::{
    Clock as _, Login, OperationError, OperationErrorKind, RefreshTokens, RejectionKind,
    Revocations, Sessions, SystemClock,
};

use crate::scenarios::{PROMPT, assert_hidden, eventually};
use crate::{Backend, Test, block_on};

pub(crate) fn all<B: Backend>() -> Vec<Test<B>> {
    vec![
        ("a_logout_is_pushed", |server| block_on(a_logout_is_pushed(&*server))),
        ("many_who_end_sessions_at_once_lose_none", |server| {
            block_on(many_who_end_sessions_at_once_lose_none(&*server));
        }),
        ("nothing_that_was_recorded_is_lost_with_the_server", |server| {
            block_on(nothing_that_was_recorded_is_lost_with_the_server(&*server));
        }),
    ]
}

/// One replica, which hardly polls.
pub(crate) async fn replica(
    store: impl RevocationStore + RefreshTokenStore + Clone,
) -> Sessions<()> {
    let revocations = Revocations::builder("app").store(store.clone());
    let revocations =
        revocations.refresh_interval(Duration::from_secs(3600)).found_now().open().await;
    let sessions = Sessions::builder(fixed_ring(SystemClock), "https://app.example", "app");
    let sessions = sessions.revocations(revocations.expect("opens"));
    let sessions = sessions.refresh_tokens(RefreshTokens::new().store(store));
    sessions.build().expect("good settings")
}

/// A server that is read and takes no writes: the status says so before a logout fails, and that it is
/// over, with nobody logging out. `stop` and `heal` do that to the server.
pub(crate) async fn unwritable_is_noticed(
    store: impl RevocationStore,
    stop: impl AsyncFnOnce(),
    heal: impl AsyncFnOnce(),
) {
    const HOUR: Duration = Duration::from_secs(3600);
    let clock = ManualClock::default();
    let revocations = Revocations::builder("app").store(store).clock(clock.clone());
    let revocations = revocations.refresh_interval(HOUR).found_now().open().await.expect("opens");
    let sessions = Sessions::<()>::builder(fixed_ring(clock.clone()), "https://app.example", "app");
    let sessions = sessions.revocations(revocations.clone()).build().expect("good settings");
    sessions.revoke_session("before").await.expect("is recorded");
    stop().await;
    // The background task may make the write that is due, when the server pushes the revocation.
    eventually("a refresh fails", async || {
        clock.advance(HOUR * 40);
        revocations.refresh().await.is_err()
    })
    .await;
    let status = revocations.status();
    assert!(status.write_failure.is_some() && status.failure.is_none(), "{status:?}");
    assert_eq!(status.refreshed_at, clock.now(), "it is read");
    revocations.ready().expect("serves what it has");
    sessions.revoke_session("s").await.expect_err("is not recorded");
    let token = login(&sessions);
    assert!(!is_refused(&sessions, &token));
    heal().await;
    clock.advance(HOUR);
    revocations.refresh().await.expect("writes again");
    assert_eq!(revocations.status().write_failure, None);
    end(&sessions, &token).await.expect("is recorded");
}

fn login(sessions: &Sessions<()>) -> String {
    sessions.issue(&Login::new("alice", ())).expect("a key signs").as_str().to_owned()
}

pub(crate) fn is_refused(sessions: &Sessions<()>, token: &str) -> bool {
    match sessions.validate(token).map_err(|rejection| rejection.kind()) {
        Ok(_) => false,
        Err(RejectionKind::Revoked) => true,
        Err(other) => panic!("{other:?}"),
    }
}

async fn end(sessions: &Sessions<()>, token: &str) -> Result<(), OperationError> {
    let session = sessions.validate(token).expect("a good token");
    sessions.logout(&session).await
}

fn held(sessions: &Sessions<()>) -> usize {
    sessions.revocations().expect("are there").status().sessions
}

async fn a_logout_is_pushed<B: Backend>(server: &B) {
    let database = server.database().await;
    let one = replica(server.open(&database).await).await;
    let two = replica(server.open(&database).await).await;
    eventually("both listen", async || server.listeners(&database).await == 2).await;
    // Until both have read because they now listen.
    sleep(Duration::from_millis(500)).await;
    for _ in 0..20 {
        let token = login(&two);
        end(&one, &token).await.expect("is recorded");
        assert!(is_refused(&one, &token));
        let began = Instant::now();
        eventually("the other refuses it", async || is_refused(&two, &token)).await;
        assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    }
}

async fn many_who_end_sessions_at_once_lose_none<B: Backend>(server: &B) {
    const EACH: usize = 50;
    let database = server.database().await;
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(Arc::new(replica(server.open(&database).await).await));
    }
    let ending = replicas.iter().enumerate().map(|(number, sessions)| {
        let sessions = sessions.clone();
        tokio::spawn(async move {
            for end in 0..EACH {
                let ended = sessions.revoke_session(&format!("{number}-{end}")).await;
                ended.expect("is recorded");
            }
        })
    });
    for ending in ending.collect::<Vec<_>>() {
        ending.await.expect("ends");
    }
    for sessions in &replicas {
        let revocations = sessions.revocations().expect("are there");
        revocations.refresh().await.expect("reads");
        assert_eq!(held(sessions), EACH * replicas.len());
    }
}

async fn nothing_that_was_recorded_is_lost_with_the_server<B: Backend>(_: &B) {
    let mut server = B::start().await;
    let database = server.database().await;
    let one = replica(server.open(&database).await).await;
    let two = replica(server.open(&database).await).await;
    let mut ended = Vec::new();
    for _ in 0..2 {
        for _ in 0..20 {
            let token = login(&one);
            end(&one, &token).await.expect("is recorded");
            ended.push(token);
        }
        let late = login(&one);
        server.kill();
        let error = end(&one, &late).await.expect_err("could not be recorded");
        assert_eq!(error.kind(), OperationErrorKind::Store, "{error}");
        assert_hidden::<B>(&error);
        // The last known goes on.
        assert!(!is_refused(&one, &late));
        assert!(ended.iter().all(|token| is_refused(&one, token)));
        server.restart().await;
        eventually("it is recorded", async || {
            is_refused(&one, &late) || end(&one, &late).await.is_ok()
        })
        .await;
        ended.push(late);
        // By those who were there, who hear of it again, and by one that comes.
        eventually("the other has heard", async || {
            ended.iter().all(|token| is_refused(&two, token))
        })
        .await;
        let newcomer = replica(server.open(&database).await).await;
        assert!(ended.iter().all(|token| is_refused(&newcomer, token)));
        assert_eq!(held(&newcomer), ended.len());
    }
}
