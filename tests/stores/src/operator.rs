//! `sessionctl` beside live replicas: a leaked key handled under load.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;
use tower_jwt_session::store::Store;
use tower_jwt_session::{Algorithm, KeyRing, Login, RotationPolicy, SealingKey, Sessions};

use crate::scenarios::eventually;
use crate::{Backend, Test, block_on};

pub(crate) fn all<B: Backend>() -> Vec<Test<B>> {
    vec![("operator_handles_leaked_keys_under_load", |server| {
        block_on(async {
            let database = server.database().await;
            let open = async || server.open(&database).await;
            leaked_keys(open, server.url(&database), B::PASSWORD).await;
        });
    })]
}

/// Replicas, and how to run the tool at their store.
struct Service {
    replicas: Vec<Sessions<()>>,
    program: PathBuf,
    store: String,
    password: &'static str,
    sealing_key: tempfile::NamedTempFile,
}

/// The load on all replicas: what was refused, although its key was not revoked.
#[derive(Default)]
struct Load {
    ends: AtomicBool,
    requests: AtomicUsize,
    wrong: AtomicUsize,
    paused: AtomicUsize,
}

/// A signing key leaks, and later the store: the operator rotates, revokes and replaces with the tool,
/// while users come and go. Only sessions of the revoked keys end. `store` is the store's address,
/// which may hold `password`.
pub async fn leaked_keys<S: Store>(
    open: impl AsyncFn() -> S,
    store: String,
    password: &'static str,
) {
    let service = Service::start(open, store, password).await;
    let load = Arc::new(Load::default());
    let status = service.run(&["keys", "status"]).await;
    let [leaked, second] = [0, 1].map(|place| text(&status["keys"][place], "key_id"));
    assert_eq!(Some(&leaked), service.replicas[0].keys().status().signing_key_id.as_ref());
    assert_eq!(
        (&status["authenticated"], &status["keys"][0]["algorithm"]),
        (&true.into(), &"ES256".into())
    );

    // The second key is known to all replicas, so that issuing need not pause.
    sleep(policy().replica_lead()).await;
    let old = service.login(0);
    assert_eq!(key_of(&old), leaked);
    let running = load.run(&service.replicas, leaked.clone());
    let began = Instant::now();

    let rotated = service.run(&["keys", "rotate", "--yes"]).await;
    assert_eq!(rotated["key_ids"], Value::from(vec![leaked.clone()]));
    assert_eq!(rotated["signer"]["key_id"], Value::from(second.clone()));
    assert_eq!(
        (&rotated["no_replica_reacted"], &rotated["new_key"]["generation"]),
        (&false.into(), &2.into())
    );
    eventually("the second key signs", async || {
        service.replicas.iter().all(|replica| signs(replica) == Some(second.clone()))
    })
    .await;
    // Nobody was logged out.
    let session = service.login(1);
    assert!(service.accepted(&old) == 3 && service.accepted(&session) == 3);

    let unknown = service.try_run(&["keys", "revoke", "unknown", "--yes"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    let revoked = service.run(&["keys", "revoke", &leaked, "--yes"]).await;
    assert_eq!(
        (&revoked["key_ids"][0], &revoked["issuing_paused"]),
        (&Value::from(leaked.clone()), &Value::Null)
    );
    eventually("the leaked key's sessions end", async || service.accepted(&old) == 0).await;
    assert_eq!(service.accepted(&session), 3);
    load.end(running).await;
    let (requests, wrong) =
        (load.requests.load(Ordering::Relaxed), load.wrong.load(Ordering::Relaxed));
    assert!(requests > 500 && wrong == 0, "{wrong} of {requests} in {:?}", began.elapsed());
    assert_eq!(load.paused.load(Ordering::Relaxed), 0, "logins that failed");

    let replaced = service.run(&["keys", "replace-all", "--yes"]).await;
    assert_eq!(replaced["no_replica_reacted"], Value::from(false));
    eventually("all sessions end", async || service.accepted(&session) == 0).await;
    let issues = async || service.replicas.iter().all(|replica| signs(replica).is_some());
    eventually("the new key signs", issues).await;
    assert_eq!(service.accepted(&service.login(2)), 3);
    let after = service.run(&["keys", "status"]).await;
    let algorithms: Vec<_> =
        after["keys"].as_array().expect("keys").iter().map(|key| &key["algorithm"]).collect();
    assert!(algorithms.iter().all(|algorithm| **algorithm == "ES256"), "{algorithms:?}");
}

/// Short leads: 2.3 seconds, and one for caches.
fn policy() -> RotationPolicy {
    RotationPolicy::new()
        .signing_period(Duration::from_secs(600))
        .max_token_lifetime(Duration::from_secs(600))
        .clock_skew(Duration::from_millis(100))
        .refresh_interval(Duration::from_secs(1))
        .refresh_timeout(Duration::from_millis(500))
        .insert_timeout(Duration::from_millis(500))
        .jwks_max_age(Duration::from_secs(1))
}

impl Service {
    async fn start<S: Store>(
        open: impl AsyncFn() -> S,
        store: String,
        password: &'static str,
    ) -> Self {
        let sealing_key = tempfile::NamedTempFile::new().expect("a file");
        let secret: Vec<u8> = (1..33).collect();
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(sealing_key.path(), hex).expect("it is written");
        let mut replicas = Vec::new();
        for _ in 0..3 {
            let key = SealingKey::new(&secret).expect("32 different bytes");
            let builder = KeyRing::builder("operated").store(open().await).rotation(policy());
            let builder = builder.algorithm(Algorithm::ES256).seal_with([key]).found_now();
            let keys = builder.open().await.expect("opens");
            let sessions = Sessions::builder(keys, "https://app.example", "app");
            let sessions = sessions.idle_lifetime(Duration::from_secs(300));
            replicas.push(sessions.build().expect("good settings"));
        }
        let program = tokio::task::spawn_blocking(built).await.expect("it builds");
        Self { replicas, program, store, password, sealing_key }
    }

    /// Runs the tool, which has to succeed, and returns its JSON.
    async fn run(&self, arguments: &[&str]) -> Value {
        let output = self.try_run(arguments).await;
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {shown}");
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    }

    async fn try_run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--json", "--ring", "operated", "--sealing-key-file"]);
        command.arg(self.sealing_key.path()).env("SESSIONCTL_STORE", &self.store);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("no panic").expect("it starts");
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(text);
            assert!(self.password.is_empty() || !text.contains(self.password), "{text}");
        }
        output
    }

    fn login(&self, replica: usize) -> String {
        login(&self.replicas[replica]).expect("a key signs")
    }

    /// How many replicas accept it.
    fn accepted(&self, token: &str) -> usize {
        self.replicas.iter().filter(|replica| replica.validate(token).is_ok()).count()
    }
}

impl Load {
    /// Logs in at each replica in turn, and shows the tokens to all, until it is ended.
    fn run(
        self: &Arc<Self>,
        replicas: &[Sessions<()>],
        leaked: String,
    ) -> tokio::task::JoinHandle<()> {
        let (load, replicas) = (Arc::clone(self), replicas.to_vec());
        tokio::spawn(async move {
            let mut sessions: Vec<String> = Vec::new();
            for turn in 0.. {
                if load.ends.load(Ordering::Relaxed) {
                    break;
                }
                match login(&replicas[turn % replicas.len()]) {
                    Some(token) => sessions.push(token),
                    None => drop(load.paused.fetch_add(1, Ordering::Relaxed)),
                }
                // Those of the leaked key end; all others stay.
                for token in sessions.iter().rev().take(20).filter(|token| key_of(token) != leaked)
                {
                    for replica in &replicas {
                        load.requests.fetch_add(1, Ordering::Relaxed);
                        let is_wrong = replica.validate(token).is_err();
                        load.wrong.fetch_add(is_wrong.into(), Ordering::Relaxed);
                    }
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
    }

    async fn end(&self, running: tokio::task::JoinHandle<()>) {
        sleep(Duration::from_millis(300)).await;
        self.ends.store(true, Ordering::Relaxed);
        running.await.expect("the load does not panic");
    }
}

fn login(replica: &Sessions<()>) -> Option<String> {
    let issued = replica.issue(&Login::new("alice", ()));
    issued.ok().map(|token| token.as_str().to_owned())
}

fn signs(replica: &Sessions<()>) -> Option<String> {
    replica.keys().status().signing_key_id
}

/// The `kid` of a token's header.
fn key_of(token: &str) -> String {
    let header = token.split('.').next().expect("a header");
    let json = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, header);
    let json: Value = serde_json::from_slice(&json.expect("base64url")).expect("JSON");
    text(&json, "kid")
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("{member} in {value}")).to_owned()
}

/// The tool, built in one command with the example, as the other steps of CI build that.
pub(crate) fn built() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let arguments =
            ["build", "--quiet", "--all-features", "--bin", "sessionctl", "--example", "cluster"];
        let built = Command::new(env!("CARGO")).args(arguments).current_dir(root).status();
        assert!(built.expect("cargo starts").success(), "sessionctl does not build");
        let this = std::env::current_exe().expect("a path");
        let profile = this.parent().and_then(std::path::Path::parent);
        profile.expect("target/debug/deps").join("sessionctl")
    };
    BUILT.get_or_init(build).clone()
}
