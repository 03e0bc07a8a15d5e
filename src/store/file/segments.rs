//! What one handle appends to a feed: files of its own, and one `fsync` for all that wait at a time.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::directory::{ATTEMPTS, Directory, is_same_file};
use super::frames::{self, Check};
use super::partitions::{Name, Opened, hour_of, partition_of, random};
use crate::clock::Timestamp;
use crate::store::contract::StoreError;
use crate::store::feed::RevokedSession;
use crate::store::file::temporary::failed;
use crate::sync::lock;

/// The writers of a handle and its clones, by feed.
#[derive(Debug, Default)]
pub(crate) struct Writers(Mutex<HashMap<Box<str>, Arc<Writer>>>);

impl Writers {
    pub(crate) fn of(&self, feed: &str) -> Arc<Writer> {
        let mut writers = lock(&self.0);
        Arc::clone(writers.entry(feed.into()).or_insert_with(|| Arc::new(Writer::new(feed))))
    }
}

#[derive(Debug)]
pub(crate) struct Writer {
    feed: Box<str>,
    queue: Mutex<Queue>,
    files: Mutex<Files>,
    /// The hour in which expired partitions were removed last.
    expired: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    is_written: bool,
}

#[derive(Debug)]
struct Waiting {
    sessions: Vec<RevokedSession>,
    now: Timestamp,
    done: oneshot::Sender<Result<(), String>>,
}

/// The files that this handle appends to, by partition. A file that failed is never used again.
#[derive(Debug, Default)]
struct Files {
    open: HashMap<u64, Segment>,
    writer: Option<u64>,
    count: u32,
}

#[derive(Debug)]
struct Segment {
    file: File,
    path: PathBuf,
    length: u64,
    check: Check,
}

impl Writer {
    fn new(feed: &str) -> Self {
        let (queue, files) = Default::default();
        Self { feed: feed.into(), queue, files, expired: AtomicU64::new(0) }
    }

    /// Queues sessions; the receiver gets the outcome once some thread has [written](Self::write) them.
    pub(crate) fn queue(
        &self,
        sessions: &[RevokedSession],
        now: Timestamp,
    ) -> oneshot::Receiver<Result<(), String>> {
        let (done, outcome) = oneshot::channel();
        lock(&self.queue).waiting.push(Waiting { sessions: sessions.to_vec(), now, done });
        outcome
    }

    /// Writes what is queued, and what is queued meanwhile, unless another thread does.
    pub(crate) fn write(&self, directory: &Directory) {
        if mem::replace(&mut lock(&self.queue).is_written, true) {
            return;
        }
        let _end = End(self);
        loop {
            let waiting = {
                let mut queue = lock(&self.queue);
                queue.is_written = !queue.waiting.is_empty();
                mem::take(&mut queue.waiting)
            };
            if waiting.is_empty() {
                return;
            }
            let outcome = self.commit(directory, &waiting).map_err(|error| chain(&error));
            for waiting in waiting {
                // Nobody may wait any more.
                let _ = waiting.done.send(outcome.clone());
            }
        }
    }

    fn commit(&self, directory: &Directory, waiting: &[Waiting]) -> Result<(), StoreError> {
        let Some(now) = waiting.iter().map(|waiting| waiting.now).min() else { return Ok(()) };
        let sessions: Vec<_> = waiting.iter().flat_map(|it| &it.sessions).copied().collect();
        let mut records: Vec<_> = sessions.chunks(SESSIONS).map(RevokedSession::encode).collect();
        if records.is_empty() {
            records.push(RevokedSession::encode(&[]));
        }
        let latest = sessions.iter().map(|session| session.until).max();
        let partition = partition_of(latest.unwrap_or(now), now);
        let mut files = lock(&self.files);
        for _ in 0..ATTEMPTS {
            let feed = directory.feed_made(&self.feed)?;
            self.expire(directory, &feed, now);
            files.open.retain(|partition, _| *partition > hour_of(now));
            // It is only open again once all was written, and found where readers look for it.
            let segment = match files.open.remove(&partition) {
                Some(segment) => segment,
                None => files.open(directory, &feed, partition)?,
            };
            if let Some(segment) = segment.append(&records)? {
                files.open.insert(partition, segment);
                if !sessions.is_empty() {
                    directory.touch(&feed);
                }
                return Ok(());
            }
        }
        Err(StoreError::new(format!(
            "could not append revocations to {}: it was repeatedly removed or replaced; gave up \
             after {ATTEMPTS} attempts",
            directory.path.join(&*self.feed).display()
        )))
    }

    /// Removes expired partitions, once an hour.
    pub(crate) fn expire(&self, directory: &Directory, feed: &Path, now: Timestamp) {
        let hour = hour_of(now);
        if self.expired.swap(hour, Ordering::Relaxed) != hour
            && let Err(error) = directory.expire(feed, now)
        {
            tracing::warn!(feed = &*self.feed, %error, "cannot remove expired revocations");
        }
    }
}

impl Files {
    fn open(
        &mut self,
        directory: &Directory,
        feed: &Path,
        partition: u64,
    ) -> Result<Segment, StoreError> {
        let writer = match self.writer {
            Some(writer) => writer,
            None => *self.writer.insert(u64::from_be_bytes(random()?)),
        };
        let name = Name::Segment(writer, self.count);
        self.count += 1;
        let path = directory.made(feed.join(partition.to_string()))?.join(name.file());
        directory.enter_file(feed, &path, b"", false)?;
        match directory.open_file(&path, OpenOptions::new().append(true))? {
            Opened::File(file, _) => Ok(Segment { file, path, length: 0, check: Check::default() }),
            Opened::Missing => Err(failed("open", &path)(std::io::ErrorKind::NotFound.into())),
            Opened::Unfit(reason) => Err(StoreError::new(format!("{} {reason}", path.display()))),
        }
    }
}

impl Segment {
    /// Appends records; `None` if the file is not what this handle has written, or is no longer where
    /// readers look for it: the directory was emptied, or replaced by a copy.
    fn append(mut self, records: &[Vec<u8>]) -> Result<Option<Self>, StoreError> {
        let mut bytes = Vec::new();
        let mut check = self.check;
        for records in records {
            check = frames::push(&mut bytes, check, records);
        }
        let length = self.file.metadata().map_err(failed("read", &self.path))?.len();
        if length != self.length {
            return Ok(None);
        }
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        written.map_err(failed("append to", &self.path))?;
        self.length += bytes.len() as u64;
        self.check = check;
        Ok(is_at(&self.file, self.length, &self.path).then_some(self))
    }
}

/// Whether the file that was written is the one at that path, and has that length.
pub(crate) fn is_at(file: &File, length: u64, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(written), Ok(named)) => is_same_file(&written, &named) && named.len() == length,
        _ => false,
    }
}

/// Another thread may write once this one has ended, even by a panic.
struct End<'a>(&'a Writer);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.queue).is_written = false;
        }
    }
}

fn chain(error: &StoreError) -> String {
    // Its text has the first cause.
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error).and_then(std::error::Error::source);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The sessions of one frame.
const SESSIONS: usize = 2048;
