//! The entries of a ring in the store, parsed and checked.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base64url;
use crate::clock::Timestamp;
use crate::crypto::algorithm::Algorithm;
use crate::crypto::backend;
use crate::crypto::error::KeyError;
use crate::crypto::generate;
use crate::crypto::secret_bytes::SecretBytes;
use crate::keyring::rotating::seal::{AtRest, Sealing, Unreadable};
use crate::keys::key::{Key, Operations};
use crate::keys::schedule::KeyTimes;
use crate::store::contract::{Entry, EntryName};
use crate::store::versioned::{self, Format, Versioned};

/// Which ring a key belongs to. Of two rings in one store the older one signs; two of one time are
/// ordered by their IDs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RingIdentity {
    #[serde(rename = "born")]
    pub(crate) created_at: Timestamp,
    /// The ring's ID, drawn at random when the ring is founded.
    pub(crate) id: String,
}

impl RingIdentity {
    pub(crate) fn new(now: Timestamp) -> Result<Self, KeyError> {
        let mut id = [0; 16];
        backend::fill_random(&mut id)?;
        Ok(Self { created_at: now, id: base64url::encode(id) })
    }
}

/// The context of reading and writing entries: the ring's name, its sealing keys, and how its keys work.
#[derive(Clone, Debug)]
pub(crate) struct RecordContext {
    pub(crate) ring: Arc<str>,
    pub(crate) sealing: Sealing,
    pub(crate) operations: Operations,
}

/// One key of a ring, immutable, as the store holds it.
#[derive(Clone, Debug)]
pub(crate) struct KeyRecord {
    pub(crate) identity: RingIdentity,
    pub(crate) generation: u64,
    pub(crate) times: KeyTimes,
    pub(crate) key: Key,
    /// The entry as it was read or written: it is restored byte for byte.
    pub(crate) value: SecretBytes,
}

/// The terms of a key, which its entry has outside of the sealed material.
#[derive(Clone, Debug)]
pub(crate) struct KeyTerms {
    pub(crate) identity: RingIdentity,
    pub(crate) generation: u64,
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) times: KeyTimes,
}

/// Whether the material of a key is sealed.
pub(crate) type IsSealed = bool;

/// The parsed content of an entry of the store. Only keys are sealed: an attacker with write access
/// can add or remove an identity or a mark.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// This ring was founded in this store.
    Identity(RingIdentity),
    /// This key exists.
    Key(Arc<KeyRecord>),
    /// This key is revoked or retired.
    Mark(MarkKind, KeyMark),
}

/// What a mark does to its key, in the order in which marks are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MarkKind {
    /// It neither signs nor verifies.
    Revoke,
    /// It stops signing at the mark's time.
    Retire,
}

impl MarkKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Revoke => "revoke-",
            Self::Retire => "retire-",
        }
    }
}

/// A mark on a key: which, and when it takes effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyMark {
    pub(crate) kid: String,
    pub(crate) at: Timestamp,
    /// The key's `verifies_until`. The mark is kept until then, even if the key's record is
    /// missing.
    pub(crate) kept_until: Timestamp,
}

/// The format of a key's entry. The record is a string: the seal is checked over the same bytes
/// that were sealed, whatever members a later minor version adds.
#[derive(Serialize, Deserialize)]
struct WireKey {
    version: u64,
    /// A [`WireRecord`] as JSON.
    record: String,
    /// A shared secret or a PKCS#8 document.
    material: AtRest,
}

/// The record of a key, sealed together with it.
#[derive(Serialize, Deserialize)]
struct WireRecord {
    /// The ring's name, so that a record is of no use under another one.
    ring: String,
    #[serde(rename = "birth")]
    identity: RingIdentity,
    generation: u64,
    kid: String,
    algorithm: Algorithm,
    times: KeyTimes,
}

const VERSION: u64 = 2;
/// As many digits as names have room for; at one key a second it lasts for three centuries.
const MAX_GENERATION: u64 = 9_999_999_999;
pub(crate) const IDENTITY: &str = "birth";
const KEY: &str = "key-";

impl KeyRecord {
    /// Makes a new key and its record.
    pub(crate) fn generate(
        identity: &RingIdentity,
        generation: u64,
        algorithm: Algorithm,
        times: KeyTimes,
        context: &RecordContext,
    ) -> Result<Self, KeyError> {
        let material = generate::generate(algorithm)?;
        let key = Key::of_ring(algorithm, &material, context.operations)?;
        let record = WireRecord {
            ring: context.ring.to_string(),
            identity: identity.clone(),
            generation,
            kid: key.key_id().to_owned(),
            algorithm: algorithm.canonical(),
            times,
        };
        // A struct of strings and numbers always serializes.
        let record = serde_json::to_string(&record).unwrap_or_default();
        let material = context.sealing.seal(&material, record.as_bytes())?;
        let value = write(&WireKey { version: VERSION, record, material });
        Ok(Self { identity: identity.clone(), generation, times, key, value })
    }

    /// Parses a key's entry, and checks its seal and what its record says.
    pub(crate) fn parse(entry: &Entry, context: &RecordContext) -> Result<Self, Unreadable> {
        let WireKey { record, material, .. } = read(&entry.value)?;
        let material = context.sealing.open(&material, record.as_bytes())?;
        let KeyTerms { identity, generation, kid, algorithm, times } =
            WireRecord::read(&record, &context.ring)?;
        let key = Key::of_ring(algorithm, &material, context.operations)
            .map_err(|error| Unreadable::Corrupt(error.to_string()))?;
        if key.key_id() != kid {
            return Err(Unreadable::corrupt("found a key ID that is not that of its key"));
        }
        Ok(Self { identity, generation, times, key, value: entry.value.clone() })
    }

    /// The entry for a key whose generation belongs to another key: a replica restores it to a
    /// store that was purged or set back and has new keys.
    pub(crate) fn entry_beside(&self) -> Option<Entry> {
        Some(Entry { name: self.name_beside()?, value: self.value.clone() })
    }

    /// The name that exactly one key of a generation can have.
    fn name(&self) -> Option<EntryName> {
        name(&self.identity, self.generation)
    }

    fn name_beside(&self) -> Option<EntryName> {
        name_beside(&self.identity, self.generation, self.key.key_id())
    }
}

impl KeyTerms {
    /// Reads what a key's entry says outside of its sealed material, which stays sealed: so nothing
    /// proves that the ring has written it.
    pub(crate) fn parse(entry: &Entry, ring: &str) -> Result<(Self, IsSealed), Unreadable> {
        let WireKey { record, material, .. } = read(&entry.value)?;
        let terms = WireRecord::read(&record, ring)?;
        let Self { identity, generation, kid, .. } = &terms;
        let names = [name(identity, *generation), name_beside(identity, *generation, kid)];
        if !names.contains(&Some(entry.name.clone())) {
            return Err(Unreadable::corrupt("the name does not match the content"));
        }
        Ok((terms, matches!(material, AtRest::Sealed { .. })))
    }

    /// Whether an entry of that name is a key's.
    pub(crate) fn is_named(name: &EntryName) -> bool {
        name.as_str().starts_with(KEY)
    }
}

impl WireRecord {
    /// Reads a record, and checks that it is of this ring and in order.
    fn read(record: &str, ring: &str) -> Result<KeyTerms, Unreadable> {
        let Self { ring: found, identity, generation, kid, algorithm, times } =
            read(record.as_bytes())?;
        if found != ring {
            // Whatever it is, it shall not fill a log.
            let found: String = found.chars().take(64).collect();
            return Err(Unreadable::Corrupt(format!("found a key of another ring, {found:?}")));
        }
        if generation > MAX_GENERATION {
            return Err(Unreadable::corrupt("found a generation above 9999999999"));
        }
        if !times.are_ordered() {
            return Err(Unreadable::corrupt("found times out of order"));
        }
        Ok(KeyTerms { identity, generation, kid, algorithm, times })
    }
}

fn name(identity: &RingIdentity, generation: u64) -> Option<EntryName> {
    EntryName::parse(format!("{KEY}{}-{generation:010}", identity.id))
}

fn name_beside(identity: &RingIdentity, generation: u64, kid: &str) -> Option<EntryName> {
    EntryName::parse(format!("{KEY}{}-{generation:010}-{kid}", identity.id))
}

impl Statement {
    /// Parses an entry, and checks that its name is that of its content.
    pub(crate) fn parse(entry: &Entry, context: &RecordContext) -> Result<Self, Unreadable> {
        // First: entries of a newer version may have any name.
        Self::check_format(entry)?;
        let name = entry.name.as_str();
        let mark = [MarkKind::Revoke, MarkKind::Retire]
            .into_iter()
            .find(|kind| name.starts_with(kind.prefix()));
        let statement = if let Some(kind) = mark {
            Self::Mark(kind, read::<Versioned<_>>(&entry.value)?.entry)
        } else if name == IDENTITY {
            Self::Identity(read::<Versioned<_>>(&entry.value)?.entry)
        } else if name.starts_with(KEY) {
            Self::Key(Arc::new(KeyRecord::parse(entry, context)?))
        } else {
            return Err(Unreadable::corrupt("unknown name: remove the entry"));
        };
        if statement.names().iter().flatten().any(|name| *name == entry.name) {
            Ok(statement)
        } else {
            Err(Unreadable::corrupt("the name does not match the content"))
        }
    }

    /// Refuses an entry that a newer version wrote.
    pub(crate) fn check_format(entry: &Entry) -> Result<(), Unreadable> {
        match versioned::format_of(&entry.value, VERSION).map_err(Unreadable::Corrupt)? {
            Format::Current => Ok(()),
            Format::Newer(version) => Err(Unreadable::Newer(version)),
        }
    }

    /// The entry of this statement.
    pub(crate) fn to_entry(&self) -> Option<Entry> {
        let [name, _] = self.names();
        let value = match self {
            Self::Identity(entry) => write(&Versioned { version: VERSION, entry }),
            Self::Key(record) => record.value.clone(),
            Self::Mark(_, entry) => write(&Versioned { version: VERSION, entry }),
        };
        Some(Entry { name: name?, value })
    }

    /// The same text for statements about the same thing.
    pub(crate) fn topic(&self) -> String {
        match self {
            Self::Identity(_) => IDENTITY.to_owned(),
            Self::Key(record) => format!("{KEY}{}", record.key.key_id()),
            Self::Mark(kind, mark) => format!("{}{}", kind.prefix(), mark.kid),
        }
    }

    /// Until when replicas need it; `None` if for ever.
    pub(crate) fn needed_until(&self) -> Option<Timestamp> {
        match self {
            Self::Identity(_) => None,
            Self::Key(record) => Some(record.times.verifies_until),
            Self::Mark(_, mark) => Some(mark.kept_until),
        }
    }

    /// The names that the entry may have.
    pub(crate) fn names(&self) -> [Option<EntryName>; 2] {
        match self {
            Self::Key(record) => [record.name(), record.name_beside()],
            Self::Identity(_) | Self::Mark(..) => [EntryName::parse(self.topic()), None],
        }
    }
}

fn write(wire: &impl Serialize) -> SecretBytes {
    // Room for the longest record, so that growing leaves no copy of a secret behind.
    let mut value = Zeroizing::new(Vec::with_capacity(4096));
    // The same.
    let _ = serde_json::to_writer_pretty(&mut *value, wire);
    SecretBytes(value)
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Unreadable> {
    versioned::parse(json).map_err(Unreadable::Corrupt)
}
