//! `token explain` with a store: what the ring and the revocations say, and that nothing is written.

use serde_json::json;
use tower_jwt_session::Clock as _;
use tower_jwt_session::store::FileStore;
use tower_jwt_session::{KeyRing, Login, Revocations, SealingKey, Sessions, SystemClock};

use crate::run::{files, sessionctl};

struct Service {
    directory: tempfile::TempDir,
    sessions: Sessions<()>,
}

impl Service {
    async fn open(sealing: Option<SealingKey>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = FileStore::open(directory.path().join("store")).expect("a store");
        let keys = KeyRing::builder("app").store(store.clone()).found_now();
        let keys = keys.seal_with(sealing).open().await.expect("a ring");
        let revocations = Revocations::builder("app").store(store).found_now();
        let revocations = revocations.open().await.expect("revocations");
        let sessions = Sessions::builder(keys, "https://app.example", "app")
            .revocations(revocations.clone())
            .build()
            .expect("sessions");
        // From here on the service has nothing to write by itself.
        revocations.refresh().await.expect("written");
        Self { directory, sessions }
    }

    fn store(&self) -> String {
        format!("file:{}", self.directory.path().join("store").display())
    }

    fn token(&self, subject: &str) -> String {
        self.sessions.issue(&Login::new(subject, ())).expect("issued").as_str().to_owned()
    }

    /// Explains a token in words and JSON, which agree; and writes nothing.
    fn explain(&self, token: &str, more: &[&str]) -> (String, serde_json::Value) {
        let store = self.store();
        let options = ["token", "explain", "--store", &store, "--ring", "app"];
        let names = ["--issuer", "https://app.example", "--audience", "app"];
        let arguments = [&options[..], &names, more].concat();
        let before = files(self.directory.path());
        let words = sessionctl(&arguments, token);
        assert_eq!((words.status, &*words.err), (0, ""));
        let json = sessionctl(&[&arguments[..], &["--json"]].concat(), token).json();
        assert!(files(self.directory.path()) == before, "the store was written");
        (words.out, json)
    }
}

fn failed(json: &serde_json::Value) -> (&str, &str) {
    let checks = json["checks"].as_array().expect("checks");
    let failed = checks.iter().find(|check| check["outcome"] == "failed").expect("refused");
    (failed["name"].as_str().expect("a name"), failed["found"].as_str().expect("found"))
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_with_a_store_knows_keys_and_revocations_and_writes_nothing() {
    let service = Service::open(None).await;
    let [good, by_id, by_subject, by_key] =
        ["alice", "bob", "carol", "dora"].map(|it| service.token(it));
    let (words, json) = service.explain(&good, &[]);
    assert!(words.starts_with("ACCEPTED") && words.contains("ring app in file:"), "{words}");
    assert_eq!((&json["signature"], &json["outcome"]), (&json!("verified"), &json!("valid")));

    let id = service.sessions.validate(&by_id).expect("valid").session_id().to_owned();
    service.sessions.revoke_session(&id).await.expect("recorded");
    service.sessions.revoke_subject("carol").await.expect("recorded");
    let (words, json) = service.explain(&by_id, &[]);
    assert!(words.starts_with("REFUSED: revoked") && words.contains("log in again"), "{words}");
    assert_eq!(failed(&json), ("revocation", "the session of this ID was revoked"));
    let (_, json) = service.explain(&by_subject, &[]);
    assert!(failed(&json).1.starts_with("logins of the subject up to"), "{json}");
    // It is asked at any time whether it is revoked now.
    for at in ["+30m", "+1s"] {
        assert_eq!(service.explain(&by_id, &["--at", at]).1["outcome"], "revoked", "{at}");
    }
    // Yesterday it was a token of the future; tomorrow it is expired.
    assert_eq!(service.explain(&good, &["--at", "-1d"]).1["outcome"], "issued_in_future");
    assert_eq!(service.explain(&good, &["--at", "+1d"]).1["outcome"], "expired");

    service.sessions.revoke_logins_before(SystemClock.now()).await.expect("recorded");
    let (_, json) = service.explain(&good, &[]);
    assert!(failed(&json).1.starts_with("all logins up to"), "{json}");

    let keys = service.sessions.keys();
    keys.revoke(&keys.status().signing_key_id.expect("signs")).await.expect("revoked");
    let (words, json) = service.explain(&by_key, &[]);
    assert_eq!((failed(&json).0, &json["outcome"]), ("key times", &json!("unknown_key")));
    assert!(words.contains("which is revoked") && words.contains("log in again"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_of_a_sealed_or_wrong_ring_says_what_is_missing() {
    let secret: [u8; 32] = std::array::from_fn(|place| place as u8 * 7 + 3);
    let service = Service::open(Some(SealingKey::new(secret).expect("a key"))).await;
    let (store, token) = (service.store(), service.token("alice"));
    let before = files(service.directory.path());
    let explain = |more: &[&str]| {
        let options = ["token", "explain", "--store", &store];
        sessionctl(&[&options[..], more].concat(), &token)
    };
    let run = explain(&["--ring", "app"]);
    assert!(run.status == 1 && run.err.contains("sealing key"), "{run:?}");
    let run = explain(&["--ring", "other"]);
    assert!(run.status == 1 && run.err.contains("right name"), "{run:?}");
    let file = service.directory.path().join("sealing.key");
    std::fs::write(&file, secret).expect("written");
    let sealed = ["--ring", "app", "--sealing-key-file", file.to_str().expect("UTF-8")];
    let run = explain(&sealed);
    assert!(run.out.starts_with("ACCEPTED"), "{run:?}");
    let run = explain(&[&sealed[..], &["--revocations", "other"]].concat());
    assert!(run.status == 1 && run.err.contains("no revocations \"other\""), "{run:?}");
    std::fs::remove_file(file).expect("removed");
    assert!(files(service.directory.path()) == before, "the store was written");
}
