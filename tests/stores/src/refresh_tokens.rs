//! Refresh tokens that are redeemed on the stores.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Barrier;
use tower_jwt_session::{
    IssuedTokens, Login, OperationError, OperationErrorKind, Rejection, RejectionKind, Sessions,
};

use crate::revocations::{is_refused, replica};
use crate::scenarios::{PROMPT, assert_hidden, eventually};
use crate::{Backend, Test, block_on};

pub(crate) fn all<B: Backend>() -> Vec<Test<B>> {
    vec![
        ("of_fifty_refreshes_at_once_all_get_one_successor", |server| {
            block_on(of_fifty_refreshes_at_once_all_get_one_successor(&*server));
        }),
        ("a_copy_ends_its_session_everywhere_and_no_restart_hides_it", |server| {
            block_on(a_copy_ends_its_session_everywhere_and_no_restart_hides_it(&*server));
        }),
    ]
}

async fn replicas<B: Backend>(server: &B) -> Vec<Sessions<()>> {
    let database = server.database().await;
    let mut replicas = Vec::new();
    for _ in 0..5 {
        replicas.push(replica(server.open(&database).await).await);
    }
    eventually("all listen", async || server.listeners(&database).await == 5).await;
    replicas
}

fn login(sessions: &Sessions<()>) -> IssuedTokens {
    sessions.issue_with_refresh_token(&Login::new("alice", ())).expect("a key signs")
}

fn texts(tokens: &IssuedTokens) -> [String; 2] {
    [&tokens.access_token, &tokens.refresh_token].map(|token| token.as_str().to_owned())
}

async fn refresh(sessions: &Sessions<()>, tokens: &IssuedTokens) -> IssuedTokens {
    sessions.refresh(tokens.refresh_token.as_str()).await.expect("a successor")
}

async fn of_fifty_refreshes_at_once_all_get_one_successor<B: Backend>(server: &B) {
    let replicas = replicas(server).await;
    let mut tokens = login(&replicas[0]);
    for round in 0..10 {
        let start = Arc::new(Barrier::new(50));
        let clients = (0..50).map(|client| {
            let (sessions, start) = (replicas[client % 5].clone(), start.clone());
            let token = tokens.refresh_token.as_str().to_owned();
            tokio::spawn(async move {
                start.wait().await;
                sessions.refresh(&token).await.expect("a successor")
            })
        });
        let mut answers = Vec::new();
        for client in clients.collect::<Vec<_>>() {
            answers.push(client.await.expect("ends"));
        }
        let first = answers.pop().expect("fifty");
        let is_same = |answer: &IssuedTokens| texts(answer) == texts(&first);
        assert!(answers.iter().all(is_same), "round {round}");
        for sessions in &replicas {
            assert!(!is_refused(sessions, first.access_token.as_str()));
        }
        tokens = first;
    }
}

async fn a_copy_ends_its_session_everywhere_and_no_restart_hides_it<B: Backend>(_: &B) {
    let mut server = B::start().await;
    let replicas = replicas(&server).await;
    let [one, two, ..] = &replicas[..] else { panic!("{}", replicas.len()) };
    let stolen = login(one);
    let next = refresh(two, &stolen).await;
    server.kill();
    let refused = one.refresh(next.refresh_token.as_str()).await;
    let error = refused.expect_err("could not be recorded");
    assert_eq!(error.kind(), OperationErrorKind::Store, "{error}");
    assert_hidden::<B>(&error);
    server.restart().await;
    // Nothing was redeemed falsely, and what was is remembered.
    assert_eq!(texts(&refresh(two, &stolen).await), texts(&next));
    let last = refresh(one, &next).await;
    let reused = two.refresh(stolen.refresh_token.as_str()).await;
    let kind = |error: &OperationError| error.rejection().map(Rejection::kind);
    assert_eq!(reused.as_ref().err().and_then(kind), Some(RejectionKind::Reused));
    let began = Instant::now();
    let access = last.access_token.as_str();
    eventually("all refuse it", async || {
        replicas.iter().all(|sessions| is_refused(sessions, access))
    })
    .await;
    // Those that listen were connected anew meanwhile.
    assert!(began.elapsed() < 4 * PROMPT, "{:?}", began.elapsed());
    for sessions in &replicas {
        let refused = sessions.refresh(last.refresh_token.as_str()).await;
        assert_eq!(refused.as_ref().err().and_then(kind), Some(RejectionKind::Revoked));
    }
}
