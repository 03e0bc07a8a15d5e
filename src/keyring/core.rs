//! The shared state of a ring and its source: the snapshot that requests read, and how refreshes went.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use arc_swap::Guard;
use tokio::sync::Notify;

use crate::audit::event::{AuditKind, Origin};
use crate::audit::handle::Audit;
use crate::clock::{Clock, Timestamp};
use crate::error::operation::OperationError;
use crate::keyring::error::RingError;
use crate::keyring::refreshes::{Refreshes, Report};
use crate::keys::key_set::{KeySet, RingKey};
use crate::keys::rotation_policy::RotationPolicy;
use crate::sync::{ArcSwap, Mutex};

/// The parts of a ring that its source reads and writes.
pub(crate) struct RingCore {
    pub(crate) name: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policy: RotationPolicy,
    pub(crate) audit: Audit,
    /// The key that was last noted to sign. No request looks at it.
    signer: Mutex<Option<String>>,
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
            audit: Audit::default(),
            signer: Mutex::default(),
        }
    }

    pub(crate) fn audited(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// Remembers which key signs. If that is another one than before, and `is_noted`, it is written into the
    /// audit trail.
    pub(crate) fn note_signer(&self, is_noted: bool) {
        let (keys, now) = (self.keys(), self.now());
        let Some(signer) = keys.signer(now) else { return };
        let kid = signer.key.key_id();
        let mut last = self.signer.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() == Some(kid) {
            return;
        }
        *last = Some(kid.to_owned());
        drop(last);
        if is_noted {
            self.note_key(AuditKind::KeySigns, Origin::Here, signer, None);
        }
    }

    /// Writes an event of a key into the audit trail.
    pub(crate) fn note_key(
        &self,
        kind: AuditKind,
        origin: Origin,
        key: &RingKey,
        effective_at: Option<Timestamp>,
    ) {
        let Some(mut draft) = self.audit.begin(kind, &self.name, self.now()) else { return };
        let event = &mut draft.event;
        event.origin = origin;
        event.generation = Some(key.scheduled.generation);
        event.key_id = Some(key.key.key_id().to_owned());
        event.effective_at = effective_at;
        draft.note();
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
