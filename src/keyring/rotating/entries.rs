//! Writes the statements of a ring as entries of its store, restores those that it has lost, and removes them.

use std::collections::HashSet;

use crate::audit::event::AuditKind;
use crate::clock::Timestamp;
use crate::keyring::error::RingError;
use crate::keyring::rotating::key_log::KeyLog;
use crate::keyring::rotating::record::{MarkKind, Statement};
use crate::keyring::rotating::replica::Replica;
use crate::keyring::skew::lease::LeaseDue;
use crate::store::contract::{Entry, EntryName, Insertion, StoreError};
use crate::store::measured::{INSERT, REMOVE, measured};
use crate::store::polling::within;

impl Replica {
    /// Restores to a purged or older store what this replica holds. Not more often than twice per
    /// interval: another replica whose clock differs may remove it again, and the store wakes both.
    pub(super) async fn restore_missing(
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
            let (ring, lost) = (&*self.context.ring, restored);
            tracing::warn!(ring, lost, "the store lost entries of the ring");
            self.note(AuditKind::RingRestored, |event| event.count = Some(restored as u64));
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

    /// Takes the clock lease, unless another replica was first. The next read finds the holder.
    pub(super) async fn lease(&self, LeaseDue { entry, lower }: LeaseDue) -> Result<(), RingError> {
        if matches!(self.insert(Some(entry)).await?, InsertOutcome::Written) {
            self.remove(lower).await?;
        }
        Ok(())
    }

    /// Removes what has ended by the store's clock, too, if it has one.
    ///
    /// SECURITY: a replica whose clock is ahead must not remove what the others use.
    pub(super) async fn remove_ended(
        &self,
        ended: Vec<(EntryName, Timestamp)>,
        store_time: Option<Timestamp>,
    ) -> Result<(), RingError> {
        if ended.is_empty() {
            return Ok(());
        }
        let store_time = match store_time {
            None => {
                let time = self.store.time(&self.context.ring);
                within(self.policy.insert_timeout, "asking for the store's time", time).await?
            }
            known => known,
        };
        let is_over = |until| store_time.is_none_or(|now| until <= now - self.policy.margin());
        let over = ended.into_iter().filter(|(_, until)| is_over(*until));
        self.remove(over.map(|(name, _)| name)).await
    }

    pub(super) async fn remove(
        &self,
        names: impl IntoIterator<Item = EntryName>,
    ) -> Result<(), RingError> {
        for name in names {
            let ring = &self.context.ring;
            let remove = measured(ring, REMOVE, self.store.remove(ring, &name));
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
            (InsertOutcome::Written, _) => {
                if let Statement::Mark(MarkKind::Retire, mark) = &statement {
                    log.retired_here.insert(mark.kid.clone());
                }
                self.merge(log, statement);
            }
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
        let ring = &self.context.ring;
        let insert = measured(ring, INSERT, self.store.insert(ring, &entry));
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
