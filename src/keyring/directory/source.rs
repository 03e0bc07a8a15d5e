//! The source that reads a directory: which key signs, and when each key was added.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::clock::Timestamp;
use crate::error::operation::OperationError;
use crate::keyring::core::RingCore;
use crate::keyring::directory::files::{Choice, Files, Found};
use crate::keyring::directory::worker::{self, Pending};
use crate::keyring::error::RingError;
use crate::keyring::refreshes::Report;
use crate::keyring::source::{Issues, KeySource, SourceFuture};
use crate::keys::key::Key;
use crate::keys::key_set::KeySet;
use crate::keys::schedule::KeyTimes;

/// The source of a ring whose files an operator rotates.
pub(crate) struct DirectorySource {
    files: Files,
    /// Held until a reading is published: none is published after a later one.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each key was added, by its ID; `None` for old keys.
    known: HashMap<String, Option<Timestamp>>,
    /// The reading that did not end in time.
    pending: Pending<Result<Vec<Found>, RingError>>,
}

impl DirectorySource {
    pub(crate) fn new(files: Files) -> Self {
        Self { files, state: Mutex::default() }
    }

    /// Reads all keys or none, half a rotation must not be used, and publishes them.
    pub(crate) async fn update(&self, ring: &RingCore) -> Result<Report, RingError> {
        let mut state = self.state.lock().await;
        let (now, lead) = (ring.now(), ring.policy.full_lead());
        let files = self.files.clone();
        let timeout = ring.policy.refresh_timeout;
        let read = worker::run(&mut state.pending, timeout, move || files.read()).await;
        let found = read.map_err(|reason| self.files.error(reason))??;
        state.remember(&found, now, lead);
        ring.publish(match &self.files.choice {
            Choice::Newest => state.by_age(found, lead),
            Choice::KeyId(key_id) => {
                let what = format!("signing_key_id is {key_id:?}, which is");
                self.chosen(found, |found| found.key.key_id() == key_id, &what)?
            }
            Choice::Link(name) => {
                let what = format!("the link {name:?} points to");
                self.chosen(found, |found| found.is_linked, &what)?
            }
        });
        Ok(Report::default())
    }

    /// The keys, of which the chosen one signs.
    fn chosen(
        &self,
        found: Vec<Found>,
        is_chosen: impl Fn(&Found) -> bool,
        what: &str,
    ) -> Result<KeySet, RingError> {
        let state = match found.iter().position(is_chosen) {
            Some(place) if found[place].key.can_sign() => {
                let mut keys: Vec<_> = found.into_iter().map(|found| found.key).collect();
                let signer = (keys.remove(place), KeyTimes::fixed(true));
                return Ok(KeySet::scheduled([signer], keys));
            }
            Some(place) => format!("the public key {:?}", found[place].name),
            None => "no key of the directory".to_owned(),
        };
        Err(self.files.error(format!("{what} {state}, expected a private key")))
    }
}

impl KeySource for DirectorySource {
    fn issues(&self) -> Issues {
        Issues::WithPrivateKey
    }

    fn refresh<'a>(&'a self, ring: &'a RingCore) -> SourceFuture<'a, Result<(), OperationError>> {
        Box::pin(async { ring.record(self.update(ring).await).map(drop) })
    }
}

impl State {
    /// Remembers when keys were added.
    fn remember(&mut self, found: &[Found], now: Timestamp, lead: Duration) {
        let is_first = self.known.is_empty();
        let is_new = |found: &Found| {
            let age = found.modified.filter(|modified| *modified <= now).map(|since| now - since);
            age.is_some_and(|age| age < lead)
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

    /// The keys that can sign in the order of their names, each from the end of its lead on; then
    /// the others.
    fn by_age(&self, found: Vec<Found>, lead: Duration) -> KeySet {
        let (signing, verifying): (Vec<_>, Vec<_>) =
            found.into_iter().map(|found| found.key).partition(Key::can_sign);
        let came = |key: &Key| self.known.get(key.key_id()).copied().flatten();
        // Without an older key, no other key can sign meanwhile.
        let alone = signing.iter().all(|key| came(key).is_some());
        let times = |(place, key): (usize, &Key)| match came(key) {
            Some(published) if !(alone && place == 0) => {
                let signs_from = published + lead;
                let [propagated, jwks_propagated] = [signs_from; 2];
                let always = KeyTimes::fixed(true);
                KeyTimes { published, propagated, jwks_propagated, signs_from, ..always }
            }
            _ => KeyTimes::fixed(true),
        };
        let times: Vec<_> = signing.iter().enumerate().map(times).collect();
        KeySet::scheduled(signing.into_iter().zip(times), verifying)
    }
}
