//! The log of marks as one replica has read it: how far, what it says, and what the store has lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use zeroize::Zeroizing;

use super::marks::{Mark, Marks};
use super::record::{self, Parsed};
use crate::clock::Timestamp;
use crate::store::{Entry, EntryName, Skipped};

type Value = Zeroizing<Vec<u8>>;

/// One replica's copy of the log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// How long a reader can go on from the last entry that it knows. Entries stay as much longer
    /// than their marks, so that nobody can miss that one was there.
    keep: Duration,
    /// What is in force.
    pub(super) marks: Marks,
    /// All marks up to this version are in.
    pub(super) version: u64,
    /// How often the marks have changed.
    pub(super) changes: u64,
    /// The last entry that was read, as it stood.
    pub(super) last: Option<Last>,
    /// Entries of a newer format, to be kept.
    pub(super) newer: Vec<Newer>,
    /// What could not be read.
    pub(super) skipped: Vec<Skipped>,
    /// What the store has lost, while that is put back.
    pub(super) loss: Loss,
    /// When this replica removes which entries of the store.
    removals: BTreeSet<(Timestamp, u64)>,
    /// The entries that this replica wrote, and so is the first to remove.
    own: BTreeSet<u64>,
    /// When the log was last read as a whole; `None` after a failure, when anything can have
    /// happened.
    whole_at: Option<Timestamp>,
    /// Whether something is being put back: then it is read as a whole once more.
    repairing: bool,
    prune_at: Option<Timestamp>,
}

/// Where in the log a replica is. The value tells a log that was lost and begun anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) position: u64,
    /// `None` where something stands that is no entry.
    pub(super) value: Option<Value>,
}

/// An entry that only a newer version understands.
#[derive(Clone, Debug)]
pub(super) struct Newer {
    pub(super) format: u64,
    value: Value,
    until: Option<Timestamp>,
}

/// What the store has lost, and what it says since.
#[derive(Debug, Default)]
pub(super) struct Loss {
    /// With the version that each has to be restated in, at least.
    marks: Vec<(u64, Mark)>,
    newer: Vec<Newer>,
    /// `None` if it has not been read as a whole.
    stored: Option<Marks>,
}

/// What is put back as one entry.
pub(super) enum Lost {
    Marks(Vec<Mark>),
    Newer(Value),
}

impl Log {
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, ..Self::default() }
    }

    /// The place of the next entry.
    pub(super) fn next(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.position + 1)
    }

    /// Whether the log has to be read as a whole before it goes on: at first, after a failure, and
    /// now and then.
    pub(super) fn is_lost(&self, now: Timestamp) -> bool {
        self.whole_at.is_none_or(|at| now - at >= self.keep || at > now)
    }

    /// The same, for a reader.
    pub(super) fn is_due_whole(&self, now: Timestamp) -> bool {
        self.last.is_none() || self.repairing || self.is_lost(now)
    }

    /// After a failure anything can have happened.
    pub(super) fn distrust(&mut self) {
        self.whole_at = None;
    }

    /// Takes the next entry in.
    pub(super) fn take(&mut self, position: u64, value: Value, own: bool, now: Timestamp) {
        let mut until = Timestamp::MAX;
        match record::parse(&value) {
            Parsed::Record(record) => {
                until = record.until();
                for mark in &record.marks {
                    self.take_mark(record.version, mark, now);
                }
                self.version = self.version.max(record.version);
            }
            Parsed::Newer { format, until: ends } => {
                until = ends.unwrap_or(until);
                if until > now && !self.newer.iter().any(|newer| newer.value == value) {
                    let newer = Newer { format, value: value.clone(), until: ends };
                    self.newer.push(newer);
                }
            }
            Parsed::Corrupt(reason) => self.skip(record::name(position).to_string(), reason),
        }
        self.last = Some(Last { position, value: Some(value) });
        if own {
            self.own.insert(position);
        }
        let grace = if self.own.contains(&position) { Duration::ZERO } else { GRACE };
        if until < Timestamp::MAX {
            self.removals.insert((until + self.keep + grace, position));
        }
    }

    fn take_mark(&mut self, version: u64, mark: &Mark, now: Timestamp) {
        if mark.until() <= now {
            return;
        }
        if let Some(stored) = &mut self.loss.stored {
            stored.insert(version, mark);
        }
        // Where versions have gone back, the store had lost some; tokens that this replica has
        // issued meanwhile claim to know this mark.
        if version <= self.version && !self.marks.say(version, mark) {
            self.loss.marks.push((self.version + 1, mark.clone()));
        }
        self.marks.insert(version, mark);
        self.changes += 1;
        let until = mark.until();
        self.prune_at = Some(self.prune_at.map_or(until, |at| at.min(until)));
    }

    /// Goes past a place where something stands that is no entry.
    pub(super) fn pass(&mut self, position: u64, reason: String) {
        self.skip(record::name(position).to_string(), reason);
        self.last = Some(Last { position, value: None });
    }

    /// Takes in the log as a whole, and finds what the store has lost of it.
    pub(super) fn take_whole(
        &mut self,
        entries: Vec<Entry>,
        skipped: Vec<Skipped>,
        now: Timestamp,
    ) {
        let held = self.marks.clone();
        self.removals.clear();
        let newer = std::mem::take(&mut self.newer);
        self.skipped = skipped;
        self.loss = Loss { stored: Some(Marks::default()), ..Loss::default() };
        self.last = None;
        let mut found = BTreeMap::new();
        for Entry { name, value } in entries {
            match record::position(&name) {
                Some(position) => drop(found.insert(position, value)),
                None => self.take_stranger(&name, &value),
            }
        }
        self.own.retain(|position| found.contains_key(position));
        for (position, value) in found {
            self.take(position, value, false, now);
        }
        let Loss { marks, stored, .. } = &mut self.loss;
        let is_lost = |(version, mark): &(u64, Mark)| {
            let is_stored = stored.as_ref().is_some_and(|stored| stored.say(*version, mark));
            mark.until() > now && !is_stored
        };
        marks.extend(held.iter().filter(is_lost));
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
        match record::parse(value) {
            Parsed::Newer { format, until } => {
                self.newer.push(Newer { format, value: value.clone(), until });
            }
            _ => self.skip(name.to_string(), "nothing of this log has such a name".to_owned()),
        }
    }

    fn skip(&mut self, name: String, reason: String) {
        if self.skipped.len() < MOST_SKIPPED {
            self.skipped.push(Skipped { name, reason });
        }
    }

    /// What is to be put back next, unless another replica has. Then the log is read as a whole
    /// again, to see that it is there.
    pub(super) fn lost(&mut self) -> Option<Lost> {
        if self.loss.newer.is_empty() && self.loss.marks.is_empty() {
            self.loss = Loss::default();
            return None;
        }
        self.repairing = true;
        if let Some(newer) = self.loss.newer.pop() {
            return Some(Lost::Newer(newer.value));
        }
        let (mut marks, mut size) = (Vec::new(), 0);
        while let Some((version, mark)) = self.loss.marks.pop() {
            if self.loss.stored.as_ref().is_some_and(|stored| stored.say(version, &mark)) {
                continue;
            }
            size += record::size(&mark);
            if size > record::CAPACITY && !marks.is_empty() {
                self.loss.marks.push((version, mark));
                break;
            }
            marks.push(mark);
        }
        (!marks.is_empty()).then_some(Lost::Marks(marks))
    }

    /// Drops the marks that hit nothing any more.
    pub(super) fn prune(&mut self, now: Timestamp) {
        if self.prune_at.is_some_and(|at| at <= now) {
            self.prune_at = self.marks.prune(now);
            self.changes += 1;
            self.newer.retain(|newer| newer.until.is_none_or(|until| until > now));
        }
    }

    /// The entries that are to be removed from the store: never the last, from which the log goes
    /// on, and another's only if that replica seems to be gone.
    pub(super) fn ended(&self, now: Timestamp) -> Vec<(Timestamp, u64)> {
        let last = self.last.as_ref().map(|last| last.position);
        let ended = self.removals.iter().take_while(|(at, _)| *at <= now);
        ended.filter(|(_, position)| Some(*position) != last).copied().take(MOST_REMOVED).collect()
    }

    pub(super) fn forget(&mut self, removed: (Timestamp, u64)) {
        self.removals.remove(&removed);
        self.own.remove(&removed.1);
    }
}

/// How many of the entries that can't be read are told.
const MOST_SKIPPED: usize = 100;
/// How many entries are removed at once, so that nothing waits for it.
const MOST_REMOVED: usize = 64;
/// How long an entry is left to be removed by the replica that wrote it.
const GRACE: Duration = Duration::from_secs(60 * 60);
