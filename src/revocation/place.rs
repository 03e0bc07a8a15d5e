//! The place of one replica's revocations in a store: its name, and each access with its time limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::audit::event::{AuditKind, Origin};
use crate::audit::handle::Audit;
use crate::base64url;
use crate::clock::{Clock, Timestamp};
use crate::replica::writes::Writes;
use crate::revocation::rules;
use crate::revocation::writing::{News, Writing};
use crate::store::contract::{Entry, EntryName, Insertion, Loaded, StoreError};
use crate::store::feed::{
    Advance, Cursor, FeedRead, Register, RegisterId, RevocationStore, RevokedSession,
};
use crate::store::measured::{
    ADVANCE, APPEND, INSERT, Operation, PROBE, REMOVE, RESTORE, measured,
};
use crate::store::polling::{Polling, within};

/// Where revocations are recorded, and how.
pub(crate) struct Place {
    pub(crate) name: Arc<str>,
    pub(crate) store: Arc<dyn RevocationStore>,
    pub(crate) polling: Polling,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) writes: Writes,
    pub(crate) audit: Audit,
    /// What this replica writes just now.
    pub(crate) writing: Writing,
    /// How long records are kept, in seconds: the longest that anyone who is known needs. It never gets
    /// shorter while a replica runs.
    kept: AtomicU64,
}

impl Place {
    pub(crate) fn new(
        name: Arc<str>,
        store: Arc<dyn RevocationStore>,
        polling: Polling,
        clock: Arc<dyn Clock>,
        audit: Audit,
    ) -> Self {
        let writes = Writes::new(name.clone(), clock.clone(), polling.interval, &OPERATIONS);
        let kept = LEAST_KEPT.as_secs().into();
        audit.show_zeros(&name, &KINDS);
        Self { name, store, polling, clock, writes, audit, writing: Writing::default(), kept }
    }

    /// How long records are kept.
    pub(crate) fn kept(&self) -> Duration {
        Duration::from_secs(self.kept.load(Ordering::Relaxed))
    }

    /// Keeps records for at least so long.
    pub(crate) fn keep_for(&self, needed: Duration) {
        // Whole seconds, rounded up.
        let seconds = needed.as_secs().saturating_add(u64::from(needed.subsec_nanos() > 0));
        self.kept.fetch_max(seconds, Ordering::Relaxed);
    }

    /// Until when a record is kept that is made `now`, of a cutoff `at`.
    pub(crate) fn until(&self, at: Timestamp, now: Timestamp) -> Timestamp {
        rules::kept_until(at, now, self.kept())
    }

    /// How long a replica may take to restore a part, before another does.
    pub(crate) fn restoration(&self) -> Duration {
        let bound = self.polling.bound().saturating_add(self.polling.insert_timeout);
        bound.saturating_mul(4)
    }

    /// Writes what this replica has learned from the store into the audit trail.
    pub(crate) fn note_learned(&self, news: impl IntoIterator<Item = News>) {
        for news in news {
            let kind = match news {
                News::Session(_) => AuditKind::SessionRevoked,
                News::Register(RegisterId::Subject(_), _) => AuditKind::SubjectRevoked,
                News::Register(RegisterId::All, _) => AuditKind::LoginsRevoked,
                News::Register(RegisterId::Stale(_), _) => AuditKind::ClaimsReload,
            };
            let Some(mut draft) = self.audit.begin(kind, &self.name, self.clock.now()) else {
                continue;
            };
            draft.event.origin = Origin::Store;
            match news {
                News::Session(digest) => {
                    draft.event.session_id = Some(base64url::encode(digest));
                }
                News::Register(id, register) => {
                    if let RegisterId::Subject(digest) | RegisterId::Stale(digest) = id {
                        draft.event.subject = self.audit.subject(&digest, None);
                    }
                    draft.event.effective_at = Some(register.at);
                }
            }
            draft.note();
        }
    }

    /// Writes that a number of revocations were read or restored into the audit trail.
    pub(crate) fn note_count(&self, kind: AuditKind, count: usize) {
        let Some(mut draft) = self.audit.begin(kind, &self.name, self.clock.now()) else { return };
        draft.event.count = Some(count as u64);
        if kind == AuditKind::RevocationsRead {
            draft.event.origin = Origin::Store;
        }
        draft.note();
    }

    pub(crate) async fn load(&self) -> Result<Loaded, StoreError> {
        let reading = self.store.load(&self.name);
        within(self.polling.timeout, "reading the store", reading).await
    }

    pub(crate) async fn read(&self, cursor: Option<&Cursor>) -> Result<FeedRead, StoreError> {
        let reading = self.store.read_feed(&self.name, cursor);
        within(self.polling.timeout, "reading revocations", reading).await
    }

    pub(crate) async fn registers<const N: usize>(
        &self,
        ids: [RegisterId; N],
    ) -> Result<[Option<Register>; N], StoreError> {
        let registers = self.registers_of(&ids).await?;
        Ok(registers.try_into().expect("as many as asked for"))
    }

    async fn registers_of(&self, ids: &[RegisterId]) -> Result<Vec<Option<Register>>, StoreError> {
        let reading = self.store.registers(&self.name, ids);
        let registers = within(self.polling.timeout, "reading registers", reading).await?;
        let (found, expected) = (registers.len(), ids.len());
        if found == expected {
            return Ok(registers);
        }
        Err(StoreError::new(format!("the store returned {found} registers, expected {expected}")))
    }

    pub(crate) async fn insert(&self, entry: &Entry) -> Result<Insertion, StoreError> {
        let inserting = measured(&self.name, INSERT, self.store.insert(&self.name, entry));
        let inserted = within(self.polling.insert_timeout, "writing an entry", inserting).await;
        self.noted(inserted)
    }

    pub(crate) async fn remove(&self, name: &EntryName) -> Result<(), StoreError> {
        let removing = measured(&self.name, REMOVE, self.store.remove(&self.name, name));
        self.noted(within(self.polling.insert_timeout, "removing an entry", removing).await)
    }

    pub(crate) async fn append(&self, sessions: &[RevokedSession]) -> Result<(), StoreError> {
        let appending = self.store.append(&self.name, sessions, self.clock.now());
        let appending = measured(&self.name, APPEND, appending);
        let limit = self.polling.insert_timeout;
        self.noted(within(limit, "recording revoked sessions", appending).await)
    }

    pub(crate) async fn advance(&self, advance: &Advance) -> Result<Register, StoreError> {
        let advancing = self.store.advance(&self.name, advance);
        let advancing = measured(&self.name, ADVANCE, advancing);
        let limit = self.polling.insert_timeout;
        let advanced = within(limit, "advancing a register", advancing).await;
        let now = self.clock.now();
        self.noted(advanced.and_then(|advanced| check_advanced(advanced, advance, now)))
    }

    /// Restores registers, and returns what each of them has come to.
    pub(crate) async fn restore_and_read(
        &self,
        held: &[(RegisterId, Register)],
    ) -> Result<impl Iterator<Item = (RegisterId, Register)>, StoreError> {
        self.restore(held).await?;
        let ids: Vec<_> = held.iter().map(|(id, _)| *id).collect();
        let restored = self.registers_of(&ids).await?;
        Ok(ids.into_iter().zip(restored).filter_map(|(id, it)| Some((id, it?))))
    }

    pub(crate) async fn restore(&self, held: &[(RegisterId, Register)]) -> Result<(), StoreError> {
        let restoring = self.store.restore(&self.name, held, self.clock.now());
        let restoring = measured(&self.name, RESTORE, restoring);
        let limit = self.polling.insert_timeout;
        self.noted(within(limit, "restoring registers", restoring).await)
    }

    /// Tests whether entries and appends are written, if due.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        if !self.writes.is_probe_due() {
            return Ok(());
        }
        self.failure_noted(self.writes.probe(&*self.store).await)?;
        self.append(&[]).await
    }

    /// Remembers how a write went.
    fn noted<T>(&self, written: Result<T, StoreError>) -> Result<T, StoreError> {
        if written.is_ok() {
            self.writes.succeeded();
        }
        self.failure_noted(written)
    }

    /// Remembers that a write failed, of work that may write nothing.
    pub(crate) fn failure_noted<T>(&self, worked: Result<T, StoreError>) -> Result<T, StoreError> {
        worked.inspect_err(|error| self.writes.failed(error))
    }
}

/// SECURITY: a value below the requested one would end fewer sessions than the caller requested.
fn check_advanced(
    advanced: Register,
    advance: &Advance,
    now: Timestamp,
) -> Result<Register, StoreError> {
    let has_risen = advanced.version > advance.above
        && advanced.at >= advance.at
        && advanced.until >= advance.until;
    if has_risen && advanced.is_plausible(now) {
        return Ok(advanced);
    }
    let problem = if has_risen { "is too far ahead of the clock" } else { "did not rise" };
    Err(StoreError::new(format!(
        "the store returned a register that {problem}: {advanced:?} for {advance:?}"
    )))
}

/// The kinds of events of a place.
const KINDS: [AuditKind; 6] = [
    AuditKind::SessionRevoked,
    AuditKind::SubjectRevoked,
    AuditKind::LoginsRevoked,
    AuditKind::ClaimsReload,
    AuditKind::RevocationsRead,
    AuditKind::RevocationsRestored,
];
/// The kinds of writes.
const OPERATIONS: [Operation; 6] = [INSERT, REMOVE, APPEND, ADVANCE, RESTORE, PROBE];
/// How long records are kept at least: as long as the default settings need them, so that who has those
/// need not say so.
pub(crate) const LEAST_KEPT: Duration = Duration::from_secs((24 + 24) * 3600 + 4 * 60);
