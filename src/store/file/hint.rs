//! The file store's change hint: one look at a ring's directory per second.
//!
//! What is appended to a feed of revocations shows at one file, however many files it has.
//!
//! A directory's modification time changes when a name in it is added or removed. Entries are only
//! added and removed, never replaced. Temporary files and redemptions are in directories of their own,
//! whose changes do not show.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::directory::Directory;
use super::partitions::{CHANGED, REVOCATIONS};
use crate::store::contract::StoreError;
use crate::store::file::temporary::failed;
use crate::sync::lock;

/// How a ring's directory looked when [`changed`](crate::store::Store::changed) last returned.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<Box<str>, Sight>>);

#[derive(Debug)]
struct Sight {
    look: Look,
    at: Instant,
    /// Another look has found the same, a second later.
    is_settled: bool,
}

impl Seen {
    /// When the ring is to be looked at next; `None` is at once.
    pub(crate) fn next_look(&self, ring: &str) -> Option<Instant> {
        lock(&self.0).get(ring).map(|sight| sight.at + PAUSE)
    }

    /// Records a check, and returns whether the ring may have changed since the last change.
    ///
    /// A change is reported twice. File systems keep times in steps of some milliseconds, so that a
    /// second change may hide behind a first one within the same step.
    pub(crate) fn note(&self, ring: &str, look: Look) -> bool {
        let mut seen = lock(&self.0);
        let before = seen.get(ring).filter(|before| before.look == look);
        let (is_same, was_settled) = (before.is_some(), before.is_some_and(|b| b.is_settled));
        seen.insert(ring.into(), Sight { look, at: Instant::now(), is_settled: is_same });
        !was_settled
    }
}

/// A clone has seen nothing yet: its first call returns at once.
impl Clone for Seen {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The result of one check of a ring's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The ring's directory, and the file that shows appends to the feed of that name.
    Ring(Stamp, Option<Stamp>),
    /// The store's directory, in which the ring has none.
    NoRing(Identity),
    /// Neither directory exists.
    NoStore,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    identity: Identity,
    modified: Option<SystemTime>,
    changed: (i64, i64),
    length: u64,
}

/// Which directory it is: one that was made again has another identity, or another time.
type Identity = (u64, u64);

impl Directory {
    /// Looks at the directory of `ring`.
    ///
    /// # Errors
    ///
    /// If it can't be looked at. That there is none is no error.
    pub(crate) fn look(&self, ring: &str) -> Result<Look, StoreError> {
        let look_at = |path: &Path| match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(stamp(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("look at", path)(error)),
        };
        let path = self.path.join(ring);
        if let Some(ring) = look_at(&path)? {
            let feed = look_at(&path.join(REVOCATIONS).join(CHANGED))?;
            return Ok(Look::Ring(ring, feed));
        }
        let store = look_at(&self.path)?;
        Ok(store.map_or(Look::NoStore, |store| Look::NoRing(store.identity)))
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    #[cfg(unix)]
    let (identity, changed) =
        ((metadata.dev(), metadata.ino()), (metadata.ctime(), metadata.ctime_nsec()));
    #[cfg(not(unix))]
    let (identity, changed) = ((0, 0), (0, 0));
    Stamp { identity, modified: metadata.modified().ok(), changed, length: metadata.len() }
}

/// From one look to the next.
const PAUSE: Duration = Duration::from_secs(1);
