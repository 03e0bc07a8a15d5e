//! Reading and writing the log of marks in a store, on which all replicas write.
//!
//! The log is a chain of entries that are written once, numbered without gaps. Whoever has read
//! entry n inserts n + 1 *if that is absent*; of several one succeeds, and the others read its
//! entry and try the next number. So every entry was written by someone who knew all before it,
//! the order of commits is the order of versions, and a reader who has seen a version has seen all
//! up to it. A version is the time in milliseconds, and higher than all before it, so that versions
//! go on where a store has forgotten everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::log::{Last, Log, Lost};
use super::marks::Mark;
use super::record::{self, Record};
use crate::clock::{Clock, Timestamp};
use crate::follow::{Polling, within};
use crate::store::{Entry, Insertion, Loaded, Store, StoreError};

/// What reads and writes the log.
#[derive(Debug)]
pub(super) struct Scribe {
    /// The log's place in the store.
    pub(super) ring: Arc<str>,
    pub(super) store: Arc<dyn Store>,
    pub(super) polling: Polling,
    pub(super) clock: Arc<dyn Clock>,
    /// The highest version that a verified token has claimed.
    pub(super) claimed: AtomicU64,
}

impl Scribe {
    /// Reads what is new in the log.
    ///
    /// # Errors
    ///
    /// If the store can't be read in time. What was read until then is taken in.
    pub(super) async fn read(&self, log: &mut Log) -> Result<(), StoreError> {
        let read = within(self.polling.timeout, "reading the log", self.read_new(log)).await;
        if read.is_err() {
            log.distrust();
        }
        read
    }

    async fn read_new(&self, log: &mut Log) -> Result<(), StoreError> {
        let now = self.clock.now();
        if log.is_due_whole(now) {
            return self.read_whole(log).await;
        }
        loop {
            let Some(last) = log.last.clone() else { return self.read_whole(log).await };
            let names: Vec<_> = (last.position..).take(AHEAD + 1).map(record::name).collect();
            let Loaded { mut entries, .. } = self.store.read(&self.ring, &names).await?;
            entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            let mut entries = entries.into_iter();
            let at_last = match &last.value {
                Some(_) => entries.next(),
                None => None,
            };
            if !is_last(at_last, &last) {
                return self.read_whole(log).await;
            }
            let mut taken = 0;
            for Entry { name, value } in entries {
                if record::position(&name) != Some(log.next()) {
                    // One of the chain can't be read, or is gone.
                    return self.read_whole(log).await;
                }
                log.take(log.next(), value, false, now);
                taken += 1;
            }
            if taken < AHEAD {
                return Ok(());
            }
        }
    }

    async fn read_whole(&self, log: &mut Log) -> Result<(), StoreError> {
        let Loaded { entries, skipped, .. } = self.store.load(&self.ring).await?;
        log.take_whole(entries, skipped, self.clock.now());
        Ok(())
    }

    /// Puts back what the store has lost, and removes what has ended.
    ///
    /// # Errors
    ///
    /// If the store can't be written in time. What is left is done at another refresh.
    pub(super) async fn write(&self, log: &mut Log) -> Result<(), StoreError> {
        let written = within(self.polling.insert_timeout, "writing an entry", async {
            let mut restored = 0;
            while let Some(lost) = log.lost() {
                restored += 1;
                self.append(log, &lost).await?;
            }
            if restored > 0 {
                let ring = &*self.ring;
                tracing::warn!(ring, restored, "the store had lost what was ended; it is put back");
            }
            for ended in log.ended(self.clock.now()) {
                self.store.remove(&self.ring, &record::name(ended.1)).await?;
                log.forget(ended);
            }
            Ok(())
        });
        let written = written.await;
        if written.is_err() {
            log.distrust();
        }
        written
    }

    /// Records marks, which fit into one entry.
    ///
    /// # Errors
    ///
    /// If the store can't be written in time. They may have been recorded all the same.
    pub(super) async fn record(&self, log: &mut Log, marks: Vec<Mark>) -> Result<(), StoreError> {
        let limit = self.polling.insert_timeout;
        let recorded =
            within(limit, "writing an entry", self.append(log, &Lost::Marks(marks))).await;
        if recorded.is_err() {
            log.distrust();
        }
        recorded
    }

    /// Appends an entry to the log, after all that others append meanwhile.
    async fn append(&self, log: &mut Log, content: &Lost) -> Result<(), StoreError> {
        loop {
            let now = self.clock.now();
            // Where it was may be so long ago that the next place is free again.
            if log.is_lost(now) {
                self.read_whole(log).await?;
            }
            let (position, last) = (log.next(), log.last.clone());
            let entry = self.entry(log, content, position, now);
            match self.store.insert(&self.ring, &entry).await? {
                Insertion::Inserted => {}
                Insertion::Exists(value) if value == entry.value => {}
                Insertion::Exists(value) => {
                    log.take(position, value, false, now);
                    self.read_new(log).await?;
                    continue;
                }
                Insertion::Unreadable(reason) => {
                    log.pass(position, reason);
                    continue;
                }
            }
            // If the store has forgotten the entry before, nobody would ever find this one.
            if self.holds(last.as_ref()).await? {
                log.take(position, entry.value, true, now);
                return Ok(());
            }
            self.store.remove(&self.ring, &entry.name).await?;
            self.read_whole(log).await?;
        }
    }

    fn entry(&self, log: &Log, content: &Lost, position: u64, now: Timestamp) -> Entry {
        match content {
            Lost::Newer(value) => Entry { name: record::name(position), value: value.clone() },
            Lost::Marks(marks) => {
                let known = log.version.max(self.claimed.load(Ordering::Relaxed));
                let now = now.as_unix_millis().try_into().unwrap_or_default();
                let version = (known + 1).max(now);
                Record { version, marks: marks.clone() }.to_entry(position)
            }
        }
    }

    async fn holds(&self, last: Option<&Last>) -> Result<bool, StoreError> {
        match last {
            Some(last) if last.value.is_some() => {
                let names = [record::name(last.position)];
                let Loaded { entries, .. } = self.store.read(&self.ring, &names).await?;
                Ok(is_last(entries.into_iter().next(), last))
            }
            _ => Ok(true),
        }
    }
}

fn is_last(entry: Option<Entry>, last: &Last) -> bool {
    let value = entry.as_ref().map(|entry| (record::position(&entry.name), &entry.value));
    value == last.value.as_ref().map(|value| (Some(last.position), value))
}

/// How many entries are read at once.
const AHEAD: usize = 64;
/// After so many intervals the log is read as a whole, whatever it seems.
pub(super) const WHOLE_EVERY: u32 = 40;
