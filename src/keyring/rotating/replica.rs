//! One replica of a rotating ring: keeps its [`KeyLog`] and the store the same, and makes the next
//! key when it is due. There is no leader.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::crypto::algorithm::Algorithm;
use crate::error::not_ready::{NotReady, NotReadyKind};
use crate::error::operation::OperationError;
use crate::keyring::error::RingError;
use crate::keyring::refreshes::Report;
use crate::keyring::rotating::key_log::KeyLog;
use crate::keyring::rotating::record::{
    IDENTITY, KeyRecord, MarkKind, RecordContext, RingIdentity, Statement,
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
use crate::store::contract::{Entry, EntryName, Insertion, Skipped, Store, StoreError};
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
}

/// The writes that are due after a read.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// The topics of the statements in the store.
    seen: HashSet<String>,
    ended: Vec<Statement>,
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
        let mut bad_notes = Vec::new();
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
                            "made in the future, by a wrong clock: the key only \
                              verifies"
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
                Err(Unreadable::Sealed) => {
                    skip("none of the sealing keys can decrypt it: give `seal_with` every sealing key in use".to_owned());
                    let text = "found keys in the store that none of the sealing keys can decrypt: \
                                give `seal_with` every sealing key in use";
                    report.blocked = Some(NotReady::new(NotReadyKind::Sealed, text));
                }
            }
        }
        let ended = now - self.policy.margin();
        let ended = log.prune(ended);
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
        report.blocked = report.blocked.or_else(|| Some(wait?.not_ready("the ring")));
        log.blocked = report.blocked.clone();
        let lease = self.clock_watch.observe(&self.context.ring, trip, loaded.store_time, leases);
        // A ring that is not there needs no lease.
        let lease = lease.filter(|_| !log.is_empty());
        Ok((report, Due { seen, ended, lease }))
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
            None => self.remove(due.ended.iter().flat_map(Statement::names).flatten()).await,
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

    /// Takes the clock lease, unless another replica was first. The next read finds the holder.
    async fn lease(&self, LeaseDue { entry, lower }: LeaseDue) -> Result<(), RingError> {
        if matches!(self.insert(Some(entry)).await?, InsertOutcome::Written) {
            self.remove(lower).await?;
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

    /// Restores to a purged or older store what this replica holds. Not more often than twice per
    /// interval: another replica whose clock differs may remove it again, and the store wakes both.
    async fn restore_missing(
        &self,
        log: &mut KeyLog,
        seen: &HashSet<String>,
    ) -> Result<(), RingError> {
        // A newcomer does not hold all of it yet.
        if log.founding.is_waiting() {
            return Ok(());
        }
        let now = self.clock.now();
        let pause = self.policy.refresh_interval / 2;
        let paused = log.restored_at.is_some_and(|at| at <= now && now < at + pause);
        if paused && !log.founding.is_awaited(now) {
            return Ok(());
        }
        // No replica restores what another removes.
        let margin = now + self.policy.margin();
        let mut failed = Ok(());
        let mut restored = 0;
        for statement in log.missing(seen, margin) {
            // The identity is the marker that all else is restored.
            if failed.is_err() && matches!(statement, Statement::Identity(_)) {
                break;
            }
            match self.restore(log, statement).await {
                Ok(was_lost) => restored += usize::from(was_lost),
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        if restored > 0 {
            let ring = &*self.context.ring;
            tracing::warn!(ring, restored, "restored entries that the store had lost");
            if failed.is_ok() {
                log.restored_at = Some(now);
            }
        }
        failed
    }

    async fn restore(&self, log: &mut KeyLog, statement: Statement) -> Result<bool, RingError> {
        let InsertOutcome::Conflict(other) = self.insert(statement.to_entry()).await? else {
            return Ok(true);
        };
        let beside = match &statement {
            // Another key has this generation now: both have to be known.
            Statement::Key(record) => self.insert(record.entry_beside()).await?,
            _ => InsertOutcome::Conflict(None),
        };
        if let Some(other) = other {
            self.merge(log, other);
        }
        Ok(matches!(beside, InsertOutcome::Written))
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
            let (ring, signs_from) = (&*self.context.ring, times.signs_from);
            tracing::info!(ring, generation, kid, %signs_from, "published a key");
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
            Some(identity) => Ok((*identity == own).then_some(own)),
            None => Err(StoreError::new(
                "found an unreadable entry `birth`; expected the ring's identity: remove the entry",
            )
            .into()),
        }
    }

    async fn remove(&self, names: impl IntoIterator<Item = EntryName>) -> Result<(), RingError> {
        for name in names {
            let remove = self.store.remove(&self.context.ring, &name);
            within(self.policy.insert_timeout, "removing an entry", remove).await?;
            self.writes.succeeded();
        }
        Ok(())
    }

    /// Writes a statement, and merges the one that the store then holds: this one or an earlier
    /// one.
    pub(crate) async fn write_statement(
        &self,
        log: &mut KeyLog,
        statement: Statement,
    ) -> Result<(), RingError> {
        match (self.insert(statement.to_entry()).await?, &statement) {
            (InsertOutcome::Written, _) => self.merge(log, statement),
            (InsertOutcome::Conflict(Some(other)), _) => self.merge(log, other),
            (InsertOutcome::Conflict(None), Statement::Mark(_, mark)) => {
                let text =
                    format!("found an unreadable mark of key {}: remove the entry", mark.kid);
                return Err(StoreError::new(text).into());
            }
            (InsertOutcome::Conflict(None), _) => {}
        }
        Ok(())
    }

    async fn insert(&self, entry: Option<Entry>) -> Result<InsertOutcome, RingError> {
        let entry = entry.ok_or_else(|| StoreError::new("the name of an entry is too long"))?;
        let insert = self.store.insert(&self.context.ring, &entry);
        let insertion = within(self.policy.insert_timeout, "writing an entry", insert).await?;
        if insertion == Insertion::Inserted {
            self.writes.succeeded();
        }
        Ok(match insertion {
            Insertion::Inserted => InsertOutcome::Written,
            Insertion::Exists(value) if value == entry.value => InsertOutcome::Written,
            Insertion::Exists(value) => {
                let other = Entry { name: entry.name, value };
                InsertOutcome::Conflict(Statement::parse(&other, &self.context).ok())
            }
            Insertion::Unreadable(reason) => {
                let (ring, entry) = (&*self.context.ring, entry.name);
                tracing::debug!(ring, %entry, reason, "found an unreadable entry under the name of a new one");
                InsertOutcome::Conflict(None)
            }
        })
    }

    fn merge(&self, log: &mut KeyLog, statement: Statement) {
        if let Err(reason) = log.merge(statement) {
            let ring = &*self.context.ring;
            tracing::warn!(ring, reason, "ignored an entry that contradicts a known one");
        }
    }
}

/// The store's content after a write: the statement, or an earlier one, if that can be read.
enum InsertOutcome {
    Written,
    Conflict(Option<Statement>),
}

/// After `replace_all` two keys have to be made; more give room for lost generations.
pub(crate) const MOST_KEYS_AT_ONCE: usize = 4;
