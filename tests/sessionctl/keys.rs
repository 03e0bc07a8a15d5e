//! `keys` and `ring create` at a directory, as an operator and as scripts run them. `tests/stores` runs them
//! beside live replicas on every store.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tower_jwt_session::store::FileStore;
use tower_jwt_session::{Algorithm, KeyRing, KeyRingStatus};

use crate::run::{files, sessionctl};

/// A directory with a ring of the service's, of which no replica runs any more.
fn ring() -> (TempDir, String, KeyRingStatus) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys");
    let store = FileStore::open(&path).expect("it opens");
    let builder = KeyRing::builder("app").store(store).algorithm(Algorithm::ES256);
    let opening = builder.dangerous_unsealed().found_now().open();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let status = runtime.block_on(opening).expect("it opens").status();
    let address = format!("file:{}", path.display());
    (directory, address, status)
}

fn keys(store: &str, arguments: &[&str]) -> crate::run::Run {
    sessionctl(&[&["keys"], arguments, &["--store", store, "--ring", "app"]].concat(), "")
}

#[test]
fn keys_status_shows_the_ring_and_writes_nothing() {
    let (directory, store, status) = ring();
    let before = files(directory.path());
    let run = keys(&store, &["status", "--json"]);
    assert_eq!((run.status, &*run.err), (0, ""));
    let json = run.json();
    assert_eq!(json["signing_key_id"].as_str(), status.signing_key_id.as_deref());
    assert_eq!(json["keys"][1]["algorithm"], "ES256");
    let words = keys(&store, &["status"]).out;
    for key in &status.keys {
        assert!(words.contains(&key.key_id), "{words}");
    }
    let since = &status.keys[0].times.signs_from.to_string()[..19];
    assert!(words.contains(&format!(", since {since}")), "{words}");
    assert_eq!(files(directory.path()), before);
    // A revoked one is kept: its sealing key is needed so long.
    keys(&store, &["replace-all", "--yes", "--no-wait"]);
    let kept = &status.keys[0].times.verifies_until.to_string()[..19];
    let words = keys(&store, &["status"]).out;
    assert!(words.contains(&format!("in the store until {kept}")), "{words}");
}

#[test]
fn keys_change_says_what_will_happen_and_does_nothing_unconfirmed() {
    let (directory, store, status) = ring();
    let [signer, next] = [0, 1].map(|place| &*status.keys[place].key_id);
    let before = files(directory.path());
    for (arguments, plan) in [
        (&["rotate"][..], format!("will retire {signer}: no new token is signed with it")),
        (&["revoke", signer], format!("will revoke {signer}: its tokens are refused")),
        (&["replace-all"], format!("will revoke every key, {next}, {signer}: all tokens")),
    ] {
        let run = keys(&store, arguments);
        assert_eq!((run.status, &*run.out), (2, ""), "{run:?}");
        assert!(run.err.contains(&plan) && run.err.contains("give `--yes`"), "{}", run.err);
        assert_eq!(files(directory.path()), before);
    }
}

#[test]
fn keys_rotate_may_be_repeated() {
    let (_directory, store, status) = ring();
    let arguments = ["rotate", "--yes", "--no-wait", "--json"];
    let first = keys(&store, &arguments).json();
    assert_eq!(first["key_ids"][0].as_str(), status.signing_key_id.as_deref());
    assert_eq!(first["signer"]["key_id"], status.keys[1].key_id);
    let again = keys(&store, &arguments).json();
    assert_eq!(
        (again["key_ids"].as_array().map(Vec::len), &again["signer"]),
        (Some(0), &first["signer"])
    );
    // The time at which it happens, which is before the record's own.
    let words = keys(&store, &["status"]).out;
    let [from, id] = ["from", "key_id"].map(|name| first["signer"][name].as_str().expect("text"));
    for text in ["signs until", "signs from", &format!("signs next: {id} from")] {
        assert!(words.contains(&format!("{text} {}", &from[..19])), "{text} {from}: {words}");
    }
}

#[test]
fn keys_revoke_says_when_it_is_refused_apart_from_when_a_new_key_signs() {
    let (_directory, store, status) = ring();
    let plan = keys(&store, &["revoke", &status.keys[0].key_id]).err;
    assert!(plan.contains("refused usually within a second, at the latest within the"), "{plan}");
    assert!(plan.contains("a key that is made now may sign from 2"), "{plan}");
    assert!(plan.contains("are signed by a later key (`replace-all` ends them)"), "{plan}");
}

#[test]
fn reader_that_has_seen_enough_is_no_error() {
    let (_directory, store, _) = ring();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessionctl"));
    command.args(["keys", "status", "--store", &store, "--ring", "app"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn keys_of_a_wrong_ring_store_or_key_change_nothing_and_say_so() {
    let (directory, store, status) = ring();
    let before = files(directory.path());
    let missing = format!("{store}-missing");
    let cases: [(&[&str], &str, &str); 4] = [
        (&["revoke", "unknown", "--yes"], &store, &status.keys[1].key_id),
        (&["rotate", "--yes", "--ring", "other"], &store, "the directory holds app"),
        (&["replace-all", "--yes"], &missing, "No such file or directory"),
        (&["status"], "mysql://host", "expected file:DIR"),
    ];
    for (arguments, store, text) in cases {
        let mut line = [&["keys"], arguments, &["--store", store]].concat();
        if !arguments.contains(&"--ring") {
            line.extend(["--ring", "app"]);
        }
        let run = sessionctl(&line, "");
        assert!(run.status == 1 || store.starts_with("mysql"), "{run:?}");
        assert!(run.err.contains(text) && !run.err.contains("secret"), "{}", run.err);
        assert_eq!((run.out, files(directory.path())), (String::new(), before.clone()));
    }
    assert!(!Path::new(&missing).exists());
}

/// The parent in the place of the store: root would lock everybody out of it.
#[cfg(unix)]
#[test]
fn mode_of_a_directory_that_is_no_store_is_not_to_be_changed() {
    use std::fs::{Permissions, create_dir, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;
    let (directory, store, _) = ring();
    let mode =
        |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).expect("set");
    let [parent, other] = [directory.path().to_owned(), directory.path().join("other")];
    create_dir(&other).expect("made");
    for path in [&parent, &other] {
        mode(path, 0o755);
    }
    let run = keys(&format!("file:{}", parent.display()), &["status"]);
    assert!(run.status == 1 && run.err.contains("holds \"other\", which no store has"), "{run:?}");
    assert!(!run.err.contains("chmod"), "{run:?}");
    // A store whose rings have a wide mode, too, as a backup may give it.
    let keys_at = Path::new(store.strip_prefix("file:").expect("a directory")).to_owned();
    for path in [&keys_at, &keys_at.join("app")] {
        mode(path, 0o755);
    }
    let run = keys(&store, &["status"]);
    let fix = format!("`chmod 700 {}`", keys_at.display());
    assert!(run.status == 1 && run.err.contains(&fix), "{run:?}");
}

#[test]
fn password_in_an_argument_is_refused_and_not_repeated() {
    for line in [
        &["keys", "status", "--store", "redis://:secret@localhost:1"][..],
        &["keys", "status", "--store", "postgres://a:secret@localhost/b"],
        &["keys", "status", "redis://:secret@localhost:1"],
        &["keys", "status", "--sotre=redis://:secret@localhost:1"],
    ] {
        let run = sessionctl(&[line, &["--ring", "app"]].concat(), "");
        assert_eq!((run.status, &*run.out), (2, ""), "{run:?}");
        assert!(run.err.contains("SESSIONCTL_STORE") && !run.err.contains("secret"), "{}", run.err);
    }
}

/// Ctrl-C after the mark, while it waits for a live replica: the mark is written, and said to be.
#[cfg(unix)]
#[test]
fn keys_rotate_interrupted_says_what_was_written() {
    let (directory, store, status) = ring();
    let signer = status.signing_key_id.expect("a key signs");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessionctl"));
    command.args(["keys", "rotate", "--yes", "--store", &store, "--ring", "app"]);
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mark = directory.path().join(format!("keys/app/retire-{signer}.json"));
    let began = Instant::now();
    while !mark.exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "no mark is written");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("`kill` runs").success());
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains(&format!("written before: retirement of {signer}")), "{text}");
}

#[test]
fn ring_create_founds_an_empty_store_once_with_the_algorithm_given() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys");
    let store = format!("file:{}", path.display());
    let sealing = directory.path().join("sealing");
    let hex: String = (1..33).map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&sealing, hex).expect("it is written");
    let sealing_file = sealing.to_str().expect("UTF-8");
    let line = ["ring", "create", "--store", &store, "--ring", "app", "--algorithm", "ES384"];

    let unsealed = sessionctl(&[&line[..], &["--yes"]].concat(), "");
    assert_eq!(unsealed.status, 2, "{unsealed:?}");
    assert!(!path.exists());
    let line =
        [&line[..], &["--sealing-key-file", sealing_file, "--signing-period", "36h"]].concat();
    let asked = sessionctl(&line, "");
    assert_eq!((asked.status, path.exists()), (2, false), "{asked:?}");
    let line = [&line[..], &["--yes", "--json"]].concat();
    let made = sessionctl(&line, "").json();
    assert_eq!(made["keys"][0]["algorithm"], "ES384");

    let before = files(&path);
    let again = sessionctl(&line, "");
    assert!(again.status == 1 && again.err.contains("nothing was written"), "{again:?}");
    assert_eq!(files(&path), before);
    let arguments = ["status", "--json", "--sealing-key-file", sealing_file];
    let status = keys(&store, &arguments).json();
    assert_eq!(
        (&status["authenticated"], &status["signing_key_id"]),
        (&true.into(), &made["signing_key_id"])
    );
}

#[test]
fn store_check_names_what_makes_a_store_unfit() {
    let (directory, store, _status) = ring();
    let line = ["store", "check", "--json", "--store", &store, "--ring", "app"];
    let before = files(directory.path());
    let fit = sessionctl(&line, "");
    let json = fit.json();
    assert_eq!((fit.status, &json["problems"]), (0, &serde_json::json!([])), "{fit:?}");
    assert_eq!(json["keys"], serde_json::json!([["signing", 1], ["published", 1]]));
    assert!(json["writes"]["median_ms"].as_f64().is_some_and(|median| median > 0.0));
    let entries = |files: Vec<(std::path::PathBuf, Vec<u8>)>| {
        let mut files = files;
        files.retain(|(path, _)| path.extension().is_some_and(|extension| extension == "json"));
        files
    };
    assert_eq!(entries(files(directory.path())), entries(before));

    let newer = directory.path().join("keys/app/anything.json");
    std::fs::write(&newer, "{\"version\":3}").expect("it is written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&newer, private).expect("it is the test's file");
    }
    let unfit = sessionctl(&line, "");
    assert_eq!(unfit.status, 1, "{unfit:?}");
    assert!(unfit.json()["problems"][0].as_str().expect("text").contains("format 3"), "{unfit:?}");
}
