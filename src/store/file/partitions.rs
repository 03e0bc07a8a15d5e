//! The directory of a feed: a partition per time of expiry, each with the files of many writers.
//!
//! A partition is named by the hour, since 1970, at whose beginning all of its records have expired.
//! Whoever writes after that removes it, once it has said so in the name of a file: so a reader that
//! misses a partition knows, without a clock, whether it has expired or is lost.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::directory::{Directory, Found, is_same_file, sync_directory};
use crate::clock::Timestamp;
use crate::crypto::backend;
use crate::store::contract::{Skipped, StoreError};
use crate::store::file::temporary::failed;

/// The name of a file of frames in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// The registers of one shelf.
    Registers(u8),
    /// What one writer has appended: its own random number, and how many files it made before.
    Segment(u64, u32),
}

impl Name {
    pub(crate) fn file(self) -> String {
        match self {
            Self::Registers(shelf) => format!("registers-{shelf:x}.log"),
            Self::Segment(writer, count) => format!("{writer:016x}-{count}.log"),
        }
    }

    pub(crate) fn parse(file: &OsStr) -> Option<Self> {
        let (first, second) = file.to_str()?.strip_suffix(".log")?.split_once('-')?;
        let name = match first {
            "registers" => Self::Registers(u8::from_str_radix(second, 16).ok()?),
            writer => Self::Segment(u64::from_str_radix(writer, 16).ok()?, second.parse().ok()?),
        };
        (*name.file() == *file).then_some(name)
    }
}

/// The partition of a record that is kept until then: rounded up, the more the longer it is kept, so that
/// there are a few dozen of them at most.
pub(crate) fn partition_of(until: Timestamp, now: Timestamp) -> u64 {
    let until = millis(until).div_ceil(HOUR);
    let left = until.saturating_sub(millis(now) / HOUR);
    until.next_multiple_of(1 << (left / 8).max(1).ilog2())
}

/// The hour of a time, in whole hours since 1970.
pub(crate) fn hour_of(time: Timestamp) -> u64 {
    millis(time) / HOUR
}

fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_unix_millis()).unwrap_or_default()
}

/// What is in the directory of a feed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// In ascending order.
    pub(crate) partitions: Vec<u64>,
    /// The partitions up to this one have been removed.
    pub(crate) expired: u64,
    pub(crate) skipped: Vec<Skipped>,
}

/// A file that was opened, and what it is.
pub(crate) enum Opened {
    Missing,
    File(File, Metadata),
    /// One that is not used; the text continues a sentence that begins with the path.
    Unfit(String),
}

impl Directory {
    /// The directory of a feed, if there is one.
    pub(crate) fn feed(&self, feed: &str) -> Result<Option<PathBuf>, StoreError> {
        self.ring(feed)?.map_or(Ok(None), |ring| self.existing(ring.join(REVOCATIONS)))
    }

    /// The directory of a feed, founded unless it is there.
    pub(crate) fn feed_made(&self, feed: &str) -> Result<PathBuf, StoreError> {
        let path = self.made(self.ring_made(feed)?.join(REVOCATIONS))?;
        if self.incarnation(&path)?.is_none() {
            self.enter_file(&path, &path.join(INCARNATION), &random::<16>()?, false)?;
        }
        Ok(path)
    }

    /// The random number of a feed that was founded: another one when it is founded again.
    pub(crate) fn incarnation(&self, feed: &Path) -> Result<Option<[u8; 16]>, StoreError> {
        let path = feed.join(INCARNATION);
        let unfit = |reason: &str| Err(StoreError::new(format!("{} {reason}", path.display())));
        match self.read(&path)? {
            Found::Missing => Ok(None),
            Found::Unfit(reason) => unfit(&reason),
            Found::Value(value) => match value.as_array() {
                Some(incarnation) => Ok(Some(*incarnation)),
                None => unfit("is not the random number of a feed: remove it"),
            },
        }
    }

    /// Enters a whole file under its name, unless there is one already. One that is shared is written
    /// again by other members of the group.
    pub(crate) fn enter_file(
        &self,
        feed: &Path,
        path: &Path,
        value: &[u8],
        shared: bool,
    ) -> Result<(), StoreError> {
        let (temporary, _) = self.write_aside(feed.parent().unwrap_or(feed), value)?;
        #[cfg(unix)]
        if shared && self.group {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::Permissions::from_mode(0o660);
            fs::set_permissions(&temporary.0, mode)
                .map_err(failed("set the mode of", &temporary.0))?;
        }
        #[cfg(not(unix))]
        let _ = shared;
        match fs::hard_link(&temporary.0, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(failed("enter", path)(error))
            }
            _ => path.parent().map_or(Ok(()), sync_directory),
        }
    }

    /// Opens a file of a feed, unless it is a symbolic link or others have access to it.
    pub(crate) fn open_file(
        &self,
        path: &Path,
        options: &OpenOptions,
    ) -> Result<Opened, StoreError> {
        let missing = |error: &std::io::Error| error.kind() == ErrorKind::NotFound;
        let named = match fs::symlink_metadata(path) {
            Err(error) if missing(&error) => return Ok(Opened::Missing),
            named => named.map_err(failed("read", path))?,
        };
        if !named.is_file() {
            return Ok(Opened::Unfit("is not a regular file".to_owned()));
        }
        let file = match options.open(path) {
            Err(error) if missing(&error) => return Ok(Opened::Missing),
            file => file.map_err(failed("open", path))?,
        };
        let opened = file.metadata().map_err(failed("read", path))?;
        // Removed and made again meanwhile: the next attempt sees what it is now.
        if !is_same_file(&named, &opened) {
            return Ok(Opened::Missing);
        }
        Ok(match self.exposed(&opened, path) {
            Some(reason) => Opened::Unfit(reason),
            None => Opened::File(file, opened),
        })
    }

    /// The directory of a partition, if there is one.
    pub(crate) fn partition(
        &self,
        feed: &Path,
        partition: u64,
    ) -> Result<Option<PathBuf>, StoreError> {
        self.existing(feed.join(partition.to_string()))
    }

    pub(crate) fn list_feed(&self, feed: &Path) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        for item in fs::read_dir(feed).map_err(failed("list", feed))? {
            let item = item.map_err(failed("list", feed))?;
            let file = item.file_name();
            let name = file.to_str().unwrap_or_default();
            if let Some(partition) = number(name) {
                listing.partitions.push(partition);
            } else if let Some(expired) = name.strip_prefix(EXPIRED).and_then(number) {
                listing.expired = listing.expired.max(expired);
            } else if !name.starts_with(['.'])
                && !name.starts_with(LOCK)
                && ![INCARNATION, CHANGED].contains(&name)
            {
                let reason = "is not part of a feed of revocations: remove it";
                listing.skipped.push(Skipped::new(item.path().display().to_string(), reason));
            }
        }
        listing.partitions.sort_unstable();
        Ok(listing)
    }

    /// Removes the partitions of which all records have expired, by this clock and by that of the file system.
    /// What fails is tried again in an hour.
    pub(crate) fn expire(&self, feed: &Path, now: Timestamp) -> Result<(), StoreError> {
        let Listing { partitions, expired: before, .. } = self.list_feed(feed)?;
        let is_over = |partition: &u64, now| *partition <= hour_of(now);
        let mut over = partitions;
        over.retain(|partition| is_over(partition, now));
        if over.is_empty() {
            return Ok(());
        }
        // SECURITY: a replica whose clock is ahead must not remove what holds for the others.
        let written = self.time(feed.parent().unwrap_or(feed))?;
        over.retain(|partition| is_over(partition, written));
        let Some(last) = over.last().copied() else { return Ok(()) };
        if last > before {
            self.enter_file(feed, &feed.join(format!("{EXPIRED}{last}")), b"", false)?;
            // Of several writers that remove at the same time, the highest number counts.
            let _ = fs::remove_file(feed.join(format!("{EXPIRED}{before}")));
        }
        for partition in over {
            let path = feed.join(partition.to_string());
            fs::remove_dir_all(&path).map_err(failed("remove the expired", &path))?;
        }
        Ok(())
    }

    /// Shows the replicas that something was appended: they look at this file. A hint that is lost
    /// delays them until they poll.
    pub(crate) fn touch(&self, feed: &Path) {
        let path = feed.join(CHANGED);
        let write = OpenOptions::new().write(true).clone();
        let opened = match self.open_file(&path, &write) {
            Ok(Opened::Missing) => {
                let _ = self.enter_file(feed, &path, b".", true);
                return;
            }
            opened => opened,
        };
        if let Ok(Opened::File(mut file, _)) = opened {
            // Its time changes, its length does not.
            let _ = file.write_all(b".");
        }
    }
}

fn number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name)
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut random = [0; N];
    backend::fill_random(&mut random)
        .map_err(|error| StoreError::with_source("could not draw a random number", error))?;
    Ok(random)
}

/// The directory in a ring's. Where entries are listed, names that begin with a dot are skipped.
pub(crate) const REVOCATIONS: &str = ".revocations";

/// The file whose time changes with each append.
pub(crate) const CHANGED: &str = "changed";

/// How the names of lock files begin.
pub(crate) const LOCK: &str = "lock-";

const INCARNATION: &str = "incarnation";
const EXPIRED: &str = "expired-";
const HOUR: u64 = 3_600_000;
