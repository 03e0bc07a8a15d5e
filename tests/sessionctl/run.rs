//! Runs the binary as an operator does.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The result of one run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `sessionctl` with that standard input and none of its variables.
pub(crate) fn sessionctl(arguments: &[&str], input: &str) -> Run {
    sessionctl_with(&[], arguments, input)
}

/// The same with these variables, without the prefix `SESSIONCTL_`.
pub(crate) fn sessionctl_with(variables: &[(&str, &str)], arguments: &[&str], input: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessionctl"));
    for name in [
        "STORE",
        "STORE_FILE",
        "RING",
        "SEALING_KEY",
        "SEALING_KEY_FILES",
        "ISSUER",
        "AUDIENCE",
        "AUDIT_KEY",
        "AUDIT_KEY_FILE",
    ] {
        command.env_remove(format!("SESSIONCTL_{name}"));
    }
    for (name, value) in variables {
        command.env(format!("SESSIONCTL_{name}"), value);
    }
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    // It may end without reading.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Run { status: status.code().expect("no signal"), out: text(stdout), err: text(stderr) }
}

/// All files of a directory with their content, hidden ones included.
pub(crate) fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in std::fs::read_dir(folder).expect("a directory") {
            let path = item.expect("an item").path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push((path.clone(), std::fs::read(&path).expect("a file"))),
            }
        }
    }
    files.sort();
    files
}
