//! Opens a ring of the keys in a directory, which an operator or a mounted Kubernetes secret fills.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;

use crate::clock::{Clock, SystemClock};
use crate::crypto::algorithm::Algorithm;
use crate::crypto::backend::CryptoBackend;
use crate::error::build::BuildError;
use crate::keyring::core::RingCore;
use crate::keyring::directory::files::{Choice, Files};
use crate::keyring::directory::source::DirectorySource;
use crate::keyring::ring::KeyRing;
use crate::keys::key_set::KeySet;
use crate::keys::rotation_policy::RotationPolicy;
use crate::store::polling::Jitter;

impl KeyRing {
    /// Begins a ring of the keys in a directory: `*.pem` and `*.jwk` (one JWK each), private or
    /// public. All verify. The directory is read again every refresh interval. If any file in it
    /// cannot be read, the last good keys stay in use, and status and log name the file and the
    /// reason.
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
    /// says so in [`issuing_paused`](crate::KeyRingStatus::issuing_paused).
    pub fn directory(path: impl Into<PathBuf>) -> DirectoryRingBuilder {
        let (path, rsa_algorithm) = (path.into(), Algorithm::RS256);
        DirectoryRingBuilder {
            files: Files {
                path,
                rsa_algorithm,
                choice: Choice::Newest,
                backend: CryptoBackend::default(),
            },
            policy: RotationPolicy::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Builds a ring of the keys in a [directory](KeyRing::directory).
#[derive(Debug)]
#[must_use]
pub struct DirectoryRingBuilder {
    files: Files,
    policy: RotationPolicy,
    clock: Arc<dyn Clock>,
}

impl DirectoryRingBuilder {
    /// Sets the algorithm of the RSA keys that name none, as PEM never does. Default: RS256.
    pub fn rsa_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.files.rsa_algorithm = algorithm;
        self
    }

    /// Signs with the key of this ID, the [thumbprint](crate::Key::key_id) unless a JWK has its own
    /// `kid`. Let every replica hold the key before any signs with it.
    pub fn signing_key_id(mut self, key_id: impl Into<String>) -> Self {
        self.files.choice = Choice::KeyId(key_id.into());
        self
    }

    /// Signs with the key in the file that this symbolic link in the directory points to, for
    /// example `current`. Let every replica hold the key before the link is moved to it, and move
    /// the link by a rename.
    pub fn signing_link(mut self, name: impl Into<String>) -> Self {
        self.files.choice = Choice::Link(name.into());
        self
    }

    /// Sets the refresh interval and timeout, the longest token lifetime, and the parts of
    /// [`full_lead`](RotationPolicy::full_lead). Other settings have no effect: the operator
    /// rotates.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the library that signs and verifies with the keys. Default: `ring`.
    pub fn crypto_backend(mut self, backend: CryptoBackend) -> Self {
        self.files.backend = backend;
        self
    }

    /// Sets the clock. Default: the system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Reads the keys and starts the background task, which ends when the last clone of the ring is
    /// dropped. Requires a Tokio runtime.
    ///
    /// # Errors
    ///
    /// If the directory or a key in it cannot be read, within
    /// [`refresh_timeout`](RotationPolicy::refresh_timeout), there is no key, or none that can sign
    /// is the chosen one.
    pub async fn open(self) -> Result<KeyRing, BuildError> {
        self.policy.validate_each()?;
        let name = self.files.path.display().to_string().into();
        let core = RingCore::new(name, self.clock, self.policy, KeySet::empty());
        let source = DirectorySource::new(self.files);
        let began = Instant::now();
        let report = source.update(&core).await.map_err(|error| error.at_start(&core.name))?;
        Ok(KeyRing::opened(core, source, Ok(report), Jitter::Random, began, None))
    }
}
