//! A [`KeyRing`]: the live handle to a ring's keys. One atomic pointer to a snapshot, and the task
//! that refreshes it.

use std::fmt;
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};

use super::key::{Key, KeyError};
use super::ledger::Ledger;
use super::remote::{FetchError, Follower};
use super::rotation::RotationPolicy;
use super::rotator::{Report, Rotator};
use super::set::KeySet;
use super::status::{NotReady, RefreshState, RingStatus};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::BuildError;
use crate::store::{Skipped, StoreError};

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
    source: Source,
    refreshed: ArcSwapOption<RefreshState>,
}

/// Where a ring's keys come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The application gave them.
    Fixed,
    /// A store, in which they rotate.
    Rotated(Box<Rotator>),
    /// Another service, which issues: here they only verify.
    Followed(Box<Follower>),
}

/// A handle that does not keep a ring alive.
pub(super) struct WeakRing(Weak<Inner>);

impl WeakRing {
    pub(super) fn upgrade(&self) -> Option<KeyRing> {
        self.0.upgrade().map(KeyRing)
    }
}

impl KeyRing {
    pub(super) fn new(
        name: Arc<str>,
        clock: Arc<dyn Clock>,
        policy: RotationPolicy,
        keys: KeySet,
        source: Source,
    ) -> Self {
        let (keys, refreshed) = (ArcSwap::from_pointee(keys), ArcSwapOption::empty());
        Self(Arc::new(Inner { name, clock, policy, keys, source, refreshed }))
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
        let (name, clock) = ("fixed".into(), Arc::new(clock));
        let keys = KeySet::fixed(keys);
        Ok(Self::new(name, clock, RotationPolicy::default(), keys, Source::Fixed))
    }

    /// Reads the store now and does what is due, or fetches the keys of a followed issuer. The background does this by itself; a test with
    /// a manual clock does it after moving the clock.
    ///
    /// # Errors
    ///
    /// If the store or the fetch fails. The last known keys stay.
    pub async fn refresh(&self) -> Result<(), RingError> {
        if let Some(follower) = self.follower() {
            return follower.refresh(self).await;
        }
        let Ok(rotator) = self.rotator() else { return Ok(()) };
        let mut ledger = rotator.ledger.lock().await;
        let result = rotator.refresh(&mut ledger).await;
        self.publish(rotator.snapshot(&ledger));
        self.note_refresh(&result);
        result.map(|_| ())
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
        let refreshed = rotator.refresh(&mut ledger).await;
        self.note_refresh(&refreshed);
        refreshed?;
        let retired = rotator.retire_signer(&mut ledger).await;
        self.publish(rotator.snapshot(&ledger));
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
    /// replica polls more slowly than the ring's keys allow for. A ring that follows an issuer need
    /// not sign; it is not ready once its keys are too old to verify.
    pub fn ready(&self) -> Result<(), NotReady> {
        let keys = self.keys();
        if let Some(follower) = self.follower() {
            let state = self.0.refreshed.load();
            let failure = state.as_ref().and_then(|state| state.failure.as_deref());
            return follower.ready(&keys, failure, self.now());
        }
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

    /// The issuer that this ring follows, whose tokens alone its keys may verify.
    pub(crate) fn followed_issuer(&self) -> Option<&str> {
        self.follower().map(Follower::issuer)
    }

    /// Whether tokens are ever issued with this ring.
    pub(crate) fn issues(&self) -> bool {
        match &self.0.source {
            Source::Followed(_) => false,
            Source::Fixed => self.keys().keys().iter().any(|key| key.key.can_sign()),
            _ => true,
        }
    }

    /// Says that a request named a key that the ring does not hold. Never waits.
    pub(crate) fn note_unknown_key(&self, now: Timestamp) {
        if let Some(follower) = self.follower() {
            follower.note_unknown_key(now);
        }
    }

    pub(super) fn follower(&self) -> Option<&Follower> {
        match &self.0.source {
            Source::Followed(follower) => Some(follower),
            _ => None,
        }
    }

    pub(super) fn downgrade(&self) -> WeakRing {
        WeakRing(Arc::downgrade(&self.0))
    }

    /// Makes a snapshot the one that requests take.
    pub(super) fn publish(&self, keys: KeySet) {
        self.0.keys.store(Arc::new(keys));
    }

    /// Remembers and tells how a refresh went, once for each change.
    pub(super) fn note_refresh(&self, result: &Result<Report, RingError>) {
        let ring = &*self.0.name;
        let before = self.0.refreshed.load_full();
        let state = RefreshState::after(before.as_deref(), result, self.now());
        if before.is_none_or(|before| before.differs(&state)) {
            for Skipped { name, reason } in &state.skipped {
                tracing::warn!(ring, entry = name, reason, "skipped an entry");
            }
            if let Some(failure) = &state.failure {
                tracing::warn!(ring, failure, "a refresh failed; the last known keys go on");
            }
        }
        self.0.refreshed.store(Some(Arc::new(state)));
    }

    fn rotator(&self) -> Result<&Rotator, RingError> {
        match &self.0.source {
            Source::Rotated(rotator) => Ok(rotator),
            Source::Fixed | Source::Followed(_) => Err(RingError::NotRotated),
        }
    }

    async fn revoke_where(
        &self,
        choose: impl FnOnce(&Ledger) -> Result<Vec<String>, RingError>,
    ) -> Result<(), RingError> {
        let rotator = self.rotator()?;
        let mut ledger = rotator.ledger.lock().await;
        // A store that is down must not keep a leaked key alive here.
        let refreshed = rotator.refresh(&mut ledger).await;
        self.note_refresh(&refreshed);
        let key_ids = choose(&ledger)?;
        let revoked = rotator.revoke(&mut ledger, key_ids).await;
        self.publish(rotator.snapshot(&ledger));
        revoked.and(refreshed.map(|_| ()))
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

/// Why a ring could not be refreshed or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// The keys of a followed issuer could not be fetched.
    #[error("the issuer's keys could not be fetched: {0}")]
    Fetch(#[from] FetchError),
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
    #[error("the keys of this ring are not rotated here: it has no store")]
    NotRotated,
}

impl RingError {
    pub(super) fn at_start(self, ring: &str) -> BuildError {
        let ring = ring.to_owned();
        match self {
            Self::Store(source) => BuildError::Store { ring, source },
            Self::Fetch(source) => BuildError::Fetch { issuer: ring, source },
            Self::Key(source) => BuildError::Key { field: "algorithm", source },
            other => BuildError::Unreadable { ring, reason: other.to_string() },
        }
    }
}
