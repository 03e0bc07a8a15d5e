//! `sessionctl sessions` and `token explain` beside live replicas.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tower_jwt_session::store::RevocationStore;
use tower_jwt_session::{KeyRing, Login, Revocations, Sessions};

use crate::operator::built;
use crate::scenarios::eventually;
use crate::{Backend, Test, block_on};

pub(crate) fn all<B: Backend>() -> Vec<Test<B>> {
    vec![("operator_revokes_sessions_at_every_replica", |server| {
        block_on(async {
            let database = server.database().await;
            let open = async || server.open(&database).await;
            revoked_sessions(open, server.url(&database), B::PASSWORD).await;
        });
    })]
}

const ISSUER: &str = "https://app.example";

/// A session, a subject and everyone are revoked with the tool: all replicas refuse, `token explain` says why,
/// and another name in the store changes nothing. `store` is the store's address, which may hold `password`.
pub async fn revoked_sessions<S: RevocationStore + Clone>(
    open: impl AsyncFn() -> S,
    store: String,
    password: &'static str,
) {
    let mut replicas: Vec<Sessions<()>> = Vec::new();
    for _ in 0..3 {
        let store = open().await;
        let keys = KeyRing::builder("ended").store(store.clone()).dangerous_unsealed();
        let keys = keys.found_now().open().await.expect("opens");
        let revocations = Revocations::builder("ended").store(store).found_now().open().await;
        let sessions = Sessions::builder(keys, ISSUER, "app");
        let sessions = sessions.revocations(revocations.expect("opens"));
        replicas.push(sessions.build().expect("good settings"));
    }
    let program = tokio::task::spawn_blocking(built).await.expect("it builds");
    let run = async |arguments: &[&str], input: &str| -> Output {
        let mut command = Command::new(&program);
        command.args(arguments).args(["--json", "--ring", "ended"]);
        command.env("SESSIONCTL_STORE", &store).stdin(Stdio::piped());
        let input = input.to_owned();
        let running = move || {
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            // It may end without reading.
            let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
            child.wait_with_output()
        };
        let output =
            tokio::task::spawn_blocking(running).await.expect("no panic").expect("it runs");
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(text);
            assert!(password.is_empty() || !text.contains(password), "{text}");
        }
        output
    };
    let done = async |arguments: &[&str], input: &str| -> Value {
        let output = run(arguments, input).await;
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {shown}");
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    };
    let explain = async |token: &str| -> String {
        let names = ["token", "explain", "--issuer", ISSUER, "--audience", "app"];
        let report = done(&names, token).await;
        assert_eq!(report["signature"], "verified", "{report}");
        report["outcome"].as_str().expect("a text").to_owned()
    };
    let login = |subject: &str| {
        let token = replicas[0].issue(&Login::new(subject, ())).expect("a key signs");
        token.as_str().to_owned()
    };
    let accepted =
        |token: &str| replicas.iter().filter(|replica| replica.validate(token).is_ok()).count();

    let [by_id, by_subject, other] = ["alice", "bob", "carol"].map(login);
    eventually("every replica has the keys", async || accepted(&other) == 3).await;
    assert_eq!(explain(&by_id).await, "valid");
    let id = replicas[0].validate(&by_id).expect("valid").session_id().to_owned();
    let report = done(&["sessions", "revoke", &id], "").await;
    assert_eq!((&report["read_back"], &report["records"]), (&true.into(), &1.into()));
    eventually("the session ends", async || accepted(&by_id) == 0).await;
    assert_eq!((explain(&by_id).await.as_str(), accepted(&by_subject)), ("revoked", 3));

    let wrong = ["sessions", "revoke-before", "now", "--yes", "--revocations", "other"];
    let refused = run(&wrong, "").await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(accepted(&other), 3);

    done(&["sessions", "revoke-subject", "bob", "--issuer", ISSUER, "--yes"], "").await;
    eventually("the subject's sessions end", async || accepted(&by_subject) == 0).await;
    assert_eq!((explain(&by_subject).await.as_str(), accepted(&other)), ("revoked", 3));
    // The login reads the cutoff from the store.
    let later = replicas[1].login(&Login::new("bob", ())).await.expect("a key signs");
    eventually("a later login is valid", async || accepted(later.as_str()) == 3).await;

    done(&["sessions", "revoke-before", "now", "--yes"], "").await;
    eventually("all sessions end", async || accepted(&other) == 0).await;
    assert_eq!(explain(&other).await, "revoked");
    for replica in &replicas {
        let status = replica.revocations().expect("set").status();
        assert!(status.failure.is_none() && status.write_failure.is_none(), "{status:?}");
    }
}
