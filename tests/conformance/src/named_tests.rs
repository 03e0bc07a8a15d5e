//! Tests that are referred to by name, so that a reference does not outlive its test.

use std::path::{Path, PathBuf};

/// Whether there is a test of this name: `it::token::json::a_payload_is_utf_8`, or
/// `attacks::jwe` for a class of attacks.
pub fn is_test(name: &str) -> bool {
    let Some((path, test)) = name.rsplit_once("::") else { return false };
    if path == "attacks" {
        return holds(&tests().join("conformance/tests/attacks.rs"), &[&format!("(\"{test}\",")]);
    }
    // Where a crate's tests are, and how they begin.
    let in_tests = &["#[test] fn", "#[tokio::test] async fn", ")] async fn"][..];
    // What all stores promise is a function, which a macro makes the test of each.
    let in_suites = &["pub async fn"][..];
    let with_servers = &["async fn"][..];
    let crates = [
        ("it", "it", in_tests),
        ("long", "long", in_tests),
        ("processes", "processes", in_tests),
        ("simulation", "simulation", in_tests),
        ("testing", "../src/testing", in_suites),
        ("conformance", "conformance/tests", in_tests),
        ("stores", "stores/src", with_servers),
    ];
    let found = crates
        .iter()
        .find_map(|(first, directory, marks)| Some((path.strip_prefix(first)?, directory, marks)));
    let Some((file, directory, marks)) = found else { return false };
    let file = tests().join(directory).join(file.trim_start_matches("::").replace("::", "/"));
    let signatures: Vec<_> = marks
        .iter()
        .flat_map(|mark| ["(", "<"].map(|next| format!("{mark} {test}{next}")))
        .collect();
    let signatures: Vec<_> = signatures.iter().map(String::as_str).collect();
    [file.with_extension("rs"), file.join("mod.rs"), file.join("main.rs")]
        .iter()
        .any(|file| holds(file, &signatures))
}

/// Whether one of the texts is in a file, white space aside.
fn holds(file: &Path, texts: &[&str]) -> bool {
    let source = std::fs::read_to_string(file).unwrap_or_default();
    let source = source.split_whitespace().collect::<Vec<_>>().join(" ");
    texts.iter().any(|text| source.contains(text))
}

/// The directory of all tests.
fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
