//! A replica's log of the ring: the union of all entries it has read. It only grows (a CRDT merge):
//! a purged or older store removes nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::crypto::algorithm::Algorithm;
use crate::error::not_ready::NotReady;
use crate::keyring::rotating::record::{KeyMark, KeyRecord, MarkKind, RingIdentity, Statement};
use crate::keys::key_set::KeySet;
use crate::keys::schedule::ScheduledKey;
use crate::replica::founding::Founding;

/// The union of all statements read, without expired keys.
#[derive(Debug)]
pub(crate) struct KeyLog {
    /// In the order in which keys sign: the earliest ring first, then by generation. Two keys of
    /// one generation exist only after a store was purged or restored.
    records: BTreeMap<KeyOrder, Arc<KeyRecord>>,
    /// By their kinds, and the IDs of their keys.
    marks: BTreeMap<(MarkKind, String), KeyMark>,
    /// The identity that the store holds, perhaps without a key yet.
    identity: Option<RingIdentity>,
    /// The highest generation of each ring, by its ID, of the keys that were accepted.
    highest: BTreeMap<String, u64>,
    /// When lost entries were last restored.
    pub(crate) restored_at: Option<Timestamp>,
    /// Why this replica makes no keys, by the last read.
    pub(crate) blocked: Option<NotReady>,
    pub(crate) founding: Founding,
    /// The IDs of keys that this replica made, and of those that it retired.
    pub(crate) made_here: BTreeSet<String>,
    pub(crate) retired_here: BTreeSet<String>,
}

type KeyOrder = (RingIdentity, u64, Timestamp, String);

impl KeyLog {
    /// The log of a replica that has read nothing yet.
    pub(crate) fn new(founding: Founding) -> Self {
        Self {
            records: BTreeMap::new(),
            marks: BTreeMap::new(),
            identity: None,
            highest: BTreeMap::new(),
            restored_at: None,
            blocked: None,
            founding,
            made_here: BTreeSet::new(),
            retired_here: BTreeSet::new(),
        }
    }

    /// Merges a statement.
    ///
    /// # Errors
    ///
    /// If it contradicts the log: the same key under another generation.
    pub(crate) fn merge(&mut self, statement: Statement) -> Result<(), String> {
        match statement {
            // It counts only while there are no keys: then other replicas use the store's.
            Statement::Identity(identity) => self.identity = Some(identity),
            Statement::Key(record) => {
                let key_id = record.key.key_id().to_owned();
                let place =
                    (record.identity.clone(), record.generation, record.times.published, key_id);
                let elsewhere = |held: &KeyOrder| held.3 == place.3 && *held != place;
                if self.records.keys().any(elsewhere) {
                    return Err("found a known key under another generation".to_owned());
                }
                self.skip_generation(&record.identity.id, record.generation);
                // The held record stays: records are immutable, and a change is ignored.
                self.records.entry(place).or_insert(record);
            }
            // Of several marks the store's counts, so that all replicas agree; none is kept for less
            // long than known.
            Statement::Mark(kind, mut mark) => {
                let place = (kind, mark.kid.clone());
                if let Some(held) = self.marks.get(&place) {
                    mark.kept_until = mark.kept_until.max(held.kept_until);
                }
                self.marks.insert(place, mark);
            }
        }
        Ok(())
    }

    /// A mark on a held key, kept as long as the key can verify; `None` for any other key.
    pub(crate) fn mark(&self, key_id: &str, at: Timestamp) -> Option<KeyMark> {
        let kept_until = self.record(key_id)?.times.verifies_until;
        Some(KeyMark { kid: key_id.to_owned(), at, kept_until })
    }

    /// The ring that new keys belong to: the oldest with keys, else that of the store's identity.
    pub(crate) fn identity(&self) -> Option<&RingIdentity> {
        let with_keys = self.records.keys().next().map(|(identity, ..)| identity);
        with_keys.or(self.identity.as_ref())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The generation of the next key of that ring: one that no key of it ever had.
    pub(crate) fn next_generation(&self, ring_id: &str) -> u64 {
        self.highest.get(ring_id).map_or(0, |highest| highest.saturating_add(1))
    }

    /// Marks a generation of that ring as taken.
    pub(crate) fn skip_generation(&mut self, ring_id: &str, generation: u64) {
        let highest = self.highest.entry(ring_id.to_owned()).or_insert(generation);
        *highest = generation.max(*highest);
    }

    /// First the keys that may sign, in order: those of the oldest ring; then those that only
    /// verify. Returns how many may sign.
    pub(crate) fn keys(&self) -> (Vec<(&KeyRecord, ScheduledKey)>, usize) {
        let scheduled = |record: &KeyRecord| ScheduledKey {
            generation: record.generation,
            times: record.times,
            retire_at: self.retire_at(record.key.key_id()),
            revoked: self.is_revoked(record.key.key_id()),
        };
        let keys: Vec<_> =
            self.records.values().map(|record| (&**record, scheduled(record))).collect();
        let first = keys.first().map(|(record, _)| &record.identity);
        let signing = keys.iter().take_while(|(record, _)| Some(&record.identity) == first).count();
        (keys, signing)
    }

    /// The keys as requests read them.
    pub(crate) fn snapshot(&self, algorithm: Algorithm) -> KeySet {
        let (keys, signing) = self.keys();
        let keys = keys
            .into_iter()
            .map(|(record, scheduled)| (record.key.clone().named(algorithm), scheduled));
        KeySet::of_schedule(keys, signing)
    }

    /// The keys that may sign, as the schedule sees them.
    pub(crate) fn schedule(&self) -> Vec<ScheduledKey> {
        let (keys, signing) = self.keys();
        keys.into_iter().take(signing).map(|(_, scheduled)| scheduled).collect()
    }

    /// When a key was retired.
    pub(crate) fn retire_at(&self, key_id: &str) -> Option<Timestamp> {
        self.marks.get(&(MarkKind::Retire, key_id.to_owned())).map(|mark| mark.at)
    }

    pub(crate) fn is_revoked(&self, key_id: &str) -> bool {
        self.marks.contains_key(&(MarkKind::Revoke, key_id.to_owned()))
    }

    /// The IDs of the keys that are held.
    pub(crate) fn key_ids(&self) -> Vec<String> {
        self.records.keys().map(|place| place.3.clone()).collect()
    }

    pub(crate) fn record(&self, key_id: &str) -> Option<&KeyRecord> {
        self.records.values().map(|record| &**record).find(|it| it.key.key_id() == key_id)
    }

    /// The statements that are held and whose topics were not `seen` in the store, and so have to be
    /// restored: marks before their keys, so that nobody finds a revoked key without its
    /// revocation; and the identity last, so that a newcomer that finds it has all. Marks come in the
    /// order of their keys.
    pub(crate) fn missing(&self, seen: &HashSet<String>, margin: Timestamp) -> Vec<Statement> {
        let marks = self.marks.iter().filter(|((_, kid), mark)| {
            // The key's own end is sealed; that in a mark is not.
            let key = self.record(kid).map(|record| record.times.verifies_until);
            margin < key.unwrap_or(mark.kept_until)
        });
        let marks = marks.map(|((kind, _), mark)| (*kind, mark.clone()));
        let place = |key_id: &str| self.records.keys().position(|place| place.3 == key_id);
        let marks = in_order(marks, place);
        let mut keys = self.records.values().cloned().collect::<Vec<_>>();
        keys.retain(|record| margin < record.times.verifies_until);
        // A ring without a key has nothing to lose.
        let identity = self.identity().filter(|_| !keys.is_empty()).cloned();
        marks
            .into_iter()
            .chain(keys.into_iter().map(Statement::Key))
            .chain(identity.map(Statement::Identity))
            .filter(|statement| !seen.contains(&statement.topic()))
            .collect()
    }

    /// Drops the keys that expired before `ended`, and the marks on them. Returns the entries to
    /// remove from the store: marks first, so that none outlives its key. A mark whose key is not
    /// held is kept until then, too, so that no replica restores the key without it.
    pub(crate) fn prune(&mut self, ended: Timestamp) -> Vec<Statement> {
        // A ring whose keys have all ended keeps its identity, so that no second ring is founded.
        self.identity =
            self.identity.take().or_else(|| self.records.keys().next().map(|it| it.0.clone()));
        let gone = self.records.extract_if(.., |_, record| record.times.verifies_until <= ended);
        let gone: Vec<_> = gone.map(|(_, record)| record).collect();
        let is_of = |record: &Arc<KeyRecord>, kid: &str| record.key.key_id() == kid;
        let marks = self.marks.extract_if(.., |(_, kid), mark| {
            let is_held = self.records.values().any(|record| is_of(record, kid));
            let is_gone = gone.iter().any(|record| is_of(record, kid));
            !is_held && (is_gone || mark.kept_until <= ended)
        });
        let marks = marks.map(|((kind, _), mut mark)| {
            // The key's own end is sealed; that in a mark is not.
            if let Some(record) = gone.iter().find(|record| is_of(record, &mark.kid)) {
                mark.kept_until = record.times.verifies_until;
            }
            (kind, mark)
        });
        for here in [&mut self.made_here, &mut self.retired_here] {
            here.retain(|kid| !gone.iter().any(|record| is_of(record, kid)));
        }
        let marks = in_order(marks, |key_id| gone.iter().position(|it| is_of(it, key_id)));
        marks.into_iter().chain(gone.into_iter().map(Statement::Key)).collect()
    }
}

/// Marks in the order of their keys, of which `place` says the place.
fn in_order(
    marks: impl Iterator<Item = (MarkKind, KeyMark)>,
    place: impl Fn(&str) -> Option<usize>,
) -> Vec<Statement> {
    let mut marks: Vec<_> = marks.collect();
    marks.sort_by_key(|(kind, mark)| (*kind, place(&mark.kid), mark.at));
    marks.into_iter().map(|(kind, mark)| Statement::Mark(kind, mark)).collect()
}
