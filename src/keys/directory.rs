//! A ring of the keys in a directory, as an operator or a mounted Kubernetes secret puts them there.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::{Algorithm, jwk::Jwk};
use zeroize::Zeroizing;

use super::builder::follow;
use super::key::{Key, KeyError};
use super::ring::{KeyRing, RingError, Source};
use super::rotation::RotationPolicy;
use super::rotator::Report;
use super::set::KeySet;
use crate::clock::{Clock, SystemClock};
use crate::error::BuildError;
use crate::follow::{Jitter, Pace};
use crate::store::StoreError;

impl KeyRing {
    /// Begins a ring of the keys in a directory: `*.pem` and `*.jwk` (one JWK each), private or
    /// public, in the order of their names. The first signs if it can, all verify. The directory
    /// is read again in turn; when something in it can't be read, the last good keys stay.
    ///
    /// To rotate: add the next key last; when every replica has it, put it first; remove the old
    /// one when the last token that it signed has expired.
    ///
    /// Where the directory holds a link `..data`, as a mounted Kubernetes secret does, the files
    /// are read behind it, and so all from one state of the secret.
    pub fn directory(path: impl Into<PathBuf>) -> DirectoryRingBuilder {
        DirectoryRingBuilder {
            directory: KeyDirectory { path: path.into(), rsa_algorithm: Algorithm::RS256 },
            policy: RotationPolicy::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Builds a ring of the keys in a [directory](KeyRing::directory).
#[derive(Debug)]
#[must_use]
pub struct DirectoryRingBuilder {
    directory: KeyDirectory,
    policy: RotationPolicy,
    clock: Arc<dyn Clock>,
}

impl DirectoryRingBuilder {
    /// The algorithm of the RSA keys that are PEM, which does not say it. Default: RS256.
    pub fn rsa_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.directory.rsa_algorithm = algorithm;
        self
    }

    /// The refresh interval, the longest token lifetime, the clocks' difference and the JWKS' age;
    /// what is about rotation is the operator's here.
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
    /// If the directory or a key in it can't be read, or there is none.
    pub async fn open(self) -> Result<KeyRing, BuildError> {
        self.policy.validate_each()?;
        let name: Arc<str> = self.directory.path.display().to_string().into();
        let keys = self.directory.load().await.map_err(|error| error.at_start(&name))?;
        let polling = self.policy.polling();
        let source = Source::Directory(self.directory.into());
        let ring = KeyRing::new(name, self.clock, self.policy, keys, source);
        ring.note_refresh(&Ok(Report::default()));
        tokio::spawn(follow(ring.downgrade(), Pace::new(polling, Jitter::Random), None));
        Ok(ring)
    }
}

/// Where keys are read from.
#[derive(Clone, Debug)]
pub(super) struct KeyDirectory {
    path: PathBuf,
    rsa_algorithm: Algorithm,
}

impl KeyDirectory {
    /// Reads all keys, or none: half a rotation must not be taken for a whole one.
    pub(super) async fn load(&self) -> Result<KeySet, RingError> {
        let directory = self.clone();
        let read = tokio::task::spawn_blocking(move || directory.read()).await;
        let keys = read.map_err(|error| {
            StoreError::with_source("the task that reads keys has failed", error)
        })??;
        KeySet::fixed(keys).map_err(|error| StoreError::new(error.to_string()).into())
    }

    fn read(&self) -> Result<Vec<Key>, RingError> {
        let at = |path: &Path, error: io::Error| {
            StoreError::with_source(format!("could not read {}", path.display()), error)
        };
        let data = self.path.join("..data");
        let directory = match fs::canonicalize(&data) {
            Ok(resolved) => resolved,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.path.clone(),
            Err(error) => return Err(at(&data, error).into()),
        };
        let mut paths = Vec::new();
        for file in fs::read_dir(&directory).map_err(|error| at(&directory, error))? {
            paths.push(file.map_err(|error| at(&directory, error))?.path());
        }
        paths.sort_unstable();
        let mut keys = Vec::new();
        for path in paths {
            let extension = path.extension().and_then(|extension| extension.to_str());
            let parse = match extension {
                Some("pem") => Self::parse_pem,
                Some("jwk") => Self::parse_jwk,
                _ => continue,
            };
            let text = read_file(&path).map_err(|error| at(&path, error))?;
            keys.push(parse(self, &text).map_err(|error| {
                StoreError::with_source(format!("{} is no good key", path.display()), error)
            })?);
        }
        Ok(keys)
    }

    /// PEM says which kind of key it is, so that of the algorithms at most one fits.
    fn parse_pem(&self, text: &str) -> Result<Key, KeyError> {
        let others = [Algorithm::ES256, Algorithm::ES384, self.rsa_algorithm];
        let first = Key::from_pem(Algorithm::EdDSA, text.as_bytes());
        let fits = |algorithm: &Algorithm| Key::from_pem(*algorithm, text.as_bytes()).ok();
        first.or_else(|error| others.iter().find_map(fits).ok_or(error))
    }

    fn parse_jwk(&self, text: &str) -> Result<Key, KeyError> {
        match Key::from_private_jwk(text) {
            Err(KeyError::NoPrivateJwk) => {
                let jwk: Jwk = serde_json::from_str(text).map_err(|_| KeyError::NoPrivateJwk)?;
                Key::from_jwk(&jwk)
            }
            key => key,
        }
    }
}

fn read_file(path: &Path) -> io::Result<Zeroizing<String>> {
    // Room for any key, so that growing leaves no copy of one behind; and no more than that.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES));
    fs::File::open(path)?.take(MAX_FILE_BYTES as u64).read_to_string(&mut text)?;
    Ok(text)
}

const MAX_FILE_BYTES: usize = 64 * 1024;
