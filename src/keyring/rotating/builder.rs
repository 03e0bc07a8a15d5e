//! Opening a rotating ring: its settings, its first keys, and the task that follows its store.

use std::sync::Arc;

use crate::audit::event::{AuditKind, Origin};
use crate::audit::handle::Audit;
use crate::clock::{Clock, SystemClock};
use crate::crypto::algorithm::Algorithm;
use crate::crypto::backend::CryptoBackend;
use crate::crypto::generate;
use crate::error::build::BuildError;
use crate::error::not_ready::{NotReady, NotReadyKind};
use crate::keyring::core::RingCore;
use crate::keyring::ring::KeyRing;
use crate::keyring::rotating::key_log::KeyLog;
use crate::keyring::rotating::record::RecordContext;
use crate::keyring::rotating::replica::{OPERATIONS, Replica};
use crate::keyring::rotating::seal::{Sealing, SealingKey};
use crate::keyring::rotating::source::RotatingSource;
use crate::keyring::skew::watch::ClockWatch;
use crate::keys::key::Operations;
use crate::keys::rotation_policy::RotationPolicy;
use crate::replica::founding::{Founding, When};
use crate::replica::writes::Writes;
use crate::store::contract::{SealingNeed, Store, StoreProperties};
use crate::store::polling::Jitter;
use crate::store::ring_name;

/// Builds a [`KeyRing`] that rotates by itself.
#[derive(Debug)]
#[must_use]
pub struct KeyRingBuilder {
    name: String,
    store: Option<Arc<dyn Store>>,
    policy: RotationPolicy,
    algorithm: Algorithm,
    operations: Operations,
    sealing: Sealing,
    when: When,
    jitter: Jitter,
    clock: Arc<dyn Clock>,
    audit: Audit,
}

impl KeyRing {
    /// Begins a ring that rotates by itself, in a store. The name identifies the ring there: 1 to
    /// 64 of `a-z A-Z 0-9 . _ -`, the first not a dot.
    pub fn builder(name: impl Into<String>) -> KeyRingBuilder {
        KeyRingBuilder {
            name: name.into(),
            store: None,
            policy: RotationPolicy::default(),
            algorithm: Algorithm::EdDSA,
            operations: Operations::default(),
            sealing: Sealing::default(),
            when: When::default(),
            jitter: Jitter::Random,
            clock: Arc::new(SystemClock),
            audit: Audit::default(),
        }
    }
}

impl KeyRingBuilder {
    /// Sets the store that the replicas share. Required.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets the algorithm of new keys. Default: [`Algorithm::EdDSA`], so that a service that only
    /// validates cannot forge. An HMAC algorithm suits one service that issues and validates.
    ///
    /// [`Algorithm::Ed25519`] makes the same keys, and writes the name of RFC 9864 into the headers
    /// of all Ed25519 keys of the ring. Tokens with either name are accepted.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Sets when keys are made, sign and end.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Encrypts private keys at rest with the first key; every listed key can decrypt. To change
    /// the sealing key: add the new one last on every replica, then put it first, and drop the old
    /// one when each key that it sealed has ended or is revoked. Until then, a replica without it does not start,
    /// and one that runs makes no keys.
    pub fn seal_with(mut self, keys: impl IntoIterator<Item = SealingKey>) -> Self {
        self.sealing.keys = keys.into_iter().collect();
        self
    }

    /// Accepts unsealed private keys, and writes them unsealed if no sealing key is given.
    ///
    /// A directory that no other user can read needs no sealing; a warning is logged. Together with
    /// [`seal_with`](Self::seal_with), this starts sealing in a store that holds unsealed keys.
    ///
    /// # Security
    ///
    /// An attacker with read access to the store or a backup can sign as this service. An attacker
    /// with write access can add keys.
    pub fn dangerous_unsealed(mut self) -> Self {
        self.sealing.allows_unsealed = true;
        self
    }

    /// Founds the ring at once if the store holds none. Default: after a wait.
    ///
    /// An empty store may be new, or it may have lost its ring. So a replica first gives live
    /// replicas time to restore their ring: 3 seconds where the store reports changes, and
    /// otherwise [`refresh_bound`](RotationPolicy::refresh_bound) + `insert_timeout`, 31.5 seconds
    /// by default. Meanwhile it is not [ready](KeyRing::ready) and issues nothing.
    /// [`open`](Self::open) does not wait for it. A store that is private to the process, as
    /// [`MemoryStore`](crate::store::MemoryStore) is, needs no wait.
    ///
    /// Set it where no other replica can be alive: for the first start of a service, and in tests.
    /// If live replicas hold another ring, both sides refuse each other's tokens until they have
    /// read each other's keys.
    pub fn found_now(mut self) -> Self {
        self.when = When::AtOnce;
        self
    }

    /// Never founds a ring: [`open`](Self::open) fails if the store holds none. Default: a ring is
    /// founded after a wait, see [`found_now`](Self::found_now).
    ///
    /// This protects against a wrong store. Another replica has to found the ring.
    pub fn never_found(mut self) -> Self {
        self.when = When::Never;
        self
    }

    /// Draws the jitter of the refresh interval from `seed`, so that a simulation on Tokio's paused
    /// clock repeats exactly.
    #[cfg(feature = "test-util")]
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter = Jitter::Seeded(seed);
        self
    }

    /// Sets the library that signs and verifies with the keys. Default: `ring`.
    pub fn crypto_backend(mut self, backend: CryptoBackend) -> Self {
        self.operations.backend = backend;
        self
    }

    /// Sets whether Ed25519 tokens are verified by signing them again: in about two thirds of the time with
    /// `ring`, and less than a third with `aws-lc-rs`. Default: yes, as only the replicas of this ring hold its private keys.
    ///
    /// What that exposes, and when to turn it off: [security](crate::guide::security).
    pub fn verify_by_signing(mut self, on: bool) -> Self {
        self.operations.verify_by_signing = on;
        self
    }

    /// Sets the clock. Default: the system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets where audit events of keys go. Give the same to the builders of the revocations and the sessions.
    /// Default: to the log.
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }

    /// Reads the ring from its store and starts the background task, which ends when the last clone
    /// of the ring is dropped. Requires a Tokio runtime.
    ///
    /// If the store holds no ring, the background task founds one after a [wait](Self::found_now);
    /// if no wait is needed, the ring is founded before this returns.
    ///
    /// # Errors
    ///
    /// If a setting is missing or invalid, the store cannot be read, none of its keys can be read,
    /// or it holds no ring and none [may](Self::never_found) or can be founded.
    pub async fn open(self) -> Result<KeyRing, BuildError> {
        let name = ring_name::parse("name of the key ring", &self.name, "")?;
        let Some(store) = self.store else {
            let fix = "give the store that the replicas share, for example `.store(FileStore::open(\"keys\")?)`";
            return Err(BuildError::invalid("store", "missing", fix));
        };
        let StoreProperties { sealing_need, staleness, .. } = store.properties();
        let policy = RotationPolicy { store_staleness: staleness, ..self.policy };
        policy.validate()?;
        let mut sealing = self.sealing;
        if sealing.keys.is_empty() && !sealing.allows_unsealed {
            match sealing_need {
                SealingNeed::Required => {
                    let fix = "other users can read this store: give `.seal_with([..])`, or \
                                say `.dangerous_unsealed()`";
                    return Err(BuildError::invalid("sealing keys", "missing", fix));
                }
                SealingNeed::Advised => {
                    let fix = "none if this service alone can read the store and its backups; otherwise \
                               give `.seal_with([..])`, with `.dangerous_unsealed()` beside it until no \
                               unsealed key is left";
                    tracing::warn!(ring = &*name, fix, "private keys are unsealed in the store");
                }
                SealingNeed::NotApplicable => {}
            }
            sealing.allows_unsealed = true;
        }
        generate::generate(self.algorithm)
            .map_err(|source| BuildError::key("algorithm", source))?;

        let polling = policy.polling();
        let mut log = KeyLog::new(Founding::new(&*store, name.clone(), &polling, self.when));
        let replica = Replica {
            context: RecordContext { ring: name.clone(), sealing, operations: self.operations },
            store: store.clone(),
            policy: policy.clone(),
            algorithm: self.algorithm,
            writes: Writes::new(
                name.clone(),
                self.clock.clone(),
                policy.refresh_interval,
                &OPERATIONS,
            ),
            clock: self.clock.clone(),
            audit: self.audit.clone(),
            clock_watch: ClockWatch::new(&policy),
        };
        let started = replica.start(&mut log).await;
        let (report, began) = started.map_err(|error| error.at_start(&name))?;
        let blocked = report.blocked.as_ref().map(NotReady::kind);
        let is_waiting = blocked == Some(NotReadyKind::Founding);
        let is_lost = report.unreadable || blocked == Some(NotReadyKind::Sealed);
        if is_lost || (log.is_empty() && !is_waiting) {
            let found =
                report.skipped.first().map(|first| format!("{}: {}", first.name, first.reason));
            let reason = found.unwrap_or_else(|| "no key could be made".to_owned());
            return Err(BuildError::unreadable(name, reason));
        }
        if log.is_empty() && self.when == When::Never {
            return Err(BuildError::no_ring(name));
        }
        let keys = log.snapshot(self.algorithm);
        self.audit.show_zeros(&name, &KINDS);
        let read = keys.keys().len() - log.made_here.len().min(keys.keys().len());
        if read > 0
            && let Some(mut draft) = self.audit.begin(AuditKind::RingRead, &name, self.clock.now())
        {
            draft.event.origin = Origin::Store;
            draft.event.count = Some(read as u64);
            draft.note();
        }
        let core = RingCore::new(name, self.clock, policy, keys).audited(self.audit);
        core.note_signer(!log.made_here.is_empty());
        let source = RotatingSource::new(replica, log);
        Ok(KeyRing::opened(core, source, Ok(report), self.jitter, began, Some(store)))
    }
}

/// The kinds of events of a ring.
const KINDS: [AuditKind; 7] = [
    AuditKind::KeyPublished,
    AuditKind::KeySigns,
    AuditKind::KeyRetired,
    AuditKind::KeyRevoked,
    AuditKind::RingFounded,
    AuditKind::RingRead,
    AuditKind::RingRestored,
];
