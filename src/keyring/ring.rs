//! A [`KeyRing`]: the live handle to a ring's keys. One atomic pointer to a snapshot, and the source
//! that publishes the next one.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::Guard;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::cooldown::Cooldown;
use crate::error::operation::OperationError;
use crate::keyring::core::RingCore;
use crate::keyring::refreshes::Report;
use crate::keyring::source::{Issues, KeySource, Rotating};
use crate::keys::key_set::KeySet;
use crate::keys::rotation_policy::RotationPolicy;
use crate::keys::schedule::IssuingPaused;
use crate::store::contract::Store;
use crate::store::polling::{self, Followed, Jitter, Wakes};
use crate::sync::Mutex;
use crate::tasks::Tasks;

/// A ring of keys, held in memory and refreshed in the background. Clones share it.
///
/// 1. Requests read the current snapshot and never wait.
/// 2. Any replica may create the next key when it is due; the store's atomic insert picks one
///    winner. Keys are published before they sign and kept after they stop. There is no leader.
/// 3. While the store is down, the last known keys sign and verify, up to the limits of
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
#[doc(alias = "data protection")]
#[doc(alias = "key rotation")]
pub struct KeyRing(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) core: RingCore,
    pub(crate) source: Box<dyn KeySource>,
    /// Whether "rotation is overdue" is logged.
    pub(crate) overdue: AtomicBool,
    /// Whether this replica was ever ready.
    pub(crate) was_ready: AtomicBool,
    /// The pause of issuing that was last logged. No request looks at it.
    pub(crate) logged_pause: Mutex<Option<IssuingPaused>>,
    /// Spaces the warnings of tokens from the future.
    pub(crate) future_tokens: Cooldown,
    /// The background task.
    pub(crate) tasks: Arc<Tasks>,
}

/// The last handle is dropped: the background task ends now, and frees the store and its connections.
impl Drop for Inner {
    fn drop(&mut self) {
        self.core.wake.notify_one();
    }
}

/// The least time between two warnings of tokens from the future.
const WARN_OF_FUTURE_TOKENS: Duration = Duration::from_secs(10 * 60);

impl KeyRing {
    pub(crate) fn new(core: RingCore, source: impl KeySource) -> Self {
        Self(Arc::new(Inner {
            core,
            source: Box::new(source),
            overdue: AtomicBool::default(),
            was_ready: AtomicBool::default(),
            logged_pause: Mutex::default(),
            future_tokens: Cooldown::new(WARN_OF_FUTURE_TOKENS),
            tasks: Arc::default(),
        }))
    }

    /// A ring whose first keys are published, as that report says, or could not be read yet; and its
    /// background task.
    pub(crate) fn opened(
        core: RingCore,
        source: impl KeySource,
        report: Result<Report, OperationError>,
        jitter: Jitter,
        began: Instant,
        store: Option<Arc<dyn Store>>,
    ) -> Self {
        core.refreshes.record(&report);
        let ring = Self::new(core, source);
        ring.observe_refresh();
        ring.follow(jitter, began, store);
        ring
    }

    /// Starts the background task, which refreshes the ring until its last handle is dropped: when a
    /// refresh is due after the last, which `began` then, or when the store reports a change.
    fn follow(&self, jitter: Jitter, began: Instant, store: Option<Arc<dyn Store>>) {
        let name = self.name().clone();
        let store = store.map(|store| (store, name.clone()));
        let wakes = Wakes { store, wake: self.0.core.wake.clone() };
        let ring = Arc::downgrade(&self.0);
        self.0.tasks.spawn("keys", name, move |_| {
            let ring: Weak<Inner> = ring.clone();
            let upgrade = move || ring.upgrade().map(KeyRing);
            polling::follow(upgrade, wakes.clone(), jitter.clone(), began)
        });
    }

    /// Reads the store, directory or followed issuer now, and writes due keys. The background task
    /// does this by itself; tests with a manual clock call it after moving the clock.
    ///
    /// # Errors
    ///
    /// If the store, the directory or the fetch fails. The last known keys stay in use.
    pub async fn refresh(&self) -> Result<(), OperationError> {
        let refreshed = self.0.source.refresh(&self.0.core).await;
        self.observe_refresh();
        refreshed
    }

    /// Rotates ahead of time. The signing key stops once its successor has reached every replica
    /// and every cache of the JWKS; returns that time. No token is refused, and nobody is logged
    /// out.
    ///
    /// The successor is the next key of the ring's [algorithm](crate::KeyRingBuilder::algorithm). After
    /// that setting was changed, the published keys of the former algorithm are retired together with
    /// the signing key, and the new algorithm signs a full lead from now, 12.5 minutes by default.
    /// Call it once every replica has the new setting: until then replicas with the former one go on
    /// making keys of the former algorithm, which take their turn later. Calling it again skips those.
    /// A tool that is none of the replicas uses [`operate`](Self::operate): it makes no key.
    ///
    /// # Errors
    ///
    /// If the store fails, the ring does not rotate in a store, no key signs, or no successor could
    /// be made. Then no key is retired.
    pub async fn rotate_now(&self) -> Result<Timestamp, OperationError> {
        let rotated = self.rotating()?.rotate_now(&self.0.core).await;
        self.observe_refresh();
        rotated
    }

    /// Revokes a leaked key: it neither signs nor verifies any more, here at once and on other
    /// replicas when they read the store. Its published successor signs. If that has not reached
    /// every replica yet, after a second revocation or in a ring's first minutes, issuing is
    /// [paused](crate::KeyRingStatus::issuing_paused) until it has, and answers 503. Replicas stay
    /// ready meanwhile. Users with a token of that key have to log in again.
    ///
    /// Services that follow the JWKS may accept the key's tokens, and refuse its successor's, until
    /// their caches expire.
    ///
    /// # Errors
    ///
    /// If the ring has no such key, or the store fails. Then the key is revoked here, and the
    /// revocation is written when the store is back.
    pub async fn revoke(&self, key_id: &str) -> Result<(), OperationError> {
        let revoked = self.rotating()?.revoke(&self.0.core, Some(key_id)).await;
        self.note_signer();
        self.log_pause(self.now());
        revoked
    }

    /// Revokes every key of a leaked store, and makes new ones. Until every replica has the first
    /// of them, for the replica lead, issuing is [paused](crate::KeyRingStatus::issuing_paused) and
    /// answers 503, while replicas stay ready; everyone logs in again.
    ///
    /// # Errors
    ///
    /// If the store fails. Then the keys are revoked here, and the revocations are written when the
    /// store is back.
    pub async fn replace_all(&self) -> Result<(), OperationError> {
        let replaced = self.rotating()?.revoke(&self.0.core, None).await;
        self.note_signer();
        self.log_pause(self.now());
        replaced
    }

    fn rotating(&self) -> Result<&dyn Rotating, OperationError> {
        self.0.source.rotating().ok_or_else(|| {
            OperationError::not_configured("the keys of this ring are not rotated in a store")
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.0.core.name
    }

    /// Returns the durations of this ring.
    pub fn policy(&self) -> &RotationPolicy {
        &self.0.core.policy
    }

    /// The snapshot for `now`.
    #[inline]
    pub(crate) fn keys(&self, now: Timestamp) -> Guard<Arc<KeySet>> {
        let keys = self.0.core.keys();
        if keys.covers(now) { keys } else { self.keys_at(now) }
    }

    /// Publishes the keys for a time that the snapshot does not cover. Several callers at once do the
    /// same.
    #[cold]
    fn keys_at(&self, now: Timestamp) -> Guard<Arc<KeySet>> {
        if let Some(keys) = self.0.source.keys_at(now) {
            self.0.core.publish(keys);
        }
        self.0.core.keys()
    }

    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        self.0.core.now()
    }

    /// The issuer that this ring follows: its keys verify the tokens of this issuer only.
    pub(crate) fn followed_issuer(&self) -> Option<&str> {
        self.0.source.max_staleness().map(|_| &**self.name())
    }

    /// Whether it follows an issuer, and may be there before the issuer's keys.
    pub(crate) fn starts_without_keys(&self) -> bool {
        self.0.source.starts_without_keys()
    }

    /// Whether tokens are ever issued with this ring.
    pub(crate) fn issues(&self) -> bool {
        match self.0.source.issues() {
            Issues::Always => true,
            Issues::WithPrivateKey => {
                self.0.core.keys().keys().iter().any(|key| key.key.can_sign())
            }
            Issues::Never => false,
        }
    }

    /// Whether tokens are issued only because the application gave a private key.
    pub(crate) fn issues_by_given_key(&self) -> bool {
        self.issues() && self.0.source.issues() == Issues::WithPrivateKey
    }

    /// The longest life of any token that the ring's keys verify (L): by its own policy, and by those
    /// under which the keys were made.
    pub(crate) fn longest_token_lifetime(&self) -> Duration {
        let now = self.now();
        let keys = self.keys(now);
        let verifying = keys.keys().iter().filter(|key| key.scheduled.verifies(now));
        let lifetimes = verifying.filter_map(|key| key.scheduled.times.token_lifetime());
        lifetimes.fold(self.policy().max_token_lifetime, Duration::max)
    }

    /// Asks for a refresh because a request named an unknown key. It never waits.
    pub(crate) fn request_refetch(&self, now: Timestamp) {
        self.0.source.request_refetch(&self.0.core, now);
    }
}

impl Followed for KeyRing {
    async fn refresh_now(&self) {
        let _ = self.refresh().await;
    }

    async fn due(&self, began: Instant, random: u16) -> Instant {
        self.0.source.due(&self.0.core, began, random).await
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("name", self.name())
            .field("fingerprint", &self.0.core.keys().fingerprint())
            .finish_non_exhaustive()
    }
}
