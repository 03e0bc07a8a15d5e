//! The log of revocations as one replica has read it: how far, what it says, and what the store has lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::record::{self, Parsed};
use crate::clock::Timestamp;
use crate::crypto::secret_bytes::SecretBytes;
use crate::revocation::set::{Revocation, RevocationSet};
use crate::store::contract::{Entry, EntryName, Skipped};
use crate::store::founding::note::Notes;
use crate::store::founding::{Content, Founding, Wait};

type Value = SecretBytes;

/// One replica's copy of the log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// How long a reader can continue from the last entry that it knows. Entries stay as much longer
    /// than their revocations, so that nobody can miss that one was there.
    keep: Duration,
    /// How long a revocation is kept from when it was made: the longest that anyone who is known needs
    /// it. It never gets shorter while a replica runs.
    pub(crate) retention: Duration,
    /// The longest that an entry of the store asks for.
    pub(crate) announced: Duration,
    /// The revocations in force.
    pub(crate) revocations: RevocationSet,
    /// All revocations up to this version are in.
    pub(crate) version: u64,
    /// How often the revocations have changed.
    pub(crate) changes: u64,
    /// The last entry that was read, as it stood.
    pub(crate) last: Option<Last>,
    /// Entries of a newer format, to be kept.
    pub(crate) newer: Vec<Newer>,
    /// Unreadable entries.
    pub(crate) skipped: Vec<Skipped>,
    /// Content that the store has lost, while it is restored.
    pub(crate) loss: Loss,
    /// When this replica removes which entries of the store.
    removals: BTreeSet<(Timestamp, u64)>,
    /// The entries that this replica wrote, and so is the first to remove.
    pub(crate) own: BTreeSet<u64>,
    /// When the log was last read as a whole; `None` after a failure, when anything can have
    /// happened.
    whole_at: Option<Timestamp>,
    /// Whether entries are being restored: then the log is read as a whole once more.
    repairing: bool,
    /// This replica's part in the founding of a place that other processes reach, too.
    pub(crate) founding: Option<Founding>,
    /// Why it waits before it relies on what it has read.
    pub(crate) wait: Option<Wait>,
    /// Whether the marker that is restored last was there.
    pub(crate) marked: bool,
    /// When the earliest revocation was made.
    earliest: Option<Timestamp>,
    /// The version of the entry before the next one.
    preceding: u64,
    /// Places before the last entry where one is missing that can't have been removed yet: something
    /// was put behind the end of the log, and who has not seen that writes here.
    pub(crate) gaps: Vec<u64>,
}

/// A replica's position in the log. The value reveals a log that was lost and started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) position: u64,
    /// `None` if the place holds no entry.
    pub(crate) value: Option<Value>,
}

/// An entry that only a newer version understands.
#[derive(Clone, Debug)]
pub(crate) struct Newer {
    pub(crate) format: u64,
    value: Value,
    until: Option<Timestamp>,
}

/// Content that the store has lost, and its content since.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    /// With the version that each has to be restated in, at least.
    revocations: Vec<(u64, Revocation)>,
    newer: Vec<Newer>,
    /// `None` if it has not been read as a whole.
    stored: Option<RevocationSet>,
}

/// Content that is restored as one entry.
pub(crate) enum Lost {
    RevocationSet(Vec<Revocation>),
    Newer(Value),
}

impl Log {
    pub(crate) fn new(keep: Duration) -> Self {
        // So long that who learns late that others keep them longer has not dropped any.
        let retention = LEAST_RETENTION.max(keep.saturating_mul(2));
        Self { keep, retention, ..Self::default() }
    }

    /// Keeps revocations for at least so long.
    pub(crate) fn keep_for(&mut self, retention: Duration) {
        self.retention = self.retention.max(retention);
    }

    fn is_over(&self, revocation: &Revocation, now: Timestamp) -> bool {
        revocation.made() + self.retention <= now
    }

    /// The place of the next entry.
    pub(crate) fn next(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.position + 1)
    }

    /// Whether the log has to be read as a whole before new entries are read: at first, after a failure, and
    /// now and then.
    pub(crate) fn is_lost(&self, now: Timestamp) -> bool {
        self.whole_at.is_none_or(|at| now - at >= self.keep || at > now)
    }

    /// The same, for a reader, which also looks for the marker until it has seen it.
    pub(crate) fn is_due_whole(&self, now: Timestamp) -> bool {
        let is_newcomer = self.founding.as_ref().is_some_and(|founding| !founding.is_settled());
        self.last.is_none() || self.repairing || is_newcomer || self.is_lost(now)
    }

    /// After a failure anything can have happened.
    pub(crate) fn distrust(&mut self) {
        self.whole_at = None;
    }

    /// Takes the next entry in; when it was made.
    pub(crate) fn take(&mut self, position: u64, value: Value, now: Timestamp) -> Timestamp {
        let mut made = Timestamp::MAX;
        match record::parse(&value) {
            Parsed::Record(record) => {
                made = record.made();
                let mut version = record.rv;
                if version > record::highest_version(now, PLAUSIBLE) {
                    // Else nothing could be recorded after it. Its revocations hold all the same.
                    let name = record::name(position).to_string();
                    self.skip(name, format!("its rv is too far ahead of the clock: {version}"));
                    version = self.preceding + 1;
                }
                for revocation in &record.revocations {
                    self.take_revocation(version, revocation, now);
                }
                self.preceding = version;
                self.version = self.version.max(version);
            }
            Parsed::Newer { format, until: ends } => {
                let until = ends.unwrap_or(Timestamp::MAX);
                made = ends.map_or(made, |ends| ends - self.retention);
                if until > now && !self.newer.iter().any(|newer| newer.value == value) {
                    self.take_newer(&record::name(position), format, &value, ends);
                }
            }
            Parsed::Corrupt(reason) => self.skip(record::name(position).to_string(), reason),
        }
        self.last = Some(Last { position, value: Some(value) });
        if made < Timestamp::MAX {
            let grace = if self.own.contains(&position) { Duration::ZERO } else { GRACE };
            self.removals.insert((made + self.keep + grace, position));
        }
        made
    }

    fn take_revocation(&mut self, version: u64, revocation: &Revocation, now: Timestamp) {
        if self.is_over(revocation, now) {
            return;
        }
        if let Some(stored) = &mut self.loss.stored {
            stored.insert(version, revocation);
        }
        // Where versions have gone back, the store had lost some; tokens that this replica has
        // issued meanwhile claim to know this revocation.
        if version <= self.version && !self.revocations.covers(version, revocation) {
            self.loss.revocations.push((self.version + 1, revocation.clone()));
        }
        self.revocations.insert(version, revocation);
        self.changes += 1;
        let made = revocation.made();
        self.earliest = Some(self.earliest.map_or(made, |earliest| earliest.min(made)));
    }

    /// Skips a place that holds no entry.
    pub(crate) fn pass(&mut self, position: u64, reason: String) {
        self.skip(record::name(position).to_string(), reason);
        self.last = Some(Last { position, value: None });
    }

    /// Takes in the log as a whole, and finds what the store has lost of it.
    pub(crate) fn take_whole(
        &mut self,
        entries: Vec<Entry>,
        skipped: Vec<Skipped>,
        began: Instant,
        now: Timestamp,
    ) {
        let held = self.revocations.clone();
        self.removals.clear();
        let newer = std::mem::take(&mut self.newer);
        self.skipped = skipped;
        self.loss = Loss { stored: Some(RevocationSet::default()), ..Loss::default() };
        self.last = None;
        (self.announced, self.preceding) = (Duration::ZERO, 0);
        let (mut found, mut notes) = (BTreeMap::new(), Notes::default());
        self.marked = false;
        for entry in entries {
            match (record::position(&entry.name), notes.take(&entry)) {
                (Some(position), _) => drop(found.insert(position, entry.value)),
                (None, Some(Ok(()))) => {}
                (None, Some(Err(reason))) => self.skip(entry.name.to_string(), reason),
                (None, None) => self.take_stranger(&entry.name, &entry.value),
            }
        }
        // Whether this is all that there is, or a live replica may restore more.
        if let Some(founding) = &mut self.founding {
            let content = match (self.marked, found.is_empty() && !founding.is_settled()) {
                (true, _) => Content::Whole,
                (false, true) => Content::Empty,
                (false, false) => Content::Part,
            };
            self.wait = founding.observe(began, content, notes, now);
        }
        self.own.retain(|position| found.contains_key(position));
        self.gaps.clear();
        let (mut next, mut is_over) = (0, false);
        for (position, value) in found {
            if position > next && !is_over && self.gaps.len() < MOST_GAPS {
                self.gaps.push(next);
            }
            let made = self.take(position, value, now);
            (next, is_over) = (position + 1, made + self.retention <= now);
        }
        let is_lost = |(version, revocation): &(u64, Revocation)| {
            let stored = self.loss.stored.as_ref();
            !self.is_over(revocation, now)
                && !stored.is_some_and(|stored| stored.covers(*version, revocation))
        };
        let lost: Vec<_> = held.iter().filter(is_lost).collect();
        self.loss.revocations.extend(lost);
        for newer in newer {
            let is_over = newer.until.is_some_and(|until| until <= now);
            if !is_over && !self.newer.iter().any(|found| found.value == newer.value) {
                self.loss.newer.push(newer.clone());
                self.newer.push(newer);
            }
        }
        self.whole_at = Some(now);
        self.repairing = false;
    }

    /// Something beside the log.
    fn take_stranger(&mut self, name: &EntryName, value: &Value) {
        if name.is_probe() {
            return;
        }
        if *name == record::founded() {
            self.marked = true;
            return;
        }
        if let Some(retention) = record::retention(name) {
            self.announced = self.announced.max(retention);
            self.keep_for(retention);
            return;
        }
        match record::parse(value) {
            Parsed::Newer { format, until } => {
                self.take_newer(name, format, value, until);
            }
            _ => self.skip(name.to_string(), "nothing of this log has such a name".to_owned()),
        }
    }

    /// Keeps an entry that this version does not understand.
    fn take_newer(
        &mut self,
        name: &EntryName,
        format: u64,
        value: &Value,
        until: Option<Timestamp>,
    ) {
        self.skip(
            name.to_string(),
            format!("written by a newer version (format {format}): upgrade this replica"),
        );
        self.newer.push(Newer { format, value: value.clone(), until });
    }

    fn skip(&mut self, name: String, reason: String) {
        if self.skipped.len() < MOST_SKIPPED {
            self.skipped.push(Skipped { name, reason });
        }
    }

    /// The content to restore next, unless another replica has. Then the log is read as a whole
    /// again, to see that it is there.
    pub(crate) fn lost(&mut self) -> Option<Lost> {
        if self.loss.newer.is_empty() && self.loss.revocations.is_empty() {
            self.loss = Loss::default();
            return None;
        }
        self.repairing = true;
        if let Some(newer) = self.loss.newer.pop() {
            return Some(Lost::Newer(newer.value));
        }
        let (mut revocations, mut size) = (Vec::new(), 0);
        while let Some((version, revocation)) = self.loss.revocations.pop() {
            if self.loss.stored.as_ref().is_some_and(|stored| stored.covers(version, &revocation)) {
                continue;
            }
            size += record::size(&revocation);
            if size > record::CAPACITY && !revocations.is_empty() {
                self.loss.revocations.push((version, revocation));
                break;
            }
            revocations.push(revocation);
        }
        (!revocations.is_empty()).then_some(Lost::RevocationSet(revocations))
    }

    /// Drops the revocations that hit nothing any more.
    pub(crate) fn prune(&mut self, now: Timestamp) {
        if self.earliest.is_some_and(|earliest| earliest + self.retention <= now) {
            self.earliest = self.revocations.prune(now - self.retention);
            self.changes += 1;
            self.newer.retain(|newer| newer.until.is_none_or(|until| until > now));
        }
    }

    /// The entries that are to be removed from the store: never the last, from which the log goes
    /// on, and another's only if that replica seems to be gone.
    pub(crate) fn ended(&self, now: Timestamp) -> Vec<(Timestamp, u64)> {
        let last = self.last.as_ref().map(|last| last.position);
        let ended = self.removals.iter().take_while(|(at, _)| *at + self.retention <= now);
        ended.filter(|(_, position)| Some(*position) != last).copied().take(MOST_REMOVED).collect()
    }

    pub(crate) fn forget(&mut self, removed: (Timestamp, u64)) {
        self.removals.remove(&removed);
        self.own.remove(&removed.1);
    }
}

/// How long revocations are kept at least: as long as the default settings need them, so that who has
/// those need not say so.
pub(crate) const LEAST_RETENTION: Duration = Duration::from_secs((24 + 24) * 3600 + 4 * 60);
/// How far ahead of the clock a version may be.
pub(crate) const PLAUSIBLE: Duration = Duration::from_secs(2 * 24 * 3600);
/// How many places are watched for entries that came late.
const MOST_GAPS: usize = 64;
/// How many unreadable entries are reported.
const MOST_SKIPPED: usize = 100;
/// How many entries are removed at once, so that nothing waits for it.
const MOST_REMOVED: usize = 64;
/// How long an entry is left to be removed by the replica that wrote it.
const GRACE: Duration = Duration::from_secs(60 * 60);
