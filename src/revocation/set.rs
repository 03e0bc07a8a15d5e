//! Revocations, and the set of them in which a session is looked up.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// One revocation, and when it was made. How long it is kept is not part of it, since its writer may
/// not know how long others' tokens live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Revocation {
    /// One session, for good: its ID is never given again.
    Session { sid: Box<str>, made: Timestamp },
    /// The sessions of a subject that began by `at`.
    Subject { sub: Box<str>, at: Timestamp, made: Timestamp },
    /// All sessions that began by `at`.
    All { at: Timestamp, made: Timestamp },
}

impl Revocation {
    pub(crate) fn made(&self) -> Timestamp {
        match self {
            Self::Session { made, .. } | Self::Subject { made, .. } | Self::All { made, .. } => {
                *made
            }
        }
    }
}

/// The values of a token that decide whether it is revoked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) subject: &'a str,
    /// When the user logged in, where the token says it.
    pub(crate) authenticated_at: Option<Timestamp>,
    /// The `rv` claim: the version that its issuer knew.
    pub(crate) version: u64,
}

/// A time up to which sessions have ended, and the version in which that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cutoff {
    version: u64,
    at: Timestamp,
    made: Timestamp,
}

impl Cutoff {
    /// A session whose login knew this revocation, or came clearly after it, remains valid. A renewal
    /// keeps the time of the login, so that a renewal on a replica that is behind does not help.
    fn hits(&self, token: &Candidate<'_>, leeway: Duration) -> bool {
        // SECURITY: a login at an unknown time may have been before it.
        let is_later = token.authenticated_at.is_some_and(|at| at > self.at + leeway);
        token.version < self.version && !is_later
    }

    /// Whether this hits whatever the other does, and as long.
    fn covers(&self, other: &Self) -> bool {
        self.version >= other.version && self.at >= other.at && self.made >= other.made
    }

    fn join(&mut self, other: Self) {
        self.version = self.version.max(other.version);
        self.at = self.at.max(other.at);
        self.made = self.made.max(other.made);
    }
}

/// The revocations that are in force. A clone costs a few microseconds: it shares what does not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct RevocationSet {
    sessions: Shards<Timestamp>,
    subjects: Shards<Cutoff>,
    /// None covers another, so that there are as many as administrators made in earnest.
    all: Vec<Cutoff>,
}

impl RevocationSet {
    /// Whether one of them ends the session of that token.
    pub(crate) fn matches(&self, token: &Candidate<'_>, leeway: Duration) -> bool {
        self.sessions.get(token.session_id).is_some()
            || self.subjects.get(token.subject).is_some_and(|before| before.hits(token, leeway))
            || self.all.iter().any(|before| before.hits(token, leeway))
    }

    /// Takes a revocation in that was made in that version.
    pub(crate) fn insert(&mut self, version: u64, revocation: &Revocation) {
        match revocation {
            Revocation::Session { sid, made } => {
                self.sessions.insert(sid, *made, |held| *held = (*held).max(*made));
            }
            Revocation::Subject { sub, at, made } => {
                let before = Cutoff { version, at: *at, made: *made };
                self.subjects.insert(sub, before, |held| held.join(before));
            }
            Revocation::All { at, made } => {
                let before = Cutoff { version, at: *at, made: *made };
                if !self.all.iter().any(|held| held.covers(&before)) {
                    self.all.retain(|held| !before.covers(held));
                    self.all.push(before);
                }
            }
        }
    }

    /// Whether these say what `revocation` says, and in no earlier version than `version`.
    pub(crate) fn covers(&self, version: u64, revocation: &Revocation) -> bool {
        match revocation {
            Revocation::Session { sid, made } => {
                self.sessions.get(sid).is_some_and(|held| held >= made)
            }
            Revocation::Subject { sub, at, made } => {
                let before = Cutoff { version, at: *at, made: *made };
                self.subjects.get(sub).is_some_and(|held| held.covers(&before))
            }
            Revocation::All { at, made } => {
                let before = Cutoff { version, at: *at, made: *made };
                self.all.iter().any(|held| held.covers(&before))
            }
        }
    }

    /// The revocations, each with its version.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Revocation)> {
        let sessions = self
            .sessions
            .iter()
            .map(|(sid, made)| (0, Revocation::Session { sid: sid.clone(), made: *made }));
        let subjects = self.subjects.iter().map(|(sub, before)| {
            let Cutoff { version, at, made } = *before;
            (version, Revocation::Subject { sub: sub.clone(), at, made })
        });
        let all = self
            .all
            .iter()
            .map(|before| (before.version, Revocation::All { at: before.at, made: before.made }));
        sessions.chain(subjects).chain(all)
    }

    /// Drops what was made by then, and says when the next was.
    pub(crate) fn prune(&mut self, ended: Timestamp) -> Option<Timestamp> {
        self.sessions.retain(|made| *made > ended);
        self.subjects.retain(|before| before.made > ended);
        self.all.retain(|before| before.made > ended);
        let sessions = self.sessions.iter().map(|(_, made)| *made);
        let others = self.subjects.iter().map(|(_, before)| before).chain(&self.all);
        sessions.chain(others.map(|before| before.made)).min()
    }

    /// How many sessions, subjects, and times for all.
    pub(crate) fn counts(&self) -> [usize; 3] {
        [self.sessions.len, self.subjects.len, self.all.len()]
    }
}

/// A map that is copied in parts: a change copies one shard, and shares the others with those who
/// read. The hash is seeded, since users may choose their subjects.
#[derive(Clone, Debug)]
struct Shards<V> {
    hasher: RandomState,
    shards: Arc<[Arc<Shard<V>>; SHARDS]>,
    len: usize,
}

type Shard<V> = HashMap<Box<str>, V, RandomState>;

/// So many that with 100,000 revocations one of them is copied in microseconds.
const SHARDS: usize = 512;

impl<V> Default for Shards<V> {
    fn default() -> Self {
        let hasher = RandomState::default();
        let empty = Arc::new(HashMap::with_hasher(hasher.clone()));
        Self { hasher, shards: Arc::new(std::array::from_fn(|_| empty.clone())), len: 0 }
    }
}

impl<V> Shards<V> {
    fn index(&self, key: &str) -> usize {
        // Bits that a shard itself makes no use of.
        (self.hasher.hash_one(key) >> 32) as usize % SHARDS
    }

    fn get(&self, key: &str) -> Option<&V> {
        if self.len == 0 {
            return None;
        }
        self.shards[self.index(key)].get(key)
    }

    fn iter(&self) -> impl Iterator<Item = (&Box<str>, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }
}

impl<V: Clone> Shards<V> {
    /// Sets what is held under a key, or changes it.
    fn insert(&mut self, key: &str, value: V, change: impl FnOnce(&mut V)) {
        let index = self.index(key);
        let shard = Arc::make_mut(&mut Arc::make_mut(&mut self.shards)[index]);
        match shard.get_mut(key) {
            Some(held) => change(held),
            None => {
                shard.insert(key.into(), value);
                self.len += 1;
            }
        }
    }

    fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        if self.shards.iter().all(|shard| shard.values().all(&keep)) {
            return;
        }
        self.len = 0;
        for shard in Arc::make_mut(&mut self.shards) {
            if !shard.values().all(&keep) {
                let shard = Arc::make_mut(shard);
                shard.retain(|_, value| keep(value));
                // Most of the room may have been for what is gone.
                shard.shrink_to(shard.len() * 2);
            }
            self.len += shard.len();
        }
    }
}
