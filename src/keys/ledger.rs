//! What a replica knows of a ring's keys. Knowledge only grows: what the store says is merged with
//! what is held, so that a purged or an older store takes nothing away.

use std::collections::{BTreeMap, HashSet};

use super::record::{Birth, KeyMark, KeyRecord, Statement};
use super::rotation::ScheduledKey;
use crate::clock::Timestamp;

/// The union of all statements seen, less the keys whose life has ended.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// In the order in which keys sign: the earliest ring first, then by generation. Two keys of
    /// one generation exist only after a store was purged or restored.
    records: BTreeMap<Place, KeyRecord>,
    retired: BTreeMap<String, Timestamp>,
    revoked: BTreeMap<String, Timestamp>,
    /// Born in the store, perhaps without a key yet.
    birth: Option<Birth>,
    highest_generation: Option<u64>,
}

type Place = (Birth, u64, Timestamp, String);

impl Ledger {
    /// Takes a statement in.
    ///
    /// # Errors
    ///
    /// If it contradicts what is held: the same key under another generation.
    pub(crate) fn absorb(&mut self, statement: Statement) -> Result<(), String> {
        match statement {
            Statement::Birth(birth) => {
                if self.birth.as_ref().is_none_or(|held| birth < *held) {
                    self.birth = Some(birth);
                }
            }
            Statement::Key(record) => {
                let key_id = record.key.key_id().to_owned();
                let place =
                    (record.birth.clone(), record.generation, record.times.published, key_id);
                let elsewhere = |held: &Place| held.3 == place.3 && *held != place;
                if self.records.keys().any(elsewhere) {
                    return Err("its key stands under another generation".to_owned());
                }
                self.highest_generation = self.highest_generation.max(Some(record.generation));
                // Held records stay: they are immutable, and a change of one is not believed.
                self.records.entry(place).or_insert(*record);
            }
            Statement::Retire(mark) => take_mark(&mut self.retired, mark),
            Statement::Revoke(mark) => take_mark(&mut self.revoked, mark),
        }
        Ok(())
    }

    /// The ring that new keys belong to: the earliest with keys, else the one born in the store.
    pub(crate) fn birth(&self) -> Option<&Birth> {
        let with_keys = self.records.keys().next().map(|(birth, ..)| birth);
        with_keys.or(self.birth.as_ref())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The number of the next key, which no key ever had.
    pub(crate) fn next_generation(&self) -> u64 {
        self.highest_generation.map_or(0, |highest| highest + 1)
    }

    /// Says that a generation is taken by something unreadable.
    pub(crate) fn skip_generation(&mut self, generation: u64) {
        self.highest_generation = self.highest_generation.max(Some(generation));
    }

    /// The keys that may sign, in order: those of the earliest ring; and then those that only
    /// verify. Says how many may sign.
    pub(crate) fn keys(&self) -> (Vec<(&KeyRecord, ScheduledKey)>, usize) {
        let scheduled = |record: &KeyRecord| ScheduledKey {
            generation: record.generation,
            times: record.times,
            retire_at: self.retired.get(record.key.key_id()).copied(),
            revoked: self.revoked.contains_key(record.key.key_id()),
        };
        let keys: Vec<_> =
            self.records.values().map(|record| (record, scheduled(record))).collect();
        let first = keys.first().map(|(record, _)| &record.birth);
        let signing = keys.iter().take_while(|(record, _)| Some(&record.birth) == first).count();
        (keys, signing)
    }

    /// The keys that may sign, as the schedule sees them.
    pub(crate) fn schedule(&self) -> Vec<ScheduledKey> {
        let (keys, signing) = self.keys();
        keys.into_iter().take(signing).map(|(_, scheduled)| scheduled).collect()
    }

    /// The IDs of the keys that are not revoked.
    pub(crate) fn unrevoked(&self) -> Vec<String> {
        let key_ids = self.records.keys().map(|place| &place.3);
        key_ids.filter(|key_id| !self.revoked.contains_key(*key_id)).cloned().collect()
    }

    pub(crate) fn record(&self, key_id: &str) -> Option<&KeyRecord> {
        self.records.values().find(|record| record.key.key_id() == key_id)
    }

    /// What is held and was not among the store's `seen` statements, and so has to be put back.
    pub(crate) fn missing(&self, seen: &Seen, margin: Timestamp) -> Vec<Statement> {
        if self.is_empty() {
            return Vec::new();
        }
        let birth = self.birth().into_iter().filter(|_| !seen.birth).cloned();
        let birth = birth.map(Statement::Birth);
        let records = self.records.values();
        let records = records
            .filter(|record| margin < record.times.verifies_until)
            .filter(|record| !seen.keys.contains(record.key.key_id()))
            .map(|record| Statement::Key(Box::new(record.clone())));
        birth
            .chain(records)
            .chain(missing_marks(&self.retired, &seen.retired, Statement::Retire))
            .chain(missing_marks(&self.revoked, &seen.revoked, Statement::Revoke))
            .collect()
    }

    /// Forgets the keys whose life ended before `margin`, and says what is to be removed from the
    /// store: marks first, so that none outlives its key.
    pub(crate) fn prune(&mut self, margin: Timestamp) -> Vec<Statement> {
        let mut ended = Vec::new();
        self.records.retain(|place, record| {
            let lives = margin < record.times.verifies_until;
            if !lives {
                let kid = &place.3;
                let mark = |at| KeyMark { kid: kid.clone(), at };
                ended.extend(self.retired.remove(kid).map(|at| Statement::Retire(mark(at))));
                ended.extend(self.revoked.remove(kid).map(|at| Statement::Revoke(mark(at))));
                ended.push(Statement::Key(Box::new(record.clone())));
            }
            lives
        });
        ended
    }
}

/// Which statements a store held when it was last read.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    birth: bool,
    keys: HashSet<String>,
    retired: HashSet<String>,
    revoked: HashSet<String>,
}

impl Seen {
    pub(crate) fn note(&mut self, statement: &Statement) {
        match statement {
            Statement::Birth(_) => self.birth = true,
            Statement::Key(record) => _ = self.keys.insert(record.key.key_id().to_owned()),
            Statement::Retire(mark) => _ = self.retired.insert(mark.kid.clone()),
            Statement::Revoke(mark) => _ = self.revoked.insert(mark.kid.clone()),
        }
    }
}

fn take_mark(marks: &mut BTreeMap<String, Timestamp>, mark: KeyMark) {
    let at = marks.entry(mark.kid).or_insert(mark.at);
    *at = mark.at.min(*at);
}

fn missing_marks(
    held: &BTreeMap<String, Timestamp>,
    seen: &HashSet<String>,
    statement: fn(KeyMark) -> Statement,
) -> impl Iterator<Item = Statement> {
    let missing = held.iter().filter(|(kid, _)| !seen.contains(*kid));
    missing.map(move |(kid, at)| statement(KeyMark { kid: kid.clone(), at: *at }))
}
