//! A [`KeyRing`]: the live handle to a ring's keys. One atomic pointer to a snapshot, and the task
//! that refreshes it.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use jsonwebtoken::Algorithm;
use tokio::sync::Mutex;

use super::algorithm;
use super::key::{Key, KeyError};
use super::ledger::Ledger;
use super::rotation::{JITTER_PART, RotationPolicy};
use super::rotator::{Report, Rotator};
use super::set::KeySet;
use super::status::{NotReady, RefreshState, RingStatus};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::BuildError;
use crate::store::{Store, StoreError};

/// A ring of keys, held whole in memory and followed in the background. Clones share it.
///
/// 1. Reading it never waits: requests take the snapshot that is there.
/// 2. Keys are made by whichever replica finds them due first, published to all before they sign,
///    and kept after they stopped. There is no leader and nothing to operate.
/// 3. While the store is down the last known keys sign and verify on, to the limits of
///    [`RotationPolicy`].
///
/// ```
/// use tower_jwt_session::KeyRing;
/// use tower_jwt_session::store::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyRing::builder("app").store(MemoryStore::new()).open().await?;
/// keys.ready()?;
///
/// let first = keys.status().signing_key_id;
/// keys.rotate_now().await?; // The successor signs once every replica has it.
/// assert_eq!(keys.status().signing_key_id, first);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    clock: Arc<dyn Clock>,
    policy: RotationPolicy,
    keys: ArcSwap<KeySet>,
    rotator: Option<Rotator>,
    refreshed: ArcSwapOption<RefreshState>,
}

impl KeyRing {
    /// Begins a ring. Its name tells it from others in one store: 1 to 64 of
    /// `a-z A-Z 0-9 . _ -`, the first not a dot.
    pub fn builder(name: impl Into<String>) -> KeyRingBuilder {
        KeyRingBuilder {
            name: name.into(),
            store: None,
            policy: RotationPolicy::default(),
            algorithm: Algorithm::EdDSA,
            fully_specified: false,
            clock: Arc::new(SystemClock),
        }
    }

    /// A ring of the application's own keys, not rotated: the first signs if it can, all verify.
    ///
    /// # Errors
    ///
    /// If there is no key, or two have the same key ID.
    pub fn fixed(keys: impl IntoIterator<Item = Key>) -> Result<Self, BuildError> {
        Self::fixed_with_clock(keys, SystemClock)
    }

    /// Like [`fixed`](Self::fixed), with another clock.
    ///
    /// # Errors
    ///
    /// If there is no key, or two have the same key ID.
    pub fn fixed_with_clock(
        keys: impl IntoIterator<Item = Key>,
        clock: impl Clock,
    ) -> Result<Self, BuildError> {
        let keys: Vec<_> = keys.into_iter().collect();
        if keys.is_empty() {
            return Err(BuildError::invalid("keys", "empty", "give at least one key"));
        }
        for (place, key) in keys.iter().enumerate() {
            if keys[..place].iter().any(|other| other.key_id() == key.key_id()) {
                let mend = "two keys have this key ID: give each its own";
                return Err(BuildError::invalid("keys", key.key_id(), mend));
            }
        }
        Ok(Self(Arc::new(Inner {
            name: "fixed".into(),
            clock: Arc::new(clock),
            policy: RotationPolicy::default(),
            keys: ArcSwap::from_pointee(KeySet::fixed(keys)),
            rotator: None,
            refreshed: ArcSwapOption::empty(),
        })))
    }

    /// Reads the store now, and does what is due. The background does this by itself; a test with
    /// a manual clock does it after moving the clock.
    ///
    /// # Errors
    ///
    /// If the store fails. The last known keys stay.
    pub async fn refresh(&self) -> Result<(), RingError> {
        let Some(rotator) = &self.0.rotator else { return Ok(()) };
        let mut ledger = rotator.ledger.lock().await;
        let result = rotator.refresh(&mut ledger).await;
        self.0.publish(rotator, &ledger);
        self.0.note(result)
    }

    /// Begins a rotation ahead of time. The key that signs now stops once its successor has
    /// reached every replica and every cache of the JWKS; returns that time. Nothing is refused
    /// meanwhile or after, and nobody is logged out.
    ///
    /// # Errors
    ///
    /// If the store fails, the ring is not rotated here, or no key signs.
    pub async fn rotate_now(&self) -> Result<Timestamp, RingError> {
        let rotator = self.rotator()?;
        let mut ledger = rotator.ledger.lock().await;
        self.0.note(rotator.refresh(&mut ledger).await)?;
        let retired = rotator.retire_signer(&mut ledger).await;
        self.0.publish(rotator, &ledger);
        retired
    }

    /// Revokes a key, for one that has leaked: it neither signs nor verifies any more, here at
    /// once and on the other replicas when they see it. Its published successor signs. Whoever
    /// holds a token of that key has to log in again.
    ///
    /// Services that follow the JWKS may accept its tokens, and refuse its successor's, until
    /// their caches expire.
    ///
    /// # Errors
    ///
    /// If the ring has no such key, or the store fails; then the key is revoked here, and the
    /// others are told as soon as the store is back.
    pub async fn revoke(&self, key_id: &str) -> Result<(), RingError> {
        self.revoke_where(|ledger| match ledger.record(key_id) {
            Some(_) => Ok(vec![key_id.to_owned()]),
            None => Err(RingError::UnknownKey(key_id.to_owned())),
        })
        .await
    }

    /// Revokes every key, for a store that has leaked, and makes new ones. Until every replica has
    /// the first of them, for the replica lead, issuing answers 503; everyone logs in again.
    ///
    /// # Errors
    ///
    /// If the store fails; then the keys are revoked here, and the others are told as soon as the
    /// store is back.
    pub async fn replace_all(&self) -> Result<(), RingError> {
        self.revoke_where(|ledger| Ok(ledger.unrevoked())).await
    }

    /// What the ring holds and how it fares.
    pub fn status(&self) -> RingStatus {
        let (keys, refreshed) = (self.keys(), self.0.refreshed.load_full());
        RingStatus::new(&self.0.name, &keys, refreshed.as_deref(), self.now())
    }

    /// Whether this replica should be given requests.
    ///
    /// # Errors
    ///
    /// If it can't sign, if the store holds what only a newer version understands, or if this
    /// replica polls more slowly than the ring's keys allow for.
    pub fn ready(&self) -> Result<(), NotReady> {
        let keys = self.keys();
        if let Some(version) =
            self.0.refreshed.load().as_ref().and_then(|state| state.newer_version)
        {
            return Err(NotReady::NewerFormat { version });
        }
        let bound = self.0.policy.refresh_bound();
        let leads = keys.keys().iter().filter(|key| !key.scheduled.times.has_no_lead());
        let lead = leads.map(|key| key.scheduled.times.propagated - key.scheduled.times.published);
        if let Some(lead) = lead.min().filter(|lead| *lead < bound) {
            return Err(NotReady::SlowRefresh { bound, lead });
        }
        match keys.signer(self.now()) {
            Some(_) => Ok(()),
            None => Err(NotReady::NoSigningKey),
        }
    }

    /// The durations of this ring.
    pub fn policy(&self) -> &RotationPolicy {
        &self.0.policy
    }

    pub(crate) fn keys(&self) -> Guard<Arc<KeySet>> {
        self.0.keys.load()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn rotator(&self) -> Result<&Rotator, RingError> {
        self.0.rotator.as_ref().ok_or(RingError::NotRotated)
    }

    async fn revoke_where(
        &self,
        choose: impl FnOnce(&Ledger) -> Result<Vec<String>, RingError>,
    ) -> Result<(), RingError> {
        let rotator = self.rotator()?;
        let mut ledger = rotator.ledger.lock().await;
        // A store that is down must not keep a leaked key alive here.
        let refreshed = self.0.note(rotator.refresh(&mut ledger).await);
        let key_ids = choose(&ledger)?;
        let revoked = rotator.revoke(&mut ledger, key_ids).await;
        self.0.publish(rotator, &ledger);
        revoked.and(refreshed)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("name", &self.0.name)
            .field("fingerprint", &self.keys().fingerprint())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn publish(&self, rotator: &Rotator, ledger: &Ledger) {
        self.keys.store(Arc::new(rotator.snapshot(ledger)));
    }

    /// Remembers and tells how a refresh went, once for each change.
    fn note(&self, result: Result<Report, RingError>) -> Result<(), RingError> {
        let before = self.refreshed.load_full();
        let state = RefreshState::after(before.as_deref(), &result, self.clock.now());
        if before.is_none_or(|before| before.differs(&state)) {
            for skipped in &state.skipped {
                let (entry, reason) = (&skipped.name, &skipped.reason);
                tracing::warn!(ring = &*self.name, entry, reason, "skipped an entry of the store");
            }
            if let Some(failure) = &state.failure {
                tracing::warn!(
                    ring = &*self.name,
                    failure,
                    "the store failed; the last known keys go on"
                );
            }
        }
        self.refreshed.store(Some(Arc::new(state)));
        result.map(|_| ())
    }
}

/// Builds a [`KeyRing`] that rotates by itself.
#[derive(Debug)]
#[must_use]
pub struct KeyRingBuilder {
    name: String,
    store: Option<Arc<dyn Store>>,
    policy: RotationPolicy,
    algorithm: Algorithm,
    fully_specified: bool,
    clock: Arc<dyn Clock>,
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
        let form = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let well_formed = (1..=64).contains(&self.name.len())
            && !self.name.starts_with('.')
            && self.name.bytes().all(form);
        if !well_formed {
            let mend = "use 1 to 64 of a-z A-Z 0-9 . _ -, the first not a dot";
            return Err(BuildError::invalid("name", format_args!("{:?}", self.name), mend));
        }
        let Some(store) = self.store else {
            let mend = "say where the replicas' keys meet, for example `.store(FileStore::open(\"keys\")?)`";
            return Err(BuildError::invalid("store", "missing", mend));
        };
        let policy = RotationPolicy { store_staleness: store.staleness(), ..self.policy };
        policy.validate()?;
        algorithm::specification(self.algorithm)
            .and_then(algorithm::generate)
            .map_err(|source| BuildError::Key { field: "algorithm", source })?;

        let name: Arc<str> = self.name.into();
        let rotator = Rotator {
            ring: name.clone(),
            store: store.clone(),
            policy: policy.clone(),
            algorithm: self.algorithm,
            fully_specified: self.fully_specified,
            clock: self.clock.clone(),
            ledger: Mutex::default(),
        };
        let mut ledger = Ledger::default();
        let report = rotator.refresh(&mut ledger).await.map_err(|error| error.at_start(&name))?;
        if ledger.is_empty() {
            let found =
                report.skipped.first().map(|first| format!("{}: {}", first.name, first.reason));
            let reason = found.unwrap_or_else(|| "no key could be made".to_owned());
            return Err(BuildError::Unreadable { ring: name.to_string(), reason });
        }
        let keys = ArcSwap::from_pointee(rotator.snapshot(&ledger));
        let rotator = Rotator { ledger: Mutex::new(ledger), ..rotator };
        let ring = KeyRing(Arc::new(Inner {
            name,
            clock: self.clock,
            policy: policy.clone(),
            keys,
            rotator: Some(rotator),
            refreshed: ArcSwapOption::empty(),
        }));
        // Cannot fail: it was read just now.
        let _ = ring.0.note(Ok(report));
        let inner = Arc::downgrade(&ring.0);
        tokio::spawn(follow(inner, store, ring.0.name.clone(), policy.refresh_interval));
        Ok(ring)
    }
}

/// Refreshes a ring, in turn and when its store tells of a change, until its last handle is gone.
async fn follow(ring: Weak<Inner>, store: Arc<dyn Store>, name: Arc<str>, interval: Duration) {
    loop {
        // Without randomness replicas read in step, which costs the store and nothing else.
        let mut random = [0; 2];
        let _ = algorithm::fill_random(&mut random);
        let jitter = interval / JITTER_PART * u32::from(u16::from_ne_bytes(random)) / 0x1_0000;
        tokio::select! {
            () = tokio::time::sleep(interval + jitter) => {}
            () = pushed(&*store, &name) => {}
        }
        let Some(inner) = ring.upgrade() else { return };
        // Told and remembered by the refresh itself.
        let _ = KeyRing(inner).refresh().await;
    }
}

/// Waits for a change that the store tells of; a store that can't at present leaves it to polling.
async fn pushed(store: &dyn Store, name: &str) {
    if let Err(error) = store.changed(name).await {
        tracing::debug!(ring = name, %error, "the store can't tell of changes at present");
        std::future::pending().await
    }
}

/// Why a ring could not be refreshed or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The ring holds no key of that ID.
    #[error("the ring holds no key {0:?}")]
    UnknownKey(String),
    /// No key signs now, so that there is none to retire.
    #[error("no key of the ring signs now")]
    NoSigningKey,
    /// The keys of this ring are not rotated.
    #[error("the keys of this ring are fixed: it has no store to rotate them in")]
    NotRotated,
}

impl RingError {
    fn at_start(self, ring: &str) -> BuildError {
        let ring = ring.to_owned();
        match self {
            Self::Store(source) => BuildError::Store { ring, source },
            Self::Key(source) => BuildError::Key { field: "algorithm", source },
            other => BuildError::Unreadable { ring, reason: other.to_string() },
        }
    }
}
