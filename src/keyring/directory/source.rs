//! The source that reads a directory: which key signs, and when each key was added.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::error::operation::OperationError;
use crate::keyring::core::RingCore;
use crate::keyring::directory::files::{Files, Found};
use crate::keyring::directory::worker::Worker;
use crate::keyring::error::RingError;
use crate::keyring::report::Report;
use crate::keyring::source::{Issues, KeySource, SourceFuture};
use crate::keys::key::Key;
use crate::keys::key_set::KeySet;
use crate::keys::rotation_policy::RotationPolicy;
use crate::keys::schedule::KeyTimes;

/// Files that an operator rotates. The lock is held until a reading is published: none is published
/// after a later one.
pub(crate) struct DirectorySource(pub(crate) Mutex<KeyDirectory>);

impl KeySource for DirectorySource {
    fn issues(&self) -> Issues {
        Issues::WithPrivateKey
    }

    fn refresh<'a>(&'a self, ring: &'a RingCore) -> SourceFuture<'a, Result<(), OperationError>> {
        Box::pin(async {
            let mut directory = self.0.lock().await;
            let loaded = directory.load(ring.now()).await.map_err(OperationError::from);
            let result = loaded.map(|keys| {
                ring.publish(keys);
                Report::default()
            });
            ring.refreshes.record(Report::outcome(&result));
            result.map(drop)
        })
    }

    fn due<'a>(
        &'a self,
        ring: &'a RingCore,
        began: Instant,
        random: u16,
    ) -> SourceFuture<'a, Instant> {
        Box::pin(async move { ring.policy.polling().due(began, None, random) })
    }
}

/// Which key signs.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// The last by name, once its lead is complete.
    Newest,
    KeyId(String),
    /// The key in the file that this link points to.
    Link(String),
}

/// The directory, and when its keys were added.
#[derive(Debug)]
pub(crate) struct KeyDirectory {
    files: Files,
    choice: Choice,
    timeout: Duration,
    /// How long a new key is held before it signs.
    lead: Duration,
    /// When each key was added, by its ID; `None` for old keys.
    known: HashMap<String, Option<Timestamp>>,
    worker: Worker<Result<Vec<Found>, RingError>>,
}

impl KeyDirectory {
    pub(crate) fn new(files: Files, choice: Choice, policy: &RotationPolicy) -> Self {
        Self {
            files,
            choice,
            timeout: policy.refresh_timeout,
            lead: policy.full_lead(),
            known: HashMap::new(),
            worker: Worker::default(),
        }
    }

    /// Reads all keys or none: half a rotation must not be used.
    pub(crate) async fn load(&mut self, now: Timestamp) -> Result<KeySet, RingError> {
        let files = self.files.clone();
        let read = self.worker.run(self.timeout, move || files.read()).await;
        let found = read.map_err(|reason| self.files.error(reason))??;
        self.remember(&found, now);
        self.schedule(found)
    }

    /// Remembers when keys were added.
    fn remember(&mut self, found: &[Found], now: Timestamp) {
        let is_first = self.known.is_empty();
        let is_new = |found: &Found| {
            let age = found.modified.filter(|modified| *modified <= now).map(|since| now - since);
            age.is_some_and(|age| age < self.lead)
        };
        // If every file is new, all were added at once, and none is older.
        let all_new = found.iter().filter(|found| found.key.can_sign()).all(is_new);
        let came = |found: &Found| match is_first {
            true if all_new || !is_new(found) => None,
            true => found.modified,
            false => Some(now),
        };
        let known = |found: &Found| {
            let key_id = found.key.key_id();
            let since = self.known.get(key_id).copied().unwrap_or_else(|| came(found));
            (key_id.to_owned(), since)
        };
        self.known = found.iter().map(known).collect();
    }

    fn schedule(&self, found: Vec<Found>) -> Result<KeySet, RingError> {
        let chosen = match &self.choice {
            Choice::Newest => return Ok(self.by_age(found)),
            Choice::KeyId(key_id) => found.iter().position(|found| found.key.key_id() == key_id),
            Choice::Link(_) => found.iter().position(|found| found.is_linked),
        };
        let usable = chosen.filter(|place| found[*place].key.can_sign());
        let Some(place) = usable else {
            let what = match &self.choice {
                Choice::Link(name) => format!("the link {name:?} points to"),
                Choice::KeyId(key_id) => format!("signing_key_id is {key_id:?}, which is"),
                Choice::Newest => String::new(),
            };
            let state = match chosen {
                Some(place) => format!("the public key {:?}", found[place].name),
                None => "no key of the directory".to_owned(),
            };
            return Err(self.files.error(format!("{what} {state}, expected a private key")));
        };
        let mut keys: Vec<Key> = found.into_iter().map(|found| found.key).collect();
        keys[..=place].rotate_right(1);
        KeySet::fixed(keys).map_err(|error| self.files.error(error.to_string()))
    }

    /// The keys that can sign in the order of their names, each from the end of its lead on; then
    /// the others.
    fn by_age(&self, found: Vec<Found>) -> KeySet {
        let (signing, verifying): (Vec<_>, Vec<_>) =
            found.into_iter().map(|found| found.key).partition(Key::can_sign);
        let came = |key: &Key| self.known.get(key.key_id()).copied().flatten();
        // Without an older key, no other key can sign meanwhile.
        let alone = signing.iter().all(|key| came(key).is_some());
        let times = |(place, key): (usize, &Key)| match came(key) {
            Some(published) if !(alone && place == 0) => {
                let signs_from = published + self.lead;
                KeyTimes { published, propagated: signs_from, signs_from, ..KeyTimes::fixed(true) }
            }
            _ => KeyTimes::fixed(true),
        };
        let times: Vec<_> = signing.iter().enumerate().map(times).collect();
        KeySet::scheduled(signing.into_iter().zip(times), verifying)
    }
}
