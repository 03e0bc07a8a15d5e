//! One replica of a rotating ring: keeps its [`KeyLog`] and the store the same, and makes the next
//! key when it is due. There is no leader.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::audit::event::{AuditEvent, AuditKind};
use crate::audit::handle::Audit;
use crate::clock::{Clock, Timestamp};
use crate::crypto::algorithm::Algorithm;
use crate::error::not_ready::{NotReady, NotReadyKind};
use crate::error::operation::OperationError;
use crate::keyring::error::RingError;
use crate::keyring::refreshes::Report;
use crate::keyring::rotating::key_log::KeyLog;
use crate::keyring::rotating::record::{
    IDENTITY, KeyRecord, KeyTerms, MarkKind, RecordContext, RingIdentity, Statement,
};
use crate::keyring::rotating::seal::Unreadable;
use crate::keyring::skew::lease::{LeaseDue, Leases};
use crate::keyring::skew::reading::RoundTrip;
use crate::keyring::skew::watch::ClockWatch;
use crate::keys::rotation_policy::RotationPolicy;
use crate::keys::schedule::KeyTimes;
use crate::replica::founding::Content;
use crate::replica::note::Notes;
use crate::replica::writes::Writes;
use crate::store::contract::{EntryName, Skipped, Store, StoreError};
use crate::store::measured::{INSERT, Operation, PROBE, REMOVE};
use crate::store::polling::within;

/// One replica's access to the ring in its store. The source owns its key log and passes it in.
#[derive(Debug)]
pub(crate) struct Replica {
    /// The ring's name and its sealing keys.
    pub(crate) context: RecordContext,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) policy: RotationPolicy,
    pub(crate) algorithm: Algorithm,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) clock_watch: ClockWatch,
    /// Whether the store takes writes.
    pub(crate) writes: Writes,
    pub(crate) audit: Audit,
}

/// The writes that are due after a read.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// The topics of the statements in the store.
    seen: HashSet<String>,
    /// The entries of keys that have ended by this replica's clock, and when.
    ended: Vec<(EntryName, Timestamp)>,
    store_time: Option<Timestamp>,
    lease: Option<LeaseDue>,
}

impl Replica {
    /// Reads for the first time and writes what is due. Returns when the last read began. A ring
    /// that needs no wait is founded.
    ///
    /// # Errors
    ///
    /// If the store can't be read, or a ring that is to be founded now can't be written.
    pub(crate) async fn start(&self, log: &mut KeyLog) -> Result<(Report, Instant), RingError> {
        let mut began = Instant::now();
        let (mut report, mut due) = self.read(log).await?;
        if log.is_empty() && report.blocked.is_none() {
            // Founding has no time limit. Afterwards the writes of other replicas are read.
            let founded = self.write(log, due).await;
            if let Some(error) = founded.err().filter(|_| log.is_empty()) {
                return Err(error);
            }
            began = Instant::now();
            (report, due) = self.read(log).await?;
        }
        // A store that can be read and not written starts a replica, which says so.
        let written = self.in_time(self.write(log, due)).await;
        report.failure = written.err().map(OperationError::from);
        Ok((report, began))
    }

    /// Reads the store and merges its entries into the log.
    ///
    /// # Errors
    ///
    /// If the store cannot be read. The log stays as it was.
    pub(crate) async fn read(&self, log: &mut KeyLog) -> Result<(Report, Due), RingError> {
        let (began, began_at) = (self.clock.now(), Instant::now());
        let load = self.store.load(&self.context.ring);
        let loaded = within(self.policy.refresh_timeout, "reading the ring", load).await;
        let loaded = loaded.inspect_err(|_| log.founding.restart_wait())?;
        let now = self.clock.now();
        let trip = RoundTrip { began, ended: now, began_at, took: began_at.elapsed() };
        let mut report = Report { skipped: loaded.skipped, ..Report::default() };
        let (mut seen, mut notes, mut leases) =
            (HashSet::new(), Notes::default(), Leases::default());
        let (mut bad_notes, mut unopened) = (Vec::new(), Vec::new());
        for entry in loaded.entries.into_iter().filter(|entry| !entry.name.is_probe()) {
            let skipped = |reason| Skipped { name: entry.name.to_string(), reason };
            if let Some(note) = notes.take(&entry).or_else(|| leases.observe(&entry)) {
                bad_notes.extend(note.err().map(skipped));
                continue;
            }
            let mut skip = |reason| report.skipped.push(skipped(reason));
            match Statement::parse(&entry, &self.context) {
                Ok(statement) => {
                    if let Statement::Key(record) = &statement
                        && record.times.published > now + self.policy.margin()
                    {
                        skip(
                            "made in the future, by a wrong clock, this replica's or its maker's: the key \
                              only verifies"
                                .to_owned(),
                        );
                    }
                    seen.insert(statement.topic());
                    log.merge(statement).unwrap_or_else(skip);
                }
                Err(Unreadable::Corrupt(reason)) => skip(reason),
                Err(Unreadable::Newer(version)) => {
                    skip(format!(
                        "written by a newer version (format {version}): upgrade this replica"
                    ));
                    let text = format!(
                        "found entries of format {version} in the store, newer than this version \
                         of the crate reads: upgrade this replica"
                    );
                    report.blocked = Some(NotReady::new(NotReadyKind::NewerFormat, text));
                }
                // Whether it matters is clear when all marks are read.
                Err(Unreadable::Sealed) => unopened.push(entry),
            }
        }
        let long_ago = now - self.policy.margin();
        let mut ended = Vec::new();
        for statement in log.prune(long_ago) {
            let Some(until) = statement.needed_until() else { continue };
            ended.extend(statement.names().into_iter().flatten().map(|name| (name, until)));
        }
        for entry in unopened {
            let terms = KeyTerms::parse(&entry, &self.context.ring).map(|(terms, _)| terms).ok();
            // SECURITY: these terms are not authenticated. An attacker who can change them can also remove the entry.
            let over = terms.as_ref().filter(|KeyTerms { kid, times, .. }| {
                !log.is_empty() && (times.verifies_until <= now || log.is_revoked(kid))
            });
            match over {
                Some(over) if over.times.verifies_until <= long_ago => {
                    ended.push((entry.name, over.times.verifies_until));
                }
                Some(_) => {}
                None => {
                    let (name, reason) = (entry.name.to_string(), unopened_reason(terms));
                    report.skipped.push(Skipped { name, reason });
                    let text = "found keys in the store that none of the sealing keys can decrypt: \
                                give `seal_with` every sealing key in use";
                    report.blocked = Some(NotReady::new(NotReadyKind::Sealed, text));
                }
            }
        }
        // No new key beside unreadable entries: they may be the keys of a whole ring.
        report.unreadable = log.is_empty() && !report.skipped.is_empty();
        report.skipped.extend(bad_notes);
        let content = match (log.is_empty(), seen.contains(IDENTITY)) {
            (true, _) if report.unreadable => Content::Unreadable,
            (true, _) => Content::Empty,
            (false, false) => Content::Part,
            (false, true) => Content::Whole,
        };
        let wait = log.founding.observe(began_at, content, notes, now);
        if report.blocked.is_none() {
            report.founding = wait;
            report.blocked = wait.map(|wait| wait.not_ready("the ring"));
        }
        log.blocked = report.blocked.clone();
        let store_time = loaded.store_time;
        let lease = self.clock_watch.observe(&self.context.ring, trip, store_time, leases);
        // A ring that is not there needs no lease.
        let lease = lease.filter(|_| !log.is_empty());
        Ok((report, Due { seen, ended, store_time, lease }))
    }

    /// Restores what the store has lost, makes the next key if it is due, and removes expired
    /// entries: each whether or not the others succeed.
    ///
    /// # Errors
    ///
    /// The first failure. What was written is in the log.
    pub(crate) async fn write(&self, log: &mut KeyLog, due: Due) -> Result<(), RingError> {
        let (now, held) = (self.clock.now(), !log.is_empty());
        let announced = log.founding.announce(self.writing(), now, held).await;
        let restored = self.restore_missing(log, &due.seen).await;
        let made = self.create_due_keys(log).await;
        if !held && !log.is_empty() {
            // To see the writes of other replicas.
            log.founding.look_again_now();
        }
        let removed = match log.blocked {
            Some(_) => Ok(()),
            None => self.remove_ended(due.ended, due.store_time).await,
        };
        let cleaned = log.founding.clean(self.writing(), now).await;
        let noted = announced.and(cleaned).map_err(RingError::from);
        let leased = match due.lease {
            Some(lease) => self.lease(lease).await,
            None => Ok(()),
        };
        restored.and(made).and(removed).and(noted).and(leased)?;
        if log.blocked.is_none() && self.writes.is_probe_due() {
            self.writes.probe(&*self.store).await?;
            self.writes.succeeded();
        }
        Ok(())
    }

    fn writing(&self) -> (&dyn Store, Duration) {
        (&*self.store, self.policy.insert_timeout)
    }

    /// Limits writing to the time that one write may take, so that no read is late. The next
    /// refresh does the rest.
    pub(crate) async fn in_time<T>(
        &self,
        writing: impl Future<Output = Result<T, RingError>>,
    ) -> Result<T, RingError> {
        let limit = self.policy.insert_timeout;
        let written = tokio::time::timeout(limit, writing).await.unwrap_or_else(|_| {
            Err(StoreError::new(format!("writing an entry took longer than {limit:?}")).into())
        });
        if let Err(RingError::Store(error)) = &written {
            self.writes.failed(error);
        }
        written
    }

    /// Writes the revocations of the log, and makes the keys that are due then.
    pub(crate) async fn persist_revocations(
        &self,
        log: &mut KeyLog,
        key_ids: Vec<String>,
    ) -> Result<(), RingError> {
        let at = self.clock.now();
        for mark in key_ids.iter().filter_map(|kid| log.mark(kid, at)).collect::<Vec<_>>() {
            self.write_statement(log, Statement::Mark(MarkKind::Revoke, mark)).await?;
        }
        self.create_due_keys(log).await
    }

    /// Makes keys until enough are ahead.
    pub(crate) async fn create_due_keys(&self, log: &mut KeyLog) -> Result<(), RingError> {
        for _ in 0..MOST_KEYS_AT_ONCE {
            let now = self.clock.now();
            let keys = log.schedule();
            if log.blocked.is_some() || !self.policy.is_due(&keys, now) {
                break;
            }
            let identity = match log.identity() {
                Some(identity) => identity.clone(),
                None => match self.create_identity(log, now).await? {
                    Some(identity) => identity,
                    // The replica that wrote another identity has written its keys, or does so now.
                    None => {
                        self.read(log).await?;
                        continue;
                    }
                },
            };
            self.create_key(log, &identity, self.policy.next_times(&keys, now)).await?;
        }
        Ok(())
    }

    /// Makes the key of the next generation, unless another replica is first.
    pub(crate) async fn create_key(
        &self,
        log: &mut KeyLog,
        identity: &RingIdentity,
        times: KeyTimes,
    ) -> Result<(), RingError> {
        let generation = log.next_generation(&identity.id);
        let algorithm = self.algorithm;
        let record = KeyRecord::generate(identity, generation, algorithm, times, &self.context)?;
        let kid = record.key.key_id().to_owned();
        self.write_statement(log, Statement::Key(Arc::new(record))).await?;
        if log.record(&kid).is_some() {
            self.note(AuditKind::KeyPublished, |event| {
                event.generation = Some(generation);
                event.key_id = Some(kid.clone());
                event.effective_at = Some(times.signs_from);
            });
            log.made_here.insert(kid);
        }
        // An unreadable entry takes the generation, too.
        log.skip_generation(&identity.id, generation);
        Ok(())
    }

    /// Writes the ring's identity. `None` if another replica was first.
    async fn create_identity(
        &self,
        log: &mut KeyLog,
        now: Timestamp,
    ) -> Result<Option<RingIdentity>, RingError> {
        let own = RingIdentity::new(now)?;
        self.write_statement(log, Statement::Identity(own.clone())).await?;
        match log.identity() {
            Some(identity) if *identity == own => {
                self.note(AuditKind::RingFounded, |_| {});
                Ok(Some(own))
            }
            Some(_) => Ok(None),
            None => Err(StoreError::new(
                "found an unreadable entry `birth`; expected the ring's identity: remove the entry",
            )
            .into()),
        }
    }

    /// Writes what this replica did into the audit trail.
    pub(super) fn note(&self, kind: AuditKind, fill: impl FnOnce(&mut AuditEvent)) {
        let now = self.clock.now();
        if let Some(mut draft) = self.audit.begin(kind, &self.context.ring, now) {
            fill(&mut draft.event);
            draft.note();
        }
    }
}

/// What is wrong with a key that no sealing key opens.
fn unopened_reason(terms: Option<KeyTerms>) -> String {
    let key = terms.map(|KeyTerms { kid, times, .. }| {
        format!(" (key {kid} verifies until {})", times.verifies_until)
    });
    format!(
        "none of the sealing keys can decrypt it: give `seal_with` every sealing key in use{}",
        key.unwrap_or_default()
    )
}

/// The kinds of writes.
pub(crate) const OPERATIONS: [Operation; 3] = [INSERT, REMOVE, PROBE];
/// After `replace_all` two keys have to be made; more give room for lost generations.
pub(crate) const MOST_KEYS_AT_ONCE: usize = 4;
