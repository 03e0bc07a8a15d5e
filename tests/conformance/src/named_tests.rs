//! Tests that are referred to by name, so that a reference does not outlive its test.

use std::path::{Path, PathBuf};

/// Whether there is a test of this name: `it::codec::json::a_payload_is_utf_8`, or
/// `attacks::jwe` for a class of attacks.
pub fn is_test(name: &str) -> bool {
    let Some((path, test)) = name.rsplit_once("::") else { return false };
    if path == "attacks" {
        return holds(&tests().join("conformance/tests/attacks.rs"), &[&format!("(\"{test}\",")]);
    }
    let crates = ["it", "conformance"];
    let Some(file) = crates.iter().find_map(|first| path.strip_prefix(first)) else { return false };
    let directory = if path.starts_with("it") { "it" } else { "conformance/tests" };
    let file = tests().join(directory).join(file.trim_start_matches("::").replace("::", "/"));
    let signatures = ["#[test] fn", "#[tokio::test] async fn", ")] async fn"]
        .map(|mark| format!("{mark} {test}("));
    let signatures = signatures.each_ref().map(String::as_str);
    holds(&file.with_extension("rs"), &signatures) || holds(&file.join("mod.rs"), &signatures)
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
