//! A [`KeyRing`]: the live handle to a ring's keys. One atomic pointer to a snapshot, and the task
//! that refreshes it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::crypto::error::KeyError;
use crate::error::build::BuildError;
use crate::keyring::derived::Derived;
use crate::keyring::directory::KeyDirectory;
use crate::keyring::issuer::fetch::FetchError;
use crate::keyring::issuer::follower::Follower;
use crate::keyring::rotating::key_log::Ledger;
use crate::keyring::rotating::record::Statement;
use crate::keyring::rotating::replica::{Report, Rotator};
use crate::keyring::status::{NotReady, RefreshState};
use crate::keys::key::Key;
use crate::keys::key_set::KeySet;
use crate::keys::rotation_policy::RotationPolicy;
use crate::keys::schedule::IssuingPaused;
use crate::store::contract::StoreError;
use crate::store::polling::Cooldown;
use crate::sync::{ArcSwap, Mutex, MutexGuard};
use crate::tasks::Tasks;

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
pub struct KeyRing(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) name: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policy: RotationPolicy,
    pub(crate) keys: ArcSwap<KeySet>,
    pub(crate) source: Source,
    pub(crate) refreshed: ArcSwapOption<RefreshState>,
    /// Revoked on this replica, so that no refresh that began before brings it back.
    revoked_here: Mutex<BTreeSet<String>>,
    /// Whether it was told that rotation is overdue.
    pub(crate) overdue: AtomicBool,
    /// Whether this replica was ever ready.
    pub(crate) was_ready: AtomicBool,
    /// The pause of issuing that was last logged. No request looks at it.
    pub(crate) logged_pause: Mutex<Option<IssuingPaused>>,
    /// From when it was last warned of a token from the future.
    pub(crate) future_tokens: Cooldown,
    /// What follows the source.
    pub(crate) tasks: Arc<Tasks>,
    /// Wakes the background task when the last handle is dropped.
    dropped: Arc<Notify>,
    /// Whether the ring is one that issues: it has held a key that can sign.
    pub(crate) issuing: AtomicBool,
}

/// The last handle is dropped: the background task ends now, and frees the store and its connections.
impl Drop for Inner {
    fn drop(&mut self) {
        self.dropped.notify_one();
    }
}

/// How often a token from the future is warned of.
const WARN_OF_FUTURE_TOKENS: Duration = Duration::from_secs(10 * 60);

/// Where a ring's keys come from.
pub(crate) enum Source {
    /// The application gave them.
    Fixed,
    /// A store, in which they rotate.
    Rotated(Box<Rotator>),
    /// A root secret and the time.
    Derived(Derived),
    /// Files that someone else rotates.
    /// Locked until what was read is published, so that no earlier reading comes after a later one.
    Directory(Box<tokio::sync::Mutex<KeyDirectory>>),
    /// Another service, which issues: here they only verify.
    Followed(Box<Follower>),
}

/// A handle that does not keep a ring alive.
#[derive(Clone)]
pub(crate) struct WeakRing {
    ring: Weak<Inner>,
    dropped: Arc<Notify>,
}

impl WeakRing {
    pub(crate) fn upgrade(&self) -> Option<KeyRing> {
        self.ring.upgrade().map(KeyRing)
    }

    /// Waits until the last handle that keeps the ring alive is dropped. For its one task.
    pub(crate) async fn dropped(&self) {
        self.dropped.notified().await;
    }
}

impl KeyRing {
    pub(crate) fn new(
        name: Arc<str>,
        clock: Arc<dyn Clock>,
        policy: RotationPolicy,
        keys: KeySet,
        source: Source,
    ) -> Self {
        let issuing = AtomicBool::new(keys.can_sign());
        let (keys, refreshed) = (ArcSwap::from_pointee(keys), ArcSwapOption::empty());
        Self(Arc::new(Inner {
            name,
            clock,
            policy,
            keys,
            source,
            refreshed,
            revoked_here: Mutex::default(),
            overdue: AtomicBool::default(),
            was_ready: AtomicBool::default(),
            logged_pause: Mutex::default(),
            future_tokens: Cooldown::new(WARN_OF_FUTURE_TOKENS),
            dropped: Arc::default(),
            issuing,
            tasks: Arc::default(),
        }))
    }

    /// A ring of the application's own keys, not rotated: the first that can sign does, all verify.
    /// A ring that holds only public keys validates and is ready.
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
        let keys = KeySet::fixed(keys)?;
        let (name, clock) = ("fixed".into(), Arc::new(clock));
        Ok(Self::new(name, clock, RotationPolicy::default(), keys, Source::Fixed))
    }

    /// Replaces all keys of a [fixed](Self::fixed) ring at once: requests see the old ones or the
    /// new ones, and never a mixture.
    ///
    /// # Errors
    ///
    /// If there is no key, two have the same key ID, or the ring's keys come from elsewhere. The
    /// ring keeps those it has.
    pub fn replace(&self, keys: impl IntoIterator<Item = Key>) -> Result<(), BuildError> {
        let Source::Fixed = self.0.source else {
            let mend = "only the keys of a fixed ring are replaced by a call";
            return Err(BuildError::invalid("keys", "not the application's", mend));
        };
        self.publish(KeySet::fixed(keys)?);
        Ok(())
    }

    /// Reads the store, directory or followed issuer now, and does what is due. The background does
    /// this by itself; a test with a manual clock does it after moving the clock.
    ///
    /// # Errors
    ///
    /// If the store or the fetch fails. The last known keys stay.
    pub async fn refresh(&self) -> Result<(), RingError> {
        let result = match &self.0.source {
            Source::Fixed | Source::Derived(_) => return Ok(()),
            Source::Followed(follower) => return follower.refresh(self).await,
            Source::Directory(directory) => {
                let mut directory = directory.lock().await;
                directory.load(self.now()).await.map(|keys| {
                    self.publish(keys);
                    Report::default()
                })
            }
            Source::Rotated(rotator) => {
                let mut ledger = rotator.ledger.lock().await;
                self.read(rotator, &mut ledger).await
            }
        };
        self.note_refresh(&result);
        match result {
            Ok(Report { failure: Some(failure), .. }) | Err(failure) => Err(failure),
            Ok(_) => Ok(()),
        }
    }

    /// When the background reads again at the latest, if that is sooner than it is due.
    pub(crate) async fn look_again(&self) -> Option<Instant> {
        match &self.0.source {
            Source::Rotated(rotator) => rotator.ledger.lock().await.founding.look_again(),
            _ => None,
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The durations of this ring.
    pub fn policy(&self) -> &RotationPolicy {
        &self.0.policy
    }

    /// The snapshot for `now`.
    #[inline]
    pub(crate) fn keys(&self, now: Timestamp) -> Guard<Arc<KeySet>> {
        if let Source::Derived(derived) = &self.0.source
            && derived.is_due(now)
        {
            self.derive(derived, now);
        }
        self.0.keys.load()
    }

    /// Computes the keys for `now`. Whoever comes first does it, once a period; two that do it at
    /// once do the same.
    #[cold]
    fn derive(&self, derived: &Derived, now: Timestamp) {
        // It can fail only if it failed when the ring was built.
        if let Ok(keys) = derived.keys(now) {
            self.publish(keys);
            derived.note_derived(now);
        }
    }

    #[inline]
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
            Source::Fixed | Source::Directory(_) => {
                self.0.keys.load().keys().iter().any(|key| key.key.can_sign())
            }
            _ => true,
        }
    }

    /// The longest life of any token that the ring's keys verify (L): by its own policy, and by those
    /// under which the keys were made.
    pub(crate) fn longest_token_lifetime(&self) -> Duration {
        let now = self.now();
        let keys = self.keys(now);
        let verifying = keys.keys().iter().filter(|key| key.scheduled.verifies(now));
        let lifetimes = verifying.filter_map(|key| key.scheduled.times.token_lifetime());
        lifetimes.fold(self.0.policy.max_token_lifetime, Duration::max)
    }

    /// Says that a request named a key that the ring does not hold. Never waits.
    pub(crate) fn note_unknown_key(&self, now: Timestamp) {
        if let Some(follower) = self.follower() {
            follower.note_unknown_key(now);
        }
    }

    pub(crate) fn follower(&self) -> Option<&Follower> {
        match &self.0.source {
            Source::Followed(follower) => Some(follower),
            _ => None,
        }
    }

    /// Starts what follows the source, and restarts it after a panic.
    pub(crate) fn follow<F>(&self, mut follow: impl FnMut(WeakRing) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let ring = self.downgrade();
        self.0.tasks.spawn("keys", self.0.name.clone(), move |_| follow(ring.clone()));
    }

    pub(crate) fn downgrade(&self) -> WeakRing {
        WeakRing { ring: Arc::downgrade(&self.0), dropped: self.0.dropped.clone() }
    }

    /// Makes a snapshot the one that requests take.
    pub(crate) fn publish(&self, keys: KeySet) {
        match self.0.source {
            Source::Rotated(_) => self.publish_less(keys, &self.revocations()),
            // The others' keys are not revoked one by one.
            _ => _ = self.replace_snapshot(keys),
        }
    }

    /// Keeps the snapshot that there is if nothing has changed: what is bound to it, as the cached
    /// tokens are, stays good. Returns the new one.
    fn replace_snapshot(&self, keys: KeySet) -> Option<Arc<KeySet>> {
        if keys.is_same(&self.0.keys.load()) {
            return None;
        }
        if keys.can_sign() {
            self.0.issuing.store(true, Ordering::Relaxed);
        }
        let keys = Arc::new(keys);
        self.0.keys.store(keys.clone());
        Some(keys)
    }

    /// Publishes keys less what was revoked here. That is locked meanwhile, so that of two who
    /// publish at once the later knows what the earlier did.
    pub(crate) fn publish_less(&self, keys: KeySet, revocations: &BTreeSet<String>) {
        let keys = keys.with_revoked(revocations);
        let before = self.0.keys.load();
        if let Some(after) = self.replace_snapshot(keys) {
            self.log_marks(&before, &after);
        }
    }

    pub(crate) fn rotator(&self) -> Result<&Rotator, RingError> {
        match &self.0.source {
            Source::Rotated(rotator) => Ok(rotator),
            _ => Err(RingError::NotRotated),
        }
    }

    /// Reads the store, and lets requests have what it says before anything is written.
    pub(crate) async fn read(
        &self,
        rotator: &Rotator,
        ledger: &mut Ledger,
    ) -> Result<Report, RingError> {
        let read = rotator.read(ledger).await;
        self.take_revocations(ledger);
        self.publish(rotator.snapshot(ledger));
        let (mut report, due) = read?;
        report.failure = rotator.in_time(rotator.write(ledger, &report, due)).await.err();
        self.publish(rotator.snapshot(ledger));
        Ok(report)
    }

    /// Takes into the ledger what was revoked here, to be told to the store until it knows.
    pub(crate) fn take_revocations(&self, ledger: &mut Ledger) {
        let at = self.now();
        let mut revocations = self.revocations();
        revocations.retain(|key_id| ledger.record(key_id).is_some());
        let missing = revocations.iter().filter(|kid| !ledger.is_revoked(kid));
        for mark in missing.filter_map(|kid| ledger.mark(kid, at)).collect::<Vec<_>>() {
            // A mark contradicts nothing.
            let _ = ledger.absorb(Statement::Revoke(mark));
        }
    }

    /// What was revoked on this replica. No request looks at it; no panic leaves it half changed.
    pub(crate) fn revocations(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.revoked_here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("name", &self.0.name)
            .field("fingerprint", &self.0.keys.load().fingerprint())
            .finish_non_exhaustive()
    }
}

crate::error::macros::debug_as_display!(RingError);

/// Why a ring could not be refreshed or changed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// The keys of a followed issuer could not be fetched.
    #[error("the issuer's keys could not be fetched: {0}")]
    Fetch(#[from] FetchError),
    /// The keys of a directory could not be read or used.
    #[error("cannot use the keys in {path}: {reason}")]
    Directory {
        /// The directory.
        path: String,
        /// The files and what is wrong with each.
        reason: String,
    },
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The ring holds no key of that ID.
    #[error("the ring holds no key {0:?}")]
    UnknownKey(String),
    /// The store holds what this replica may not go past.
    #[error("no key is made: {0}")]
    Blocked(NotReady),
    /// No successor of the key that signs could be made, so that nothing was retired.
    #[error("no successor of the key that signs could be made; nothing was retired: try again")]
    NoSuccessor,
    /// No key signs now, so that there is none to retire.
    #[error("no key of the ring signs now")]
    NoSigningKey,
    /// The keys of this ring are not rotated.
    #[error("the keys of this ring are not rotated in a store")]
    NotRotated,
}

impl RingError {
    pub(crate) fn at_start(self, ring: &str) -> BuildError {
        let ring = ring.to_owned();
        match self {
            Self::Store(source) => BuildError::store(ring, source),
            Self::Directory { path, reason } => BuildError::invalid("directory", path, reason),
            Self::Fetch(source) => BuildError::fetch(ring, source),
            Self::Key(source) => BuildError::key("algorithm", source),
            other => BuildError::unreadable(ring, other),
        }
    }
}
