//! Each row of the guide's table of random logouts: the cluster is broken in that way, and what it shows of
//! itself leads to the cause.

use std::process::{Command, Stdio};

/// Runs one cause; `evidence` is what the output has to show.
fn finds(cause: &str, evidence: &[&str]) {
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--example", "cluster", "--", "diagnose", "--causes", cause])
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for evidence in evidence {
        assert!(text.contains(evidence), "{evidence}: {text}");
    }
    assert!(text.contains("1 of 1 causes were found."), "{text}");
    assert!(temporary.path().read_dir().unwrap().next().is_none(), "something was left behind");
}

#[test]
fn replica_with_other_keys_is_found() {
    finds("other-keys", &["unknown_key", "explain    replica-"]);
}

#[test]
fn replica_with_wrong_clock_is_found() {
    finds(
        "wrong-clock",
        &["replica-1: refusals: issued_in_future", "/health    replica-2: its clock is "],
    );
}

#[test]
fn purged_store_is_found() {
    finds("purged-store", &["replica-1: refusals: unknown_key", "replica-1, replica-2: keys "]);
}

#[test]
fn proxy_that_drops_the_cookie_is_found() {
    finds("dropped-cookie", &["missing", "reason=no credential"]);
}

#[test]
fn proxy_that_rewrites_host_is_found() {
    finds("rewritten-host", &["POST /login → 403", "cross_site", "host=\"backend\""]);
}

#[test]
fn service_with_the_same_cookie_name_is_found() {
    finds("shared-cookie-name", &["a token of https://neighbor.example; key: found"]);
}

#[test]
fn expired_session_is_found() {
    finds("expired", &["refusals: expired"]);
}

#[test]
fn revoked_session_is_found() {
    // Its cookie stays, so that each of its requests shows the reason.
    finds(
        "revoked",
        &["12 of 15 requests failed", "refusals: revoked 6", "reason=session revoked"],
    );
}
