//! The shared state of a ring and its source: the snapshot that requests read, and how refreshes went.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::Guard;
use tokio::sync::Notify;

use crate::clock::{Clock, Timestamp};
use crate::error::operation::OperationError;
use crate::keyring::error::RingError;
use crate::keyring::refreshes::{Refreshes, Report};
use crate::keys::key_set::KeySet;
use crate::keys::rotation_policy::RotationPolicy;
use crate::sync::ArcSwap;

/// The parts of a ring that its source reads and writes.
pub(crate) struct RingCore {
    pub(crate) name: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policy: RotationPolicy,
    keys: ArcSwap<KeySet>,
    /// Whether the ring ever held a key that can sign.
    has_held_signer: AtomicBool,
    pub(crate) refreshes: Refreshes,
    /// Starts a refresh; and ends the background task when the last handle is dropped.
    pub(crate) wake: Arc<Notify>,
}

impl RingCore {
    pub(crate) fn new(
        name: Arc<str>,
        clock: Arc<dyn Clock>,
        policy: RotationPolicy,
        keys: KeySet,
    ) -> Self {
        Self {
            has_held_signer: AtomicBool::new(keys.can_sign()),
            keys: ArcSwap::from_pointee(keys),
            refreshes: Refreshes::new(name.clone(), clock.clone()),
            wake: Arc::default(),
            name,
            clock,
            policy,
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The snapshot that was published last.
    #[inline]
    pub(crate) fn keys(&self) -> Guard<Arc<KeySet>> {
        self.keys.load()
    }

    /// Publishes a snapshot to requests. An equal one is dropped: cached tokens are bound to the
    /// snapshot in use. Returns the new one.
    pub(crate) fn publish(&self, keys: KeySet) -> Option<Arc<KeySet>> {
        if keys.is_same(&self.keys.load()) {
            return None;
        }
        if keys.can_sign() {
            self.has_held_signer.store(true, Ordering::Relaxed);
        }
        let keys = Arc::new(keys);
        self.keys.store(keys.clone());
        Some(keys)
    }

    /// Records how a refresh went.
    pub(crate) fn record(&self, read: Result<Report, RingError>) -> Result<Report, OperationError> {
        let read = read.map_err(OperationError::from);
        self.refreshes.record(&read);
        read
    }

    pub(crate) fn has_held_signer(&self) -> bool {
        self.has_held_signer.load(Ordering::Relaxed)
    }
}
