//! Store, ring and sealing keys from the environment, as containers with mounted secrets have them.

use std::fs;
use std::path::{Path, PathBuf};

use tower_jwt_session::Sessions;
use tower_jwt_session::audit::Audit;
use tower_jwt_session::testing::{ManualClock, fixed_ring};

use crate::run::{Run, sessionctl_with};

/// A directory with the files of a container's secrets.
fn secrets() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_owned();
    let store = format!("file:{}\n", path.join("store").display());
    fs::write(path.join("store-url"), store).expect("written");
    for (name, byte) in [("old", 0x5a_u8), ("new", 0xc3)] {
        let digits = (0..32_u8).map(|index| format!("{:02x}", index.wrapping_mul(89) ^ byte));
        fs::write(path.join(name), digits.collect::<String>()).expect("written");
    }
    (directory, path)
}

fn run(path: &Path, keys: &[&str], arguments: &[&str]) -> Run {
    let file = |name: &str| path.join(name).display().to_string();
    let keys: Vec<_> = keys.iter().map(|name| file(name)).collect();
    let variables = [
        ("RING", "app"),
        ("STORE_FILE", &*file("store-url")),
        ("SEALING_KEY_FILES", &*keys.join(":")),
    ];
    sessionctl_with(&variables, arguments, "")
}

#[test]
fn files_that_variables_name_are_read_and_the_first_key_seals() {
    let (_directory, path) = secrets();
    let created = run(&path, &["old", "new"], &["ring", "create", "--yes"]);
    assert_eq!(created.status, 0, "{created:?}");
    let seals = |keys: &[&str]| {
        let status = run(&path, keys, &["keys", "status"]);
        assert_eq!(status.status, 0, "{status:?}");
        [" sealed ", " sealed? "].map(|seal| status.out.matches(seal).count())
    };
    assert_eq!(seals(&["old"]), [2, 0]);
    assert_eq!(seals(&["new"]), [0, 2]);
    assert_eq!(seals(&["new", "old"]), [2, 0]);
}

#[test]
fn sealing_key_in_another_form_says_how_to_give_it() {
    let (_directory, path) = secrets();
    let file = |name: &str| path.join(name).display().to_string();
    let keys = ["old", "new"].map(|name| fs::read_to_string(file(name)).expect("a key"));
    fs::write(path.join("both"), keys.join("\n")).expect("written");
    let both = run(&path, &["both"], &["keys", "status"]);
    assert!(both.status == 2 && both.err.contains("found 2 words or lines"), "{both:?}");
    assert!(keys.iter().all(|key| !both.err.contains(key)), "{both:?}");
    let variables = [("RING", "app"), ("STORE", "file:/nowhere"), ("SEALING_KEY", &*file("old"))];
    let named = sessionctl_with(&variables, &["ring", "create", "--yes"], "");
    let text =
        "found a path, expected the key itself; put the path into SESSIONCTL_SEALING_KEY_FILES";
    assert!(named.status == 2 && named.err.contains(text), "{named:?}");
}

/// The likely mistakes with a directory.
#[test]
fn path_in_the_place_of_a_url_says_what_to_write() {
    let (_directory, path) = secrets();
    let directory = path.display().to_string();
    let url = format!("file:{directory}");
    for (variable, value) in [("STORE_FILE", &directory), ("STORE_FILE", &url)] {
        let run = sessionctl_with(&[("RING", "app"), (variable, value)], &["keys", "status"], "");
        let text = "expected a file that holds the store's URL";
        assert!(run.status == 2 && run.err.contains(text), "{run:?}");
        assert!(run.err.contains("SESSIONCTL_STORE=file:DIR"), "{run:?}");
    }
    let variables = [("RING", "app"), ("STORE", &*directory)];
    let run = sessionctl_with(&variables, &["keys", "status"], "");
    assert!(run.status == 2 && run.err.contains("found a path"), "{run:?}");
    assert!(run.err.contains("write `file:` before the directory"), "{run:?}");
}

/// The same as the events of a service with that key have.
#[test]
fn audit_subject_prints_the_pseudonym_of_the_events() {
    let (_directory, path) = secrets();
    let key = fs::read_to_string(path.join("old")).expect("a key");
    fs::write(path.join("audit"), format!("{key}\n")).expect("written");
    let service = |issuer: &str| {
        let audit = Audit::builder().subject_key(&key).build().expect("a key");
        let sessions = Sessions::<()>::builder(fixed_ring(ManualClock::default()), issuer, "app");
        let sessions = sessions.audit(audit).build().expect("sessions");
        sessions.audit_subject("alice").expect("a pseudonym")
    };
    let [issuer, old] = ["https://app.example", "https://old.example"];
    let file = path.join("audit").display().to_string();
    let variables = [("AUDIT_KEY_FILE", &*file), ("ISSUER", &format!("{issuer} {old}"))];
    let run = sessionctl_with(&variables, &["audit", "subject", "alice"], "");
    let [one, two] = [issuer, old].map(service);
    assert_eq!((run.status, run.out), (0, format!("{one}  of {issuer}\n{two}  of {old}\n")));
    let options = ["--audit-key-file", &file, "--issuer", old, "--json"];
    let run = sessionctl_with(&[], &[&["audit", "subject", "alice"], &options[..]].concat(), "");
    assert_eq!(run.json()["subjects"][0]["subject"], two);
    let run = sessionctl_with(
        &[("AUDIT_KEY", &key), ("ISSUER", old)],
        &["audit", "subject", "alice"],
        "",
    );
    assert_eq!(run.out, format!("{two}  of {old}\n"));
    for variables in [&variables[..1], &variables[1..]] {
        let run = sessionctl_with(variables, &["audit", "subject", "alice"], "");
        assert!(run.status == 2 && run.err.contains(" is missing: expected"), "{run:?}");
    }
}

#[test]
fn two_variables_for_one_setting_are_refused() {
    let (_directory, path) = secrets();
    let file = |name: &str| path.join(name).display().to_string();
    let key = fs::read_to_string(path.join("old")).expect("a key");
    let both = [
        [("STORE", "file:/nowhere"), ("STORE_FILE", &*file("store-url"))],
        [("SEALING_KEY", &*key), ("SEALING_KEY_FILES", &*file("old"))],
        [("AUDIT_KEY", &*key), ("AUDIT_KEY_FILE", &*file("old"))],
    ];
    for variables in both {
        let command: &[&str] = match variables[0].0 {
            "AUDIT_KEY" => &["audit", "subject", "alice", "--issuer", "https://app.example"],
            _ => &["ring", "create", "--ring", "app"],
        };
        let run = sessionctl_with(&variables, command, "");
        assert_eq!(run.status, 2, "{run:?}");
        let [one, two] = variables.map(|(name, _)| format!("SESSIONCTL_{name}"));
        let text = format!("found {one} and {two}: expected one of them; unset the other");
        assert!(run.err.contains(&text), "{run:?}");
        assert!(!run.err.contains(&key), "{run:?}");
    }
    assert!(!path.join("store").exists());
}
