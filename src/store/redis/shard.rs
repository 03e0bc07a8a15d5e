//! The parts of a feed in Redis, each in one slot: their keys, and places in them.

use std::fmt::Write as _;

use crate::clock::Timestamp;
use crate::store::feed::{Cursor, Digest, Register, RegisterId};

/// A shard of a feed. All its keys have one hash tag.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) feed: Box<str>,
    /// The name in the hash tag, by which its server is found: no ring has a colon in its name.
    pub(crate) tag: String,
}

impl Shard {
    /// The shards of a feed.
    pub(crate) fn all(feed: &str, count: usize) -> Vec<Self> {
        let shard = |number| Self { feed: feed.into(), tag: format!("{feed}:{number}") };
        (0..count).map(shard).collect()
    }

    /// The number of the shard for a digest.
    pub(crate) fn of(digest: &Digest, count: usize) -> usize {
        usize::from(digest[0]) * count / 256
    }

    /// The number of the shard for a register.
    pub(crate) fn of_register(id: &RegisterId, count: usize) -> usize {
        match id {
            RegisterId::Subject(digest) | RegisterId::Stale(digest) => Self::of(digest, count),
            RegisterId::All => 0,
        }
    }

    /// A hash: the incarnation, the first and last log, when that began, the number of bytes in all
    /// logs, and when they were last checked; of each log when it expires and how many bytes are in those
    /// before it.
    pub(crate) fn state(&self) -> String {
        self.key("state")
    }

    /// A stream of records that were appended within an hour.
    pub(crate) fn log(&self, number: u64) -> String {
        self.key(&format!("log:{number}"))
    }

    /// Exists for a moment after each hint.
    pub(crate) fn hinted(&self) -> String {
        self.key("hinted")
    }

    /// The value of a register.
    pub(crate) fn register(&self, id: &RegisterId) -> String {
        let (kind, digest) = match id {
            RegisterId::Subject(digest) => ("subject:", &digest[..]),
            RegisterId::Stale(digest) => ("stale:", &digest[..]),
            RegisterId::All => ("all", &[][..]),
        };
        let mut name = format!("register:{kind}");
        for byte in digest {
            let _ = write!(name, "{byte:02x}");
        }
        self.key(&name)
    }

    fn key(&self, name: &str) -> String {
        format!("{{tower-jwt-session:{}}}:{name}", self.tag)
    }
}

/// A place in the logs of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Of the server and of the shard. No loss leaves it as it was.
    pub(crate) incarnation: String,
    /// The number of a log.
    pub(crate) log: u64,
    /// The last entry that was read there; `None` if none was.
    pub(crate) entry: Option<EntryId>,
}

/// The ID of an entry: the number of bytes in all logs up to its end, and the time of the append.
pub(crate) type EntryId = (u64, u64);

impl Place {
    /// The cursor of a feed: a place in each of its shards.
    pub(crate) fn cursor(places: &[Self]) -> Cursor {
        let parts = places.iter().map(|Self { incarnation, log, entry }| {
            let (bytes, time) = entry.unwrap_or_default();
            (&**incarnation, format!("{log}/{bytes}-{time}"))
        });
        let (incarnations, positions): (Vec<_>, Vec<_>) = parts.unzip();
        Cursor::new(incarnations.join(",").into_bytes(), positions.join(",").into_bytes())
    }

    /// The places of a cursor; `None` if it is not one of a feed with so many shards.
    pub(crate) fn parse(cursor: &Cursor, count: usize) -> Option<Vec<Self>> {
        let place = |(incarnation, position): (&str, &str)| {
            let (log, entry) = position.split_once('/')?;
            let (log, entry) = (log.parse().ok()?, parse_id(entry)?);
            let is_exact = [log, entry.0, entry.1].into_iter().all(|number| number < EXACT);
            is_exact.then(|| Self {
                incarnation: incarnation.to_owned(),
                log,
                entry: (entry.0 > 0).then_some(entry),
            })
        };
        let texts = [cursor.incarnation(), cursor.position()].map(std::str::from_utf8);
        let [Ok(incarnations), Ok(positions)] = texts else { return None };
        let parts = [incarnations, positions].map(|text| text.split(',').count());
        let places = incarnations.split(',').zip(positions.split(',')).map(place);
        (parts == [count; 2]).then(|| places.collect()).flatten()
    }
}

/// Reads the ID of an entry.
pub(crate) fn parse_id(id: &str) -> Option<EntryId> {
    let (bytes, time) = id.split_once('-')?;
    Some((bytes.parse().ok()?, time.parse().ok()?))
}

/// Reads the value of a register; `None` if it is none.
pub(crate) fn parse_register(value: &[u8]) -> Option<Register> {
    let (numbers, []) = value.as_chunks::<8>() else { return None };
    let [version, at, until, _log] = numbers else { return None };
    let time = |bytes: &[u8; 8]| Timestamp::from_unix_millis(i64::from_be_bytes(*bytes));
    let register = Register::new(u64::from_be_bytes(*version), time(at), time(until));
    (1..=Register::MAX_VERSION).contains(&register.version).then_some(register)
}

/// All numbers of a shard are below this one: the scripts hold no higher ones exactly.
const EXACT: u64 = 1 << 53;
