//! Opening a rotating ring: its settings, its first keys, and the task that follows its store.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::algorithm;
use super::ledger::Ledger;
use super::record::Vault;
use super::ring::{KeyRing, Source, WeakRing};
use super::rotation::RotationPolicy;
use super::rotator::Rotator;
use super::seal::{Sealing, SealingKey};
use super::status::NotReady;
use crate::clock::{Clock, SystemClock};
use crate::error::BuildError;
use crate::follow::{Jitter, Polling};
use crate::store::{SealingNeed, Store};

/// Builds a [`KeyRing`] that rotates by itself.
#[derive(Debug)]
#[must_use]
pub struct KeyRingBuilder {
    name: String,
    store: Option<Arc<dyn Store>>,
    policy: RotationPolicy,
    algorithm: Algorithm,
    fully_specified: bool,
    sealing: Sealing,
    jitter: Jitter,
    clock: Arc<dyn Clock>,
}

impl KeyRing {
    /// Begins a ring that rotates by itself, in a store. Its name tells it from others there: 1 to
    /// 64 of `a-z A-Z 0-9 . _ -`, the first not a dot.
    pub fn builder(name: impl Into<String>) -> KeyRingBuilder {
        KeyRingBuilder {
            name: name.into(),
            store: None,
            policy: RotationPolicy::default(),
            algorithm: Algorithm::EdDSA,
            fully_specified: false,
            sealing: Sealing::default(),
            jitter: Jitter::Random,
            clock: Arc::new(SystemClock),
        }
    }
}

impl KeyRingBuilder {
    /// Where the replicas' keys meet. Required.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// The algorithm of the keys that are made from now on. Default: EdDSA with Ed25519, so that
    /// who can validate can't forge. An HMAC algorithm is for one service that does both.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Writes `Ed25519` (RFC 9864, section 2.2) into the header where the default is `EdDSA` (RFC
    /// 8037). Either is read.
    pub fn fully_specified_algorithms(mut self) -> Self {
        self.fully_specified = true;
        self
    }

    /// When keys are made, sign and end.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Seals the private keys in the store with the first of these; all of them open. To change
    /// it: add the new one last on every replica, then put it first, and drop the old one when the
    /// last key that it sealed has ended.
    pub fn seal_with(mut self, keys: impl IntoIterator<Item = SealingKey>) -> Self {
        self.sealing.keys = keys.into_iter().collect();
        self
    }

    /// Takes private keys that are not sealed, and writes them so where no sealing key is given.
    ///
    /// A directory that no other user can read is taken without, with a warning. Together with
    /// [`seal_with`](Self::seal_with) it serves to begin sealing in a store that has keys.
    ///
    /// # Security
    ///
    /// Whoever can read the store, or a backup of it, can sign as this service; whoever can write
    /// to it can bring keys of their own.
    pub fn dangerous_unsealed(mut self) -> Self {
        self.sealing.allows_unsealed = true;
        self
    }

    /// Draws the jitter of the refresh interval from `seed`, so that a simulation on Tokio's paused
    /// clock repeats exactly.
    #[cfg(feature = "test-util")]
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter = Jitter::Seeded(seed);
        self
    }

    /// Where the time is read. Default: the system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Reads the ring from its store, makes its first keys if the store is empty, and starts the
    /// background task, which ends with the last clone of the ring. Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// If a setting is missing or can't be used, the store can't be read or written, or it holds
    /// only keys that can't be read.
    pub async fn open(self) -> Result<KeyRing, BuildError> {
        let name = ring_name(self.name)?;
        let Some(store) = self.store else {
            let mend = "say where the replicas' keys meet, for example `.store(FileStore::open(\"keys\")?)`";
            return Err(BuildError::invalid("store", "missing", mend));
        };
        let policy = RotationPolicy { store_staleness: store.staleness(), ..self.policy };
        policy.validate()?;
        let mut sealing = self.sealing;
        if sealing.keys.is_empty() && !sealing.allows_unsealed {
            match store.sealing_need() {
                SealingNeed::Required => {
                    let mend = "keys in this store have to be sealed: give `.seal_with([..])`, or \
                                say `.dangerous_unsealed()`";
                    return Err(BuildError::invalid("sealing keys", "missing", mend));
                }
                SealingNeed::Advised => {
                    tracing::warn!(ring = &*name, "private keys rest unsealed in the store");
                }
                SealingNeed::Needless => {}
            }
            sealing.allows_unsealed = true;
        }
        algorithm::specification(self.algorithm)
            .and_then(algorithm::generate)
            .map_err(|source| BuildError::Key { field: "algorithm", source })?;

        let rotator = Rotator {
            vault: Vault { ring: name.clone(), sealing },
            store: store.clone(),
            policy: policy.clone(),
            algorithm: self.algorithm,
            fully_specified: self.fully_specified,
            clock: self.clock.clone(),
            ledger: Mutex::default(),
        };
        let mut ledger = Ledger::default();
        let mut began = Instant::now();
        let read = rotator.read(&mut ledger).await;
        let (mut report, mut due) = read.map_err(|error| error.at_start(&name))?;
        if ledger.is_empty() {
            // A first ring takes the time that it takes; what others did meanwhile is read again.
            let born = rotator.write(&mut ledger, &report, due).await;
            if let Some(error) = born.err().filter(|_| ledger.is_empty()) {
                return Err(error.at_start(&name));
            }
            began = Instant::now();
            let read = rotator.read(&mut ledger).await;
            (report, due) = read.map_err(|error| error.at_start(&name))?;
        }
        // A store that can be read and not written starts a replica, which tells it.
        let written = rotator.in_time(rotator.write(&mut ledger, &report, due)).await;
        report.failure = written.err();
        if ledger.is_empty() || report.blocked == Some(NotReady::Sealed) {
            let found =
                report.skipped.first().map(|first| format!("{}: {}", first.name, first.reason));
            let reason = found.unwrap_or_else(|| "no key could be made".to_owned());
            return Err(BuildError::Unreadable { ring: name.to_string(), reason });
        }
        let keys = rotator.snapshot(&ledger);
        let rotator = Rotator { ledger: Mutex::new(ledger), ..rotator };
        let source = Source::Rotated(Box::new(rotator));
        let polling = policy.polling();
        let ring = KeyRing::new(name.clone(), self.clock, policy, keys, source);
        ring.note_refresh(&Ok(report));
        let store = Some((store, name));
        tokio::spawn(follow(ring.downgrade(), polling, self.jitter, began, store));
        Ok(ring)
    }
}

/// Refreshes a ring, whose last read `began` then, in turn and when its store tells of a change,
/// until its last handle is gone.
pub(super) async fn follow(
    ring: WeakRing,
    polling: Polling,
    mut jitter: Jitter,
    mut began: Instant,
    store: Option<(Arc<dyn Store>, Arc<str>)>,
) {
    loop {
        let pushing = store.as_ref().map(|(store, ring)| (&**store, &**ring));
        tokio::select! {
            biased;
            () = ring.dropped() => return,
            () = polling.wait(began, &mut jitter, pushing) => {}
        }
        let Some(ring) = ring.upgrade() else { return };
        began = Instant::now();
        // Told and remembered by the refresh itself.
        let _ = ring.refresh().await;
    }
}

/// Parses a ring's name.
pub(crate) fn ring_name(name: String) -> Result<Arc<str>, BuildError> {
    let form = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let well_formed =
        (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(form);
    if !well_formed {
        let mend = "use 1 to 64 of a-z A-Z 0-9 . _ -, the first not a dot";
        return Err(BuildError::invalid("name", format_args!("{name:?}"), mend));
    }
    Ok(name.into())
}
