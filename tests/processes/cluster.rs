//! The example cluster: its proof holds with real processes, fails when it should, and leaves
//! nothing behind.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// The cluster, as README runs it but without optimization, with a directory for its temporary
/// files that the test can look into.
fn cluster(arguments: &[&str], temporary: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["run", "--quiet", "--example", "cluster", "--"])
        .args(arguments)
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null());
    command
}

fn is_empty(directory: &tempfile::TempDir) -> bool {
    std::fs::read_dir(directory.path()).unwrap().next().is_none()
}

#[test]
fn the_proof_holds() {
    let temporary = tempfile::tempdir().unwrap();
    let output = cluster(&[], &temporary).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("The proof holds."), "{text}");
    for step in ["a key is revoked", "a copied cookie", "50 refreshes, a copy"] {
        assert!(text.contains(&format!("✓ {step}")), "{text}");
    }
    assert!(is_empty(&temporary), "a directory of keys was left behind");
}

#[test]
fn the_proof_holds_without_a_store() {
    let temporary = tempfile::tempdir().unwrap();
    // With the arm whose processes talk to each other: it may lose sessions, and need not.
    let arguments = ["--store", "derived", "--arms", "stateless,replicated"];
    let output = cluster(&arguments, &temporary).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("✓ a new root secret"), "{text}");
    assert_eq!(text.matches("✓ the killed one returns").count(), 2, "{text}");
    assert!(text.contains("of the others did: replicated "), "{text}");
    assert!(is_empty(&temporary), "something was left behind");
}

/// As the cluster is started here it has the default features. No error repeats a password.
#[test]
fn a_store_that_cannot_be_used_is_an_error_with_a_fix() {
    let command = "cargo run --release --example cluster --features";
    for (store, problem) in [
        ("redis", format!("{command} redis -- --store redis\n")),
        ("redis://:secret@host/0", format!("{command} redis -- --store redis://host/0\n")),
        ("postgres", format!("{command} postgres -- --store postgres\n")),
        ("postgresql://a:secret@host", format!("{command} postgres -- --store postgres://host\n")),
        ("mysql://a:secret@host", "--store: expected `file`, `derived`, ".to_owned()),
    ] {
        let temporary = tempfile::tempdir().unwrap();
        let output = cluster(&["--store", store], &temporary).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&problem), "{text}");
        assert!(output.stdout.is_empty() && !text.contains("secret@"), "{text}");
        assert!(is_empty(&temporary), "something was left behind");
    }
}

/// The shortest run; what its figures are is no matter of a test.
#[test]
fn every_arm_answers_under_load() {
    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["load", "--seconds", "1", "--replicas", "2"];
    let output = cluster(&arguments, &temporary).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    // Asked directly and through the balancer, except the one whose sessions do not cross.
    for (arm, rows) in [("bare", 2), ("stateless", 2), ("cold", 2), ("memory", 1)] {
        let name = format!(" {arm:<9} │");
        let figures: Vec<_> = text.lines().filter(|it| it.contains(&name)).map(cells).collect();
        assert_eq!(figures.len(), rows, "{arm}: {text}");
        for figures in figures {
            let [requests, failed, _, _, _, share] = figures[..] else { panic!("{arm}: {text}") };
            assert!(requests > 0.0 && failed == 0.0 && share > 0.0, "{arm}: {text}");
        }
    }
    assert!(is_empty(&temporary), "something was left behind");
}

/// The numbers in a row of a table.
fn cells(row: &str) -> Vec<f64> {
    let numbers = row.trim_end_matches(" │").rsplit_once('│').map_or("", |(_, numbers)| numbers);
    numbers.split_whitespace().map(|number| number.replace(',', "").parse().unwrap()).collect()
}

#[test]
fn a_mistake_is_answered_with_the_usage() {
    for (arguments, problem) in [
        (["load", "--seconds", "0"], "cluster: --seconds 0: expected 1 to 600\n"),
        (["load", "--seconds", "ten"], "cluster: --seconds ten: invalid digit"),
        (["load", "--arm", "redis"], "cluster: --arm redis: expected one of stateless, memory, "),
        (["serve", "--arm", "bare"], "cluster: `--arm bare` is for `load`\n"),
        (["serve", "--arm", "database"], "the arm `database`; it takes the feature `redis`:\n"),
    ] {
        let temporary = tempfile::tempdir().unwrap();
        let output = cluster(&arguments, &temporary).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let usage = format!("-- {} [options]", arguments[0]);
        assert!(text.contains(problem) && text.contains(&usage), "{text}");
        assert!(output.stdout.is_empty(), "nothing was started");
    }
}

#[test]
fn the_proof_fails_if_the_replicas_do_not_share_their_keys() {
    let temporary = tempfile::tempdir().unwrap();
    let output =
        cluster(&["--keys", "private", "--arms", "stateless"], &temporary).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("The proof does not hold:"), "{text}");
    assert!(text.contains("stateless, every replica, in turn: "), "{text}");
    assert!(text.contains(" unexpected 401"), "{text}");
}

/// The parent dies without a chance to do anything; its children notice.
#[cfg(target_os = "linux")]
#[test]
fn no_process_outlives_a_parent_that_is_killed() {
    let temporary = tempfile::tempdir().unwrap();
    let mut parent = Serving::start(&temporary);
    let children = parent.children();
    assert_eq!(children.len(), 4, "three replicas and the balancer");
    parent.kill();
    let gone = |child: &u32| !std::path::Path::new(&format!("/proc/{child}")).exists();
    // They notice at once; a machine that is busy has a minute for it.
    for _ in 0..1200 {
        if children.iter().all(gone) && is_empty(&temporary) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("children or their directory are left: {children:?}");
}

/// A cluster that serves, and the process that started it.
#[cfg(target_os = "linux")]
struct Serving {
    cargo: Child,
    parent: u32,
}

#[cfg(target_os = "linux")]
impl Serving {
    fn start(temporary: &tempfile::TempDir) -> Self {
        let mut command = cluster(&["serve", "--port", "0"], temporary);
        let mut cargo = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(cargo.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("Ctrl-C ends everything") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before it served");
        }
        // On Unix cargo runs an example as a child, or becomes it.
        let id = cargo.id();
        let parent = match children_of(id).as_slice() {
            [only] => *only,
            _ => id,
        };
        // Whatever it prints later must find a reader.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Self { cargo, parent }
    }

    fn children(&self) -> Vec<u32> {
        children_of(self.parent)
    }

    fn kill(&mut self) {
        let killed = Command::new("kill").args(["-9", &self.parent.to_string()]).status().unwrap();
        assert!(killed.success());
        self.cargo.wait().unwrap();
    }
}

#[cfg(target_os = "linux")]
impl Drop for Serving {
    fn drop(&mut self) {
        if let Ok(None) = self.cargo.try_wait() {
            self.kill();
        }
    }
}

#[cfg(target_os = "linux")]
fn children_of(parent: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        // The fourth field; the second, the name, stands in parentheses and may hold anything.
        let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest);
        let field = after_name.and_then(|rest| rest.split(' ').nth(1));
        if field.and_then(|field| field.parse::<u32>().ok()) == Some(parent) {
            children.push(id);
        }
    }
    children
}
