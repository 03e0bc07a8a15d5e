//! Published vectors, from files that are no part of the project: where they are absent, a trial
//! that is reported as ignored says so; and it fails where their place is named, as `.ci/run` does.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::{Arguments, Failed, Trial};
use serde::de::DeserializeOwned;

/// Names the directory of the vectors, from the checkout. By default they lie beside it.
const VARIABLE: &str = "CONFORMANCE_VECTORS";

/// The trials that `make` makes of a file of vectors.
pub fn published<T: DeserializeOwned>(
    file: &str,
    make: impl FnOnce(T) -> Vec<Trial>,
) -> Vec<Trial> {
    let path = directory().join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => match serde_json::from_str(&text) {
            Ok(vectors) => make(vectors),
            Err(error) => {
                let broken = format!("{}: {error}", path.display());
                vec![Trial::test(format!("{file} can be read"), move || Err(broken.into()))]
            }
        },
        Err(error) => {
            let required = std::env::var_os(VARIABLE).is_some();
            let reason = format!("{}: {error}; set {VARIABLE} to its directory", path.display());
            let name = format!("absent: {reason}");
            vec![Trial::test(name, move || Err(reason.into())).with_ignored_flag(!required)]
        }
    }
}

/// Reads a file that belongs to another, and so has to be there.
pub fn read<T: DeserializeOwned>(file: &str) -> Result<T, Failed> {
    let path = directory().join(file);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failed::from(format!("{}: {error}", path.display())))?;
    Ok(serde_json::from_str(&text)?)
}

/// Counts what was checked, for the line at the end.
pub fn count(checked: usize) {
    CHECKED.fetch_add(checked, Ordering::Relaxed);
}

/// Runs the trials, and says at the end how much of `what` they have checked.
pub fn report(trials: Vec<Trial>, what: &str) -> ExitCode {
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    println!("checked: {} {what}\n", CHECKED.load(Ordering::Relaxed));
    conclusion.exit_code()
}

static CHECKED: AtomicUsize = AtomicUsize::new(0);

fn directory() -> PathBuf {
    let named = std::env::var_os(VARIABLE).unwrap_or_else(|| "../shared/vectors".into());
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(named)
}
