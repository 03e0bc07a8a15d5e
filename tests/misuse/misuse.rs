//! Compiles each program of `programs/` as an application would. A program that misuses the crate is
//! refused, and the compiler's text names the fix: its lines that begin with `//~ ` say which texts
//! are expected.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crates that the programs use.
const CRATES: [&str; 6] = ["axum", "bytes", "http", "serde", "tower", "tower_jwt_session"];

#[test]
fn misuse_is_refused_with_a_text_that_names_the_fix() {
    let libraries = libraries();
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let mut failures = Vec::new();
    for program in fs::read_dir(programs).unwrap() {
        let path = program.unwrap().path();
        let source = fs::read_to_string(&path).unwrap();
        let expected: Vec<_> =
            source.lines().filter_map(|line| line.strip_prefix("//~ ")).collect();
        let (compiles, said) = compile(&path, &libraries);
        // A program without expectations is right, and shows that the others are wrong in one thing.
        let is_as_expected = compiles == expected.is_empty();
        if !is_as_expected || !expected.iter().all(|text| said.contains(text)) {
            failures.push(format!("{}: expected {expected:#?}, found\n{said}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Whether a program compiles, and what the compiler says.
fn compile(program: &Path, libraries: &BTreeMap<String, PathBuf>) -> (bool, String) {
    let directory = tempfile::tempdir().unwrap();
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"]);
    command.arg(directory.path()).arg(program).env("COLUMNS", "1000");
    for (name, path) in libraries {
        let mut library = OsString::from(format!("{name}="));
        library.push(path);
        command.arg("--extern").arg(library);
        let mut dependencies = OsString::from("dependency=");
        dependencies.push(path.parent().unwrap());
        command.arg("-L").arg(dependencies);
    }
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// The libraries of this test's own build, which Cargo lists without building anything.
fn libraries() -> BTreeMap<String, PathBuf> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "--offline", "--no-run", "--message-format=json", "-p", "misuse"]);
    // Cargo has set these for this test; dependencies whose build reads them would be built again.
    let of_this_package = |name: &OsString| {
        let name = name.as_encoded_bytes();
        name.starts_with(b"CARGO_PKG_") || name.starts_with(b"CARGO_MANIFEST_")
    };
    for (name, _) in env::vars_os().filter(|(name, _)| of_this_package(name)) {
        command.env_remove(name);
    }
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut libraries = BTreeMap::new();
    for message in messages.filter(|message| message["reason"] == "compiler-artifact") {
        let name = message["target"]["name"].as_str().unwrap();
        let files = message["filenames"].as_array().unwrap().iter().filter_map(Value::as_str);
        let library =
            files.map(PathBuf::from).find(|file| file.extension() == Some("rlib".as_ref()));
        if let Some(library) = library.filter(|_| CRATES.contains(&name)) {
            libraries.insert(name.to_owned(), library);
        }
    }
    assert_eq!(libraries.len(), CRATES.len(), "{libraries:?}");
    libraries
}
