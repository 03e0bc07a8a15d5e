//! [`RingOperator`]: reads and changes a ring in its store without being one of its replicas.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, SystemClock};
use crate::error::build::BuildError;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::keyring::error::RingError;
use crate::keyring::ring::KeyRing;
use crate::keyring::rotating::operator::change::{RingChange, RingChangeKind};
use crate::keyring::rotating::operator::records::{Found, RecordedKey, RingRecords};
use crate::keyring::rotating::record::{KeyMark, MarkKind, RecordContext, Statement};
use crate::keyring::rotating::seal::{Sealing, SealingKey};
use crate::keyring::skew::reading::{ClockOffset, RoundTrip};
use crate::keys::key::Operations;
use crate::store::contract::{Entry, Insertion, Store, StoreError};
use crate::store::polling::within;
use crate::store::ring_name;

/// An operator's handle to a ring in its store: for a tool that is not one of the service's replicas.
///
/// It takes algorithm and times from the ring's records, founds and restores nothing, and makes no key:
/// live replicas make the next one when they see a change. It needs no sealing key. Without them the
/// records that it reads are not authenticated: an attacker with write access to the store can show it
/// other times and keys, and cannot make the service accept them.
///
/// ```
/// use tower_jwt_session::KeyRing;
/// use tower_jwt_session::store::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let keys = KeyRing::builder("app").store(store.clone()).open().await?;
///
/// let operator = KeyRing::operate("app", store)?;
/// let records = operator.read().await?;
/// assert_eq!(records.signing_key_id, keys.status().signing_key_id);
///
/// let change = records.plan_rotation()?; // Says what will happen.
/// let done = operator.apply(&change, |_| ()).await?;
/// assert_eq!(done.key_ids, [keys.status().signing_key_id.ok_or("no key signs")?]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RingOperator {
    context: RecordContext,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

impl KeyRing {
    /// Returns an operator's handle to the ring of that name in a store. It reads nothing yet.
    ///
    /// # Errors
    ///
    /// If the name is none of a ring.
    #[doc(alias = "admin")]
    pub fn operate(name: impl AsRef<str>, store: impl Store) -> Result<RingOperator, BuildError> {
        let context = RecordContext {
            ring: ring_name::parse("name of the key ring", name.as_ref(), "")?,
            // To read is not to use.
            sealing: Sealing { keys: Vec::new(), allows_unsealed: true },
            operations: Operations::default(),
        };
        Ok(RingOperator {
            context,
            store: Arc::new(store),
            clock: Arc::new(SystemClock),
            timeout: Duration::from_secs(10),
        })
    }
}

impl RingOperator {
    /// Sets the sealing keys with which the seals of the records are checked. Default: none.
    #[must_use]
    pub fn seal_with(mut self, keys: impl IntoIterator<Item = SealingKey>) -> Self {
        self.context.sealing.keys = keys.into_iter().collect();
        self
    }

    /// Sets the longest time for one read or write of the store. Default: 10 seconds.
    #[must_use]
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the clock. Default: the system's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Reads the records of the ring. An empty store has no keys, which is no error.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn read(&self) -> Result<RingRecords, OperationError> {
        let (began, began_at) = (self.clock.now(), Instant::now());
        let load = self.store.load(&self.context.ring);
        let loaded = within(self.timeout, "reading the ring", load).await;
        let loaded = loaded.map_err(RingError::from)?;
        let now = self.clock.now();
        let trip = RoundTrip { began, ended: now, began_at, took: began_at.elapsed() };
        let offset = loaded.store_time.map(|time| ClockOffset::of(&trip, time));
        let found = Found::read(loaded.entries, loaded.skipped, &self.context);
        Ok(found.at(&self.context.ring, now, offset))
    }

    /// Writes a change, planned again from the records as they are now, and returns it with its times.
    /// `written` is called with the ID of each key whose mark the store holds. Repeating it is safe.
    ///
    /// # Errors
    ///
    /// If the ring has changed since the plan, so that other keys would be marked: then nothing is written.
    /// If the store fails: what `written` named is written, and the signing key is marked last.
    pub async fn apply(
        &self,
        change: &RingChange,
        mut written: impl FnMut(&str),
    ) -> Result<RingChange, OperationError> {
        let records = self.read().await?;
        let now = match &change.kind {
            RingChangeKind::Rotate => records.plan_rotation()?,
            RingChangeKind::Revoke(key_id) => records.plan_revocation(key_id)?,
            RingChangeKind::ReplaceAll => records.plan_replacement()?,
        };
        // To replace all is to replace also those that came meanwhile.
        let is_planned = |key_id| change.key_ids.contains(key_id);
        if change.kind != RingChangeKind::ReplaceAll && !now.key_ids.iter().all(is_planned) {
            return Err(OperationError::new(
                OperationErrorKind::KeyRingNotReady,
                "the ring has changed since this was planned, and nothing was written: plan it again",
            ));
        }
        for (kind, mark) in now.marks() {
            self.write(*kind, mark).await?;
            written(&mark.kid);
        }
        Ok(now)
    }

    async fn write(&self, kind: MarkKind, mark: &KeyMark) -> Result<(), OperationError> {
        let statement = Statement::Mark(kind, mark.clone());
        let entry = statement.to_entry().ok_or_else(|| too_long(mark))?;
        let insert = self.store.insert(&self.context.ring, &entry);
        let insertion = within(self.timeout, "writing a mark", insert).await;
        let is_there = match insertion.map_err(RingError::from)? {
            Insertion::Inserted => true,
            Insertion::Exists(value) => {
                let held = Entry { name: entry.name, value };
                Statement::parse(&held, &self.context).is_ok()
            }
            Insertion::Unreadable(_) => false,
        };
        if is_there {
            return Ok(());
        }
        let text = format!("found an unreadable mark of key {}: remove the entry", mark.kid);
        Err(RingError::from(StoreError::new(text)).into())
    }

    /// Waits until a live replica has published a key that `records` do not have, and returns it; `None`
    /// if there is none within `limit`.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn new_key(
        &self,
        records: &RingRecords,
        limit: Duration,
    ) -> Result<Option<RecordedKey>, OperationError> {
        let deadline = Instant::now() + limit;
        loop {
            let mut now = self.read().await?;
            let is_new = |key: &RecordedKey| records.key(&key.status.key_id).is_none();
            now.keys.retain(is_new);
            if let Some(key) = now.keys.into_iter().next() {
                return Ok(Some(key));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            // A store that reports no changes is read every second.
            let pause = tokio::time::sleep_until(deadline.min(Instant::now() + POLL));
            tokio::select! {
                () = pause => {}
                changed = self.store.changed(&self.context.ring) => {
                    if changed.is_err() {
                        tokio::time::sleep(POLL).await;
                    }
                }
            }
        }
    }
}

fn too_long(mark: &KeyMark) -> OperationError {
    let text = format!("the ID of key {:?} is too long for a mark", mark.kid);
    OperationError::new(OperationErrorKind::InvalidKey, text)
}

const POLL: Duration = Duration::from_secs(1);
