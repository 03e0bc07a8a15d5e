//! Temporary files: their names, and how the file store sweeps what dead writers left.

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

pub(crate) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::with_source(format!("could not {what} {}", path.display()), error)
}

/// The directory in a ring's. Where entries are listed, names that begin with a dot are skipped.
pub(crate) const TEMPORARIES: &str = ".tmp";

/// How the names of temporary files begin.
const TEMPORARY: &str = ".tmp-";

/// The age from which a temporary file's writer is assumed dead.
const STALE: Duration = Duration::from_secs(3600);
