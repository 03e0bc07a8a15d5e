//! Temporary files: their names, and how the file store sweeps what dead writers left.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::store::contract::StoreError;

/// A temporary file's path; the file is removed on drop.
pub(crate) struct Temporary(pub(crate) PathBuf);

impl Temporary {
    /// A path that no other process uses, on this machine or another that shares the directory.
    pub(crate) fn new(directory: &Path) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let process = std::process::id();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = since.unwrap_or_default().as_nanos();
        Self(directory.join(format!("{TEMPORARY}{process}-{count}-{nanos}")))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What stays is swept after an hour.
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes the temporary files of writers that died, by the file system's own time `now`.
pub(crate) fn sweep(directory: &Path, now: SystemTime) {
    for item in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_stale = |metadata: Metadata| {
            let age = metadata.modified().map(|at| now.duration_since(at));
            metadata.is_file() && matches!(age, Ok(Ok(age)) if age > STALE)
        };
        let is_temporary = item.file_name().to_string_lossy().starts_with(TEMPORARY);
        if is_temporary && item.metadata().is_ok_and(is_stale) {
            let _ = fs::remove_file(item.path());
        }
    }
}

/// The error of what could not be done at a path: the same text for each temporary file, so that it is logged once.
pub(crate) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| {
        let is_temporary = |name: &OsStr| name.to_string_lossy().starts_with(TEMPORARY);
        let place = match (path.file_name().is_some_and(is_temporary), path.parent()) {
            (true, Some(directory)) => format!("a file in {}", directory.display()),
            _ => path.display().to_string(),
        };
        let text = format!("could not {what} {place}{}", who_may(&error, path));
        StoreError::with_source(text, error)
    }
}

/// Whose the directory is, where this process may not use it.
#[cfg(unix)]
fn who_may(error: &io::Error, path: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;

    if error.kind() != io::ErrorKind::PermissionDenied {
        return String::new();
    }
    let directories = path.ancestors().filter_map(|path| Some((path, fs::metadata(path).ok()?)));
    let mut directories = directories.filter(|(_, metadata)| metadata.is_dir());
    directories.next().map_or(String::new(), |(directory, metadata)| {
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        format!(
            " ({} belongs to user {owner} and has mode {mode:04o}: run the service as its owner, or give it to \
             the service's user)",
            directory.display()
        )
    })
}

#[cfg(not(unix))]
fn who_may(_: &io::Error, _: &Path) -> String {
    String::new()
}

/// The directory in a ring's. Where entries are listed, names that begin with a dot are skipped.
pub(crate) const TEMPORARIES: &str = ".tmp";

/// How the names of temporary files begin.
const TEMPORARY: &str = ".tmp-";

/// The age from which a temporary file's writer is assumed dead.
const STALE: Duration = Duration::from_secs(3600);

#[cfg(all(test, unix, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn error_says_whose_the_directory_is_and_names_no_temporary_file() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let text = |path: &Path| failed("create", path)(denied()).to_string();
        let [one, two] = [(); 2].map(|()| text(&Temporary::new(place.path()).0));
        assert_eq!(one, two, "it is logged once");
        let directory = place.path().display();
        assert!(one.starts_with(&format!("could not create a file in {directory} (")), "{one}");
        assert!(one.contains("belongs to user ") && one.contains("has mode 0"), "{one}");
        let entry = text(&place.path().join("a.json"));
        assert!(entry.starts_with(&format!("could not create {directory}/a.json (")), "{entry}");
    }
}
