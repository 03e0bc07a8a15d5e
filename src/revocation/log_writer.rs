//! Reading and writing the log of revocations in a store, on which all replicas write.
//!
//! The log is a chain of write-once entries, numbered without gaps. A replica that has read entry n
//! inserts n + 1 *if that is absent*; of several one succeeds, and the others read its entry and try
//! the next number. So the writer of every entry knew all entries before it, the order of commits is
//! the order of versions, and a reader that has seen a version has seen all up to it. A version is the
//! time in milliseconds, and higher than all before it, so that versions also rise after a store has
//! lost everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::revocation::log::{LEAST_RETENTION, Last, Log, Lost, PLAUSIBLE};
use crate::revocation::record;
use crate::revocation::set::Revocation;
use crate::store::contract::{Entry, Insertion, Loaded, Store, StoreError};
use crate::store::polling::{Polling, within};
use crate::store::writes::Writes;

/// The reader and writer of the log.
#[derive(Debug)]
pub(crate) struct LogWriter {
    /// The log's place in the store.
    pub(crate) ring: Arc<str>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) polling: Polling,
    pub(crate) clock: Arc<dyn Clock>,
    /// The highest version that a verified token has claimed.
    pub(crate) claimed: AtomicU64,
    /// How long this process needs revocations to be kept, in seconds.
    pub(crate) needed: AtomicU64,
    /// Whether the store takes writes.
    pub(crate) writes: Writes,
}

impl LogWriter {
    /// Reads what is new in the log.
    ///
    /// # Errors
    ///
    /// If the store can't be read in time. What was read until then is taken in.
    pub(crate) async fn read(&self, log: &mut Log) -> Result<(), StoreError> {
        log.keep_for(self.needed());
        let read = within(self.polling.timeout, "reading the log", self.read_new(log)).await;
        if read.is_err() {
            log.distrust();
            if let Some(founding) = &mut log.founding {
                founding.restart_wait();
            }
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
            let marker = log.founding.as_ref().map(|_| record::founded());
            let ahead = (last.position..).take(AHEAD + 1).chain(log.gaps.iter().copied());
            let names: Vec<_> = ahead.map(record::name).chain(marker.clone()).collect();
            let Loaded { mut entries, .. } = self.store.read(&self.ring, &names).await?;
            if marker.is_some_and(|marker| entries.iter().all(|entry| entry.name != marker)) {
                return self.read_whole(log).await;
            }
            entries.retain(|entry| record::position(&entry.name).is_some());
            if entries.iter().any(|entry| record::position(&entry.name) < Some(last.position)) {
                // Written by one who did not know how far the log goes.
                return self.read_whole(log).await;
            }
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
                log.take(log.next(), value, now);
                taken += 1;
            }
            if taken < AHEAD {
                return Ok(());
            }
            // A store may never wait.
            tokio::task::yield_now().await;
        }
    }

    async fn read_whole(&self, log: &mut Log) -> Result<(), StoreError> {
        let began = Instant::now();
        let Loaded { entries, skipped, .. } = self.store.load(&self.ring).await?;
        log.take_whole(entries, skipped, began, self.clock.now());
        Ok(())
    }

    /// Restores what the store has lost, and removes what has expired.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be written in time. The rest is done at another refresh.
    pub(crate) async fn write(&self, log: &mut Log) -> Result<(), StoreError> {
        let written = within(self.polling.insert_timeout, "writing an entry", async {
            let (now, writing) = (self.clock.now(), (&*self.store, self.polling.insert_timeout));
            if let Some(founding) = &mut log.founding {
                founding.announce(writing, now, true).await?;
                founding.clean(writing, now).await?;
                if log.wait.is_some() {
                    return Ok(());
                }
            }
            self.announce(log).await?;
            let mut restored = 0;
            while let Some(lost) = log.lost() {
                restored += 1;
                self.append(log, &lost).await?;
                tokio::task::yield_now().await;
            }
            if restored > 0 {
                let ring = &*self.ring;
                tracing::warn!(ring, restored, "the store lost revocations; restored them");
            }
            if log.founding.is_some() && !log.marked {
                // After all else, so that a newcomer which finds it has all.
                self.store.insert(&self.ring, &record::founded_entry()).await?;
                log.marked = true;
                if let Some(founding) = log.founding.as_mut().filter(|it| !it.is_settled()) {
                    founding.look_again_now();
                }
            }
            for ended in log.ended(self.clock.now()) {
                self.store.remove(&self.ring, &record::name(ended.1)).await?;
                self.writes.succeeded();
                log.forget(ended);
            }
            self.writes.probe(&*self.store).await
        });
        let written = written.await;
        self.noted(log, written)
    }

    /// Says how long this process needs revocations to be kept, where that is longer than others know.
    async fn announce(&self, log: &mut Log) -> Result<(), StoreError> {
        let needed = self.needed();
        if needed > LEAST_RETENTION && needed > log.announced {
            let entry = record::retention_entry(needed);
            if self.store.insert(&self.ring, &entry).await? == Insertion::Inserted {
                self.writes.succeeded();
            }
            log.announced = needed;
        }
        Ok(())
    }

    /// Keeps revocations for at least so long, here and, after the next refresh, on every replica.
    pub(crate) fn need(&self, retention: Duration) {
        // Whole seconds, rounded up.
        let seconds = retention.as_secs().saturating_add(u64::from(retention.subsec_nanos() > 0));
        self.needed.fetch_max(seconds, Ordering::Relaxed);
    }

    fn needed(&self) -> Duration {
        Duration::from_secs(self.needed.load(Ordering::Relaxed))
    }

    /// Remembers a failed write.
    fn noted(&self, log: &mut Log, written: Result<(), StoreError>) -> Result<(), StoreError> {
        if let Err(error) = &written {
            log.distrust();
            self.writes.failed(error);
        }
        written
    }

    /// Records revocations, which fit into one entry.
    ///
    /// # Errors
    ///
    /// If the store can't be written in time. They may have been recorded all the same.
    pub(crate) async fn record(
        &self,
        log: &mut Log,
        revocations: Vec<Revocation>,
    ) -> Result<(), StoreError> {
        let limit = self.polling.insert_timeout;
        log.keep_for(self.needed());
        let recorded =
            within(limit, "writing an entry", self.append(log, &Lost::RevocationSet(revocations)))
                .await;
        self.noted(log, recorded)
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
            if position >= record::MAX_POSITION {
                let last = record::name(position.saturating_sub(1));
                let context =
                    format!("the log is full: entry {last} has the last position; remove it");
                return Err(StoreError::new(context));
            }
            let entry = self.entry(log, content, position, now)?;
            match self.store.insert(&self.ring, &entry).await? {
                Insertion::Inserted => self.writes.succeeded(),
                Insertion::Exists(value) if value == entry.value => {}
                Insertion::Exists(value) => {
                    log.take(position, value, now);
                    self.read_new(log).await?;
                    // A store may never wait, and this has to be given up in time.
                    tokio::task::yield_now().await;
                    continue;
                }
                Insertion::Unreadable(reason) => {
                    log.pass(position, reason);
                    tokio::task::yield_now().await;
                    continue;
                }
            }
            // If the store has forgotten the entry before, nobody would ever find this one.
            if self.holds(last.as_ref()).await? {
                log.own.insert(position);
                log.take(position, entry.value, now);
                return Ok(());
            }
            self.store.remove(&self.ring, &entry.name).await?;
            self.read_whole(log).await?;
            tokio::task::yield_now().await;
        }
    }

    /// The entry of that content, in a version above all that is known.
    ///
    /// # Errors
    ///
    /// If others could not read it.
    fn entry(
        &self,
        log: &Log,
        content: &Lost,
        position: u64,
        now: Timestamp,
    ) -> Result<Entry, StoreError> {
        match content {
            Lost::Newer(value) => Ok(Entry { name: record::name(position), value: value.clone() }),
            Lost::RevocationSet(revocations) => {
                let known = log.version.max(self.claimed.load(Ordering::Relaxed));
                let millis = now.as_unix_millis().try_into().unwrap_or_default();
                let version = known.saturating_add(1).max(millis);
                let highest = record::highest_version(now, PLAUSIBLE);
                if version > highest {
                    let context = format!(
                        "the next version of the revocations would be {version}, above the maximum \
                         {highest} by this replica's clock: correct the clock and restart the replica"
                    );
                    return Err(StoreError::new(context));
                }
                record::entry(position, version, revocations.clone(), log.retention)
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
pub(crate) const WHOLE_EVERY: u32 = 40;
