//! What a replica knows of a ring's keys. Knowledge only grows: what the store says is merged with
//! what is held, so that a purged or an older store takes nothing away.

use std::collections::{BTreeMap, HashSet};

use crate::clock::Timestamp;
use crate::crypto::algorithm::Algorithm;
use crate::keyring::not_ready::NotReady;
use crate::keyring::rotating::record::{KeyMark, KeyRecord, RingIdentity, Statement};
use crate::keys::key_set::KeySet;
use crate::keys::schedule::ScheduledKey;
use crate::store::founding::Founding;

/// The union of all statements seen, less the keys whose life has ended.
#[derive(Debug)]
pub(crate) struct KeyLog {
    /// In the order in which keys sign: the earliest ring first, then by generation. Two keys of
    /// one generation exist only after a store was purged or restored.
    records: BTreeMap<Place, KeyRecord>,
    retired: BTreeMap<String, KeyMark>,
    revoked: BTreeMap<String, KeyMark>,
    /// Born in the store, perhaps without a key yet.
    identity: Option<RingIdentity>,
    /// The highest generation of each ring, by its ID, of the keys that were accepted.
    highest: BTreeMap<String, u64>,
    /// When the store last got back what it had lost.
    pub(crate) restored_at: Option<Timestamp>,
    /// Why this replica makes no keys, as the store was read last.
    pub(crate) blocked: Option<NotReady>,
    pub(crate) founding: Founding,
}

type Place = (RingIdentity, u64, Timestamp, String);

impl KeyLog {
    /// Of a replica that has read nothing yet.
    pub(crate) fn new(founding: Founding) -> Self {
        Self {
            records: BTreeMap::new(),
            retired: BTreeMap::new(),
            revoked: BTreeMap::new(),
            identity: None,
            highest: BTreeMap::new(),
            restored_at: None,
            blocked: None,
            founding,
        }
    }

    /// Takes a statement in.
    ///
    /// # Errors
    ///
    /// If it contradicts what is held: the same key under another generation.
    pub(crate) fn merge(&mut self, statement: Statement) -> Result<(), String> {
        match statement {
            // It counts only while there are no keys: then the store's is what others go by.
            Statement::Identity(identity) => self.identity = Some(identity),
            Statement::Key(record) => {
                let key_id = record.key.key_id().to_owned();
                let place =
                    (record.identity.clone(), record.generation, record.times.published, key_id);
                let elsewhere = |held: &Place| held.3 == place.3 && *held != place;
                if self.records.keys().any(elsewhere) {
                    return Err("its key stands under another generation".to_owned());
                }
                self.skip_generation(&record.identity.id, record.generation);
                // Held records stay: they are immutable, and a change of one is not believed.
                self.records.entry(place).or_insert(*record);
            }
            Statement::Retire(mark) => merge_mark(&mut self.retired, mark),
            Statement::Revoke(mark) => merge_mark(&mut self.revoked, mark),
        }
        Ok(())
    }

    /// A mark on a key that is held, kept as long as that key can verify; `None` for any other.
    pub(crate) fn mark(&self, key_id: &str, at: Timestamp) -> Option<KeyMark> {
        let kept_until = self.record(key_id)?.times.verifies_until;
        Some(KeyMark { kid: key_id.to_owned(), at, kept_until })
    }

    /// The ring that new keys belong to: the earliest with keys, else the one born in the store.
    pub(crate) fn identity(&self) -> Option<&RingIdentity> {
        let with_keys = self.records.keys().next().map(|(identity, ..)| identity);
        with_keys.or(self.identity.as_ref())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The number of the next key of the ring of that ID, which no key of it ever had.
    pub(crate) fn next_generation(&self, ring_id: &str) -> u64 {
        self.highest.get(ring_id).map_or(0, |highest| highest.saturating_add(1))
    }

    /// Says that a generation of the ring of that ID is taken.
    pub(crate) fn skip_generation(&mut self, ring_id: &str, generation: u64) {
        let highest = self.highest.entry(ring_id.to_owned()).or_insert(generation);
        *highest = generation.max(*highest);
    }

    /// The keys that may sign, in order: those of the earliest ring; and then those that only
    /// verify. Says how many may sign.
    pub(crate) fn keys(&self) -> (Vec<(&KeyRecord, ScheduledKey)>, usize) {
        let scheduled = |record: &KeyRecord| ScheduledKey {
            generation: record.generation,
            times: record.times,
            retire_at: self.retire_at(record.key.key_id()),
            revoked: self.revoked.contains_key(record.key.key_id()),
        };
        let keys: Vec<_> =
            self.records.values().map(|record| (record, scheduled(record))).collect();
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

    /// When a key signs no more, ahead of its time.
    pub(crate) fn retire_at(&self, key_id: &str) -> Option<Timestamp> {
        self.retired.get(key_id).map(|mark| mark.at)
    }

    pub(crate) fn is_revoked(&self, key_id: &str) -> bool {
        self.revoked.contains_key(key_id)
    }

    /// The IDs of the keys that are held.
    pub(crate) fn key_ids(&self) -> Vec<String> {
        self.records.keys().map(|place| place.3.clone()).collect()
    }

    pub(crate) fn record(&self, key_id: &str) -> Option<&KeyRecord> {
        self.records.values().find(|record| record.key.key_id() == key_id)
    }

    /// What is held and was not among the store's `seen` statements, and so has to be put back:
    /// marks before their keys, so that nobody finds a revoked key without its revocation; and the
    /// identity last, so that a newcomer that finds it has all.
    pub(crate) fn missing(&self, seen: &Seen, margin: Timestamp) -> Vec<Statement> {
        let held: Vec<_> =
            self.records.values().filter(|it| margin < it.times.verifies_until).collect();
        let marks = |marks: &BTreeMap<String, KeyMark>,
                     seen: &HashSet<String>,
                     of: fn(KeyMark) -> Statement| {
            let missing = marks.values().filter(|mark| !seen.contains(&mark.kid));
            // The key's own end is sealed; what a mark says of it is not.
            let lasts = |mark: &&KeyMark| {
                let key = self.record(&mark.kid).map(|record| record.times.verifies_until);
                margin < key.unwrap_or(mark.kept_until)
            };
            missing.filter(lasts).cloned().map(of).collect::<Vec<_>>()
        };
        let records = held.iter().filter(|record| !seen.keys.contains(record.key.key_id()));
        let records = records.map(|record| Statement::Key(Box::new((*record).clone())));
        // A ring without a key has nothing to lose.
        let identity = self.identity().filter(|_| !seen.identity && !held.is_empty()).cloned();
        let mut missing = marks(&self.revoked, &seen.revoked, Statement::Revoke);
        missing.extend(marks(&self.retired, &seen.retired, Statement::Retire));
        missing.extend(records);
        missing.extend(identity.map(Statement::Identity));
        missing
    }

    /// Forgets the keys whose life ended before `ended`, and the marks on them, and says what is to
    /// be removed from the store: marks first, so that none outlives its key. A mark whose key is not
    /// held is kept until then, too, so that nobody brings the key back without it.
    pub(crate) fn prune(&mut self, ended: Timestamp) -> Vec<Statement> {
        let mut removed = Vec::new();
        // A ring whose keys have all ended keeps its identity, so that no second ring is founded.
        self.identity =
            self.identity.take().or_else(|| self.records.keys().next().map(|it| it.0.clone()));
        self.records.retain(|_, record| {
            let lives = ended < record.times.verifies_until;
            if !lives {
                removed.push(Statement::Key(Box::new(record.clone())));
            }
            lives
        });
        let gone: HashSet<String> = removed.iter().filter_map(Statement::key_id).collect();
        let held: HashSet<&str> = self.records.keys().map(|place| &*place.3).collect();
        let mut marks = Vec::new();
        for (of, statement) in [
            (&mut self.retired, Statement::Retire as fn(KeyMark) -> Statement),
            (&mut self.revoked, Statement::Revoke),
        ] {
            of.retain(|kid, mark| {
                let stays = held.contains(&**kid) || !gone.contains(kid) && ended < mark.kept_until;
                if !stays {
                    marks.push(statement(mark.clone()));
                }
                stays
            });
        }
        marks.extend(removed);
        marks
    }
}

/// Takes a mark in. Of several the store's counts, so that all replicas come to the same; but none is
/// kept for less long than was known.
fn merge_mark(marks: &mut BTreeMap<String, KeyMark>, mut mark: KeyMark) {
    if let Some(held) = marks.get(&mark.kid) {
        mark.kept_until = mark.kept_until.max(held.kept_until);
    }
    marks.insert(mark.kid.clone(), mark);
}

/// Which statements a store held when it was last read.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    identity: bool,
    keys: HashSet<String>,
    retired: HashSet<String>,
    revoked: HashSet<String>,
}

impl Seen {
    /// Whether the ring's identity was there, which is restored after all else.
    pub(crate) fn is_whole(&self) -> bool {
        self.identity
    }

    pub(crate) fn note(&mut self, statement: &Statement) {
        match statement {
            Statement::Identity(_) => self.identity = true,
            Statement::Key(record) => _ = self.keys.insert(record.key.key_id().to_owned()),
            Statement::Retire(mark) => _ = self.retired.insert(mark.kid.clone()),
            Statement::Revoke(mark) => _ = self.revoked.insert(mark.kid.clone()),
        }
    }
}
