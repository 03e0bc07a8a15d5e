//! A ring of the keys in a directory, as an operator or a mounted Kubernetes secret puts them there.

pub(crate) mod files;
pub(crate) mod worker;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::build::BuildError;
use crate::keyring::directory::files::{Files, Found};
use crate::keyring::directory::worker::Worker;
use crate::keyring::ring::{KeyRing, RingError, Source};
use crate::keyring::rotating::builder::follow;
use crate::keyring::rotating::replica::Report;
use crate::keys::key::Key;
use crate::keys::key_set::KeySet;
use crate::keys::rotation_policy::RotationPolicy;
use crate::keys::schedule::KeyTimes;
use crate::store::polling::{Jitter, Pace};

impl KeyRing {
    /// Begins a ring of the keys in a directory: `*.pem` and `*.jwk` (one JWK each), private or
    /// public. All verify. The directory is read again in turn; if anything in it cannot be read,
    /// the last good keys stay, and status and log name the file and the reason.
    ///
    /// The last private key by name signs, so that files named by date (`2027-01-15.pem`) sign with
    /// the newest. A key that is added while the ring is open verifies at once, and signs after
    /// [`full_lead`](RotationPolicy::full_lead), when every replica and every cache of the JWKS has
    /// it. [`signing_key_id`](DirectoryRingBuilder::signing_key_id) and
    /// [`signing_link`](DirectoryRingBuilder::signing_link) choose otherwise.
    ///
    /// To rotate: add the next key under a name that sorts last; remove the old one when the last
    /// token that it signed has expired, [`max_token_lifetime`](RotationPolicy::max_token_lifetime)
    /// after the next one began to sign. Removing it sooner makes the next one sign at once, and
    /// refuses the old one's tokens.
    ///
    /// A replica that starts within the lead learns from the file's modification time that it is
    /// new. A mounted secret does not show that: there, start no replica within the lead, or choose
    /// by key ID.
    ///
    /// Where the directory holds a link `..data`, as a mounted Kubernetes secret does, the files
    /// are read behind it, and so all from one state of the secret.
    ///
    /// A ring that holds only public keys validates and is ready. One that has lost its private keys
    /// says so in [`issuing_paused`](crate::RingStatus::issuing_paused).
    pub fn directory(path: impl Into<PathBuf>) -> DirectoryRingBuilder {
        DirectoryRingBuilder {
            path: path.into(),
            rsa_algorithm: Algorithm::RS256,
            choice: Choice::Newest,
            policy: RotationPolicy::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Builds a ring of the keys in a [directory](KeyRing::directory).
#[derive(Debug)]
#[must_use]
pub struct DirectoryRingBuilder {
    path: PathBuf,
    rsa_algorithm: Algorithm,
    choice: Choice,
    policy: RotationPolicy,
    clock: Arc<dyn Clock>,
}

/// Which key signs.
#[derive(Clone, Debug)]
enum Choice {
    /// The last by name, once its lead is complete.
    Newest,
    KeyId(String),
    /// The key in the file that this link points to.
    Link(String),
}

impl DirectoryRingBuilder {
    /// Sets the algorithm of the RSA keys that name none, as PEM never does. Default: RS256.
    pub fn rsa_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.rsa_algorithm = algorithm;
        self
    }

    /// Signs with the key of this ID, the [thumbprint](crate::Key::key_id) unless a JWK has its own
    /// `kid`. Let every replica hold the key before any signs with it.
    pub fn signing_key_id(mut self, key_id: impl Into<String>) -> Self {
        self.choice = Choice::KeyId(key_id.into());
        self
    }

    /// Signs with the key in the file that this symbolic link in the directory points to, for
    /// example `current`. Let every replica hold the key before the link is moved to it, and move
    /// the link by a rename.
    pub fn signing_link(mut self, name: impl Into<String>) -> Self {
        self.choice = Choice::Link(name.into());
        self
    }

    /// The refresh interval and the time that one read may take, the longest token lifetime, and
    /// what [`full_lead`](RotationPolicy::full_lead) is made of. The rest is the operator's here.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Where the time is read. Default: the system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Reads the keys and starts the background task, which ends with the last clone of the ring.
    /// Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// If the directory or a key in it cannot be read, within
    /// [`refresh_timeout`](RotationPolicy::refresh_timeout), there is no key, or none that can sign
    /// is the chosen one.
    pub async fn open(self) -> Result<KeyRing, BuildError> {
        self.policy.validate_each()?;
        let name: Arc<str> = self.path.display().to_string().into();
        let mut directory = KeyDirectory {
            files: Files {
                path: self.path,
                rsa_algorithm: self.rsa_algorithm,
                link: match &self.choice {
                    Choice::Link(name) => Some(name.clone()),
                    _ => None,
                },
            },
            choice: self.choice,
            timeout: self.policy.refresh_timeout,
            lead: self.policy.full_lead(),
            known: HashMap::new(),
            worker: Worker::default(),
        };
        let keys = directory.load(self.clock.now()).await.map_err(|error| error.at_start(&name))?;
        let polling = self.policy.polling();
        let source = Source::Directory(Box::new(directory.into()));
        let ring = KeyRing::new(name, self.clock, self.policy, keys, source);
        ring.note_refresh(&Ok(Report::default()));
        let pace = Pace::new(polling, Jitter::Random);
        ring.follow(move |ring| follow(ring, pace.clone(), None));
        Ok(ring)
    }
}

/// Where keys are read from, and what is known of them.
#[derive(Debug)]
pub(crate) struct KeyDirectory {
    files: Files,
    choice: Choice,
    timeout: Duration,
    /// How long a new key is held before it signs.
    lead: Duration,
    /// When each key came, by its ID; `None` for those that were there long before.
    known: HashMap<String, Option<Timestamp>>,
    worker: Worker<Result<Vec<Found>, RingError>>,
}

impl KeyDirectory {
    /// Reads all keys, or none: half a rotation must not be taken for a whole one.
    pub(crate) async fn load(&mut self, now: Timestamp) -> Result<KeySet, RingError> {
        let files = self.files.clone();
        let read = self.worker.run(self.timeout, move || files.read()).await;
        let found = read.map_err(|reason| self.files.error(reason))??;
        self.note(&found, now);
        self.schedule(found)
    }

    /// Remembers when keys came.
    fn note(&mut self, found: &[Found], now: Timestamp) {
        let is_first = self.known.is_empty();
        let is_new = |found: &Found| {
            let age = found.modified.filter(|modified| *modified <= now).map(|since| now - since);
            age.is_some_and(|age| age < self.lead)
        };
        // Where every file is new the files were all put there at once, and nothing tells them apart.
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
        // Without a predecessor there is no one to sign meanwhile.
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

fn display(path: &Path) -> String {
    path.display().to_string()
}
