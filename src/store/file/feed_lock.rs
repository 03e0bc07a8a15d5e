//! The lock under which registers of a file store rise, between threads and between processes.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::directory::{Directory, is_same_file};
use super::partitions::{LOCK, Opened};
use crate::store::contract::StoreError;
use crate::store::file::temporary::failed;
use crate::sync::lock;

/// Held until it is dropped, or its process ends.
pub(crate) struct Held {
    path: PathBuf,
    /// None once the file was closed, and with it the lock released.
    file: Option<File>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.file = None;
        lock(&LOCAL).get_or_insert_default().remove(&self.path);
    }
}

/// The locks that this process holds. On NFS a lock is the whole process's, and ends when any handle of
/// the file is closed.
static LOCAL: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);

impl Directory {
    /// Takes the lock of a shelf of registers.
    pub(crate) fn lock(&self, feed: &Path, shelf: u8) -> Result<Held, StoreError> {
        let path = feed.join(format!("{LOCK}{shelf:x}"));
        let began = Instant::now();
        loop {
            if let Some(held) = self.try_lock(feed, &path)? {
                return Ok(held);
            }
            if began.elapsed() > LONGEST {
                return Err(StoreError::new(format!(
                    "could not lock {} within {LONGEST:?}: another process holds it",
                    path.display(),
                )));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn try_lock(&self, feed: &Path, path: &Path) -> Result<Option<Held>, StoreError> {
        if !lock(&LOCAL).get_or_insert_default().insert(path.to_owned()) {
            return Ok(None);
        }
        let mut held = Held { path: path.to_owned(), file: None };
        // To write, without which NFS grants no exclusive lock.
        let file = match self.open_file(path, OpenOptions::new().write(true))? {
            Opened::File(file, _) => file,
            Opened::Missing => {
                self.enter_file(feed, path, b"", true)?;
                return Ok(None);
            }
            Opened::Unfit(reason) => {
                return Err(StoreError::new(format!("{} {reason}", path.display())));
            }
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                let what = "lock (does the file system support locks?)";
                return Err(failed(what, path)(error));
            }
        }
        // Somebody may have emptied the directory, and another writer made the file again.
        let (locked, named) = (file.metadata(), fs::symlink_metadata(path));
        let is_there =
            matches!((locked, named), (Ok(locked), Ok(named)) if is_same_file(&locked, &named));
        held.file = Some(file);
        Ok(is_there.then_some(held))
    }
}

/// From one attempt to the next.
const PAUSE: Duration = Duration::from_millis(2);

/// Longer than it takes others to raise a register.
const LONGEST: Duration = Duration::from_secs(10);
