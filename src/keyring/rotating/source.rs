//! The rotating source: owns a replica's [`KeyLog`], under the one lock that orders its refreshes and
//! commands.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use crate::audit::event::{AuditKind, Origin};
use crate::clock::Timestamp;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::keyring::core::RingCore;
use crate::keyring::error::RingError;
use crate::keyring::refreshes::Report;
use crate::keyring::rotating::key_log::KeyLog;
use crate::keyring::rotating::record::{MarkKind, Statement};
use crate::keyring::rotating::replica::Replica;
use crate::keyring::skew::watch::ClockWatch;
use crate::keyring::source::{Issues, KeySource, Rotating, SourceFuture};
use crate::keys::key_set::KeySet;
use crate::replica::writes::Writes;
use crate::sync::{Mutex, MutexGuard};

/// Keys that rotate in a store.
pub(crate) struct RotatingSource {
    replica: Replica,
    /// Held for a whole refresh or command. Requests never take it.
    log: tokio::sync::Mutex<KeyLog>,
    /// The IDs of keys that were revoked on this replica: no refresh that began before brings one
    /// back.
    revoked_here: Mutex<BTreeSet<String>>,
}

impl RotatingSource {
    pub(crate) fn new(replica: Replica, log: KeyLog) -> Self {
        Self { replica, log: log.into(), revoked_here: Mutex::default() }
    }

    /// Reads the store, and publishes what it holds before anything is written.
    async fn read(&self, ring: &RingCore, log: &mut KeyLog) -> Result<Report, RingError> {
        let read = self.replica.read(log).await;
        self.merge_revocations(log, ring.now());
        self.publish(ring, log);
        let (mut report, due) = read?;
        let writing = self.replica.write(log, due);
        report.failure = self.replica.in_time(writing).await.err().map(OperationError::from);
        self.publish(ring, log);
        Ok(report)
    }

    /// Reads the store, and records how that went.
    async fn read_and_record(
        &self,
        ring: &RingCore,
        log: &mut KeyLog,
    ) -> Result<Report, OperationError> {
        ring.record(self.read(ring, log).await)
    }

    /// Marks the keys in the log that were revoked here, so that they are written until the store
    /// holds them.
    fn merge_revocations(&self, log: &mut KeyLog, at: Timestamp) {
        let mut revoked = self.revoked_here();
        revoked.retain(|key_id| log.record(key_id).is_some());
        let missing = revoked.iter().filter(|key_id| !log.is_revoked(key_id));
        for mark in missing.filter_map(|key_id| log.mark(key_id, at)).collect::<Vec<_>>() {
            // A mark contradicts nothing.
            let _ = log.merge(Statement::Mark(MarkKind::Revoke, mark));
        }
    }

    fn publish(&self, ring: &RingCore, log: &KeyLog) {
        let keys = log.snapshot(self.replica.algorithm);
        publish_without(ring, &keys, &self.revoked_here(), Some(log));
    }

    /// Revokes keys in the snapshot at once.
    fn revoke_here(&self, ring: &RingCore, key_ids: impl IntoIterator<Item = String>) {
        let mut revoked = self.revoked_here();
        revoked.extend(key_ids);
        publish_without(ring, &ring.keys(), &revoked, None);
    }

    /// No request takes this lock, and no panic leaves the set half changed.
    fn revoked_here(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.revoked_here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Publishes keys less those revoked here. That set is locked meanwhile: of two callers the later
/// one knows what the earlier one did.
fn publish_without(
    ring: &RingCore,
    keys: &KeySet,
    revoked: &BTreeSet<String>,
    log: Option<&KeyLog>,
) {
    let before = ring.keys();
    if let Some(after) = ring.publish(keys.with_revoked(revoked)) {
        note_changes(ring, &before, &after, revoked, log);
    }
}

/// Writes new keys, retirements and revocations into the audit trail, of this replica and of others. A key
/// that this replica made is noted where it is made.
fn note_changes(
    ring: &RingCore,
    before: &KeySet,
    after: &KeySet,
    revoked: &BTreeSet<String>,
    log: Option<&KeyLog>,
) {
    let origin = |is_here| if is_here { Origin::Here } else { Origin::Store };
    for key in after.keys() {
        let (kid, scheduled) = (key.key.key_id(), &key.scheduled);
        let before = before.by_key_id(kid, key.key.algorithm()).map(|key| &key.scheduled);
        if before.is_none() && log.is_none_or(|log| !log.made_here.contains(kid)) {
            let signs_from = Some(scheduled.times.signs_from);
            ring.note_key(AuditKind::KeyPublished, Origin::Store, key, signs_from);
        }
        if let Some(at) = scheduled.retire_at
            && before.is_none_or(|before| before.retire_at.is_none())
        {
            let is_here = log.is_some_and(|log| log.retired_here.contains(kid));
            ring.note_key(AuditKind::KeyRetired, origin(is_here), key, Some(at));
        }
        if scheduled.revoked && before.is_none_or(|before| !before.revoked) {
            let is_here = revoked.contains(kid);
            ring.note_key(AuditKind::KeyRevoked, origin(is_here), key, None);
        }
    }
}

impl KeySource for RotatingSource {
    fn issues(&self) -> Issues {
        Issues::Always
    }

    fn refresh<'a>(&'a self, ring: &'a RingCore) -> SourceFuture<'a, Result<(), OperationError>> {
        Box::pin(async {
            let mut log = self.log.lock().await;
            self.read_and_record(ring, &mut log).await?.failure.map_or(Ok(()), Err)
        })
    }

    fn due<'a>(
        &'a self,
        ring: &'a RingCore,
        began: Instant,
        random: u16,
    ) -> SourceFuture<'a, Instant> {
        Box::pin(async move {
            let sooner = self.log.lock().await.founding.look_again();
            ring.policy.polling().due(began, sooner, random)
        })
    }

    fn rotating(&self) -> Option<&dyn Rotating> {
        Some(self)
    }
}

impl Rotating for RotatingSource {
    fn rotate_now<'a>(
        &'a self,
        ring: &'a RingCore,
    ) -> SourceFuture<'a, Result<Timestamp, OperationError>> {
        Box::pin(async {
            let mut log = self.log.lock().await;
            self.read_and_record(ring, &mut log).await?;
            let retired = self.replica.in_time(self.replica.hand_over(&mut log)).await;
            self.publish(ring, &log);
            Ok(retired?)
        })
    }

    /// The known keys are revoked before the store is asked, whatever becomes of that or of this
    /// future; then those that the store adds.
    fn revoke<'a>(
        &'a self,
        ring: &'a RingCore,
        key_id: Option<&'a str>,
    ) -> SourceFuture<'a, Result<(), OperationError>> {
        let is_chosen = move |held: &str| key_id.is_none_or(|key_id| key_id == held);
        Box::pin(async move {
            let known: Arc<KeySet> = ring.keys().clone();
            let known = known.keys().iter().map(|key| key.key.key_id().to_owned());
            self.revoke_here(ring, known.filter(|held| is_chosen(held)));
            let mut log = self.log.lock().await;
            self.merge_revocations(&mut log, ring.now());
            let read = self.replica.read(&mut log).await;
            let mut chosen = log.key_ids();
            chosen.retain(|held| is_chosen(held));
            self.revoke_here(ring, chosen.iter().cloned());
            self.merge_revocations(&mut log, ring.now());
            self.publish(ring, &log);
            if let Some(key_id) = key_id.filter(|_| chosen.is_empty()) {
                let text = format!("the ring holds no key of this ID: {key_id:?}");
                return Err(OperationError::new(OperationErrorKind::UnknownKey, text));
            }
            let writing = self.replica.persist_revocations(&mut log, chosen);
            let written = self.replica.in_time(writing).await;
            self.publish(ring, &log);
            Ok(read.map(|_| ()).and(written)?)
        })
    }

    fn writes(&self) -> &Writes {
        &self.replica.writes
    }

    fn seals(&self) -> bool {
        !self.replica.context.sealing.keys.is_empty()
    }

    fn clock_watch(&self) -> &ClockWatch {
        &self.replica.clock_watch
    }
}
