//! The rotator: keeps a replica's [`Ledger`] and its store the same, and makes the next key when
//! it is due. Every replica runs one; none leads.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use tokio::sync::Mutex;

use super::ledger::{Ledger, Seen};
use super::record::{Birth, KeyMark, KeyRecord, Statement, Unreadable, Vault};
use super::ring::RingError;
use super::rotation::{self, RotationPolicy};
use super::set::KeySet;
use super::status::NotReady;
use crate::clock::{Clock, Timestamp};
use crate::store::{Entry, Insertion, Skipped, Store, StoreError};

/// What a ring needs to follow its store.
#[derive(Debug)]
pub(crate) struct Rotator {
    /// The ring's name, and how its keys rest.
    pub(crate) vault: Vault,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) policy: RotationPolicy,
    pub(crate) algorithm: Algorithm,
    pub(crate) fully_specified: bool,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held for a whole refresh, which is what makes a replica's own refreshes follow each other;
    /// requests never meet it.
    pub(crate) ledger: Mutex<Ledger>,
}

/// What a refresh found, beside the keys.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) skipped: Vec<Skipped>,
    /// Entries that this replica may not go past: it makes no keys, and is not ready.
    pub(crate) blocked: Option<NotReady>,
}

impl Rotator {
    /// Reads the store, merges, puts back what the store has lost, makes the next key if it is due
    /// and removes what has ended.
    ///
    /// # Errors
    ///
    /// If the store fails. What was read before that is merged, and the ledger is as good as ever.
    pub(crate) async fn refresh(&self, ledger: &mut Ledger) -> Result<Report, RingError> {
        let (report, seen) = self.read(ledger).await?;
        self.put_back(ledger, &seen).await?;
        // Never a fresh key over what can't be read: it may be the keys of a whole ring.
        let blind = ledger.is_empty() && !report.skipped.is_empty();
        if report.blocked.is_none() && !blind {
            self.make_due_keys(ledger).await?;
            self.remove_ended(ledger).await?;
        }
        Ok(report)
    }

    pub(crate) fn snapshot(&self, ledger: &Ledger) -> KeySet {
        KeySet::of_ledger(ledger, self.fully_specified)
    }

    /// Ends the signing of the key that signs now, when its successor has reached everyone.
    pub(crate) async fn retire_signer(&self, ledger: &mut Ledger) -> Result<Timestamp, RingError> {
        let now = self.clock.now();
        let (keys, signing) = ledger.keys();
        let signing = &keys[..signing];
        let (record, signer) = rotation::signer(signing, |(_, scheduled)| scheduled, now)
            .ok_or(RingError::NoSigningKey)?;
        if let Some(retire_at) = signer.retire_at {
            return Ok(retire_at);
        }
        let successor = signing
            .iter()
            .find(|(_, next)| next.generation > signer.generation && next.is_unmarked());
        let published = successor.map_or(now, |(_, next)| next.times.published);
        let at = (now + self.policy.replica_lead()).max(published + self.policy.full_lead());
        let mark = KeyMark { kid: record.key.key_id().to_owned(), at };
        self.state(ledger, Statement::Retire(mark)).await?;
        self.make_due_keys(ledger).await?;
        Ok(at)
    }

    /// Revokes keys: here at once, elsewhere when they see it.
    pub(crate) async fn revoke(
        &self,
        ledger: &mut Ledger,
        key_ids: Vec<String>,
    ) -> Result<(), RingError> {
        let at = self.clock.now();
        let marks = key_ids.into_iter().map(|kid| Statement::Revoke(KeyMark { kid, at }));
        let marks: Vec<_> = marks.collect();
        for mark in &marks {
            // Marks contradict nothing.
            let _ = ledger.absorb(mark.clone());
        }
        for mark in marks {
            self.state(ledger, mark).await?;
        }
        self.make_due_keys(ledger).await
    }

    async fn read(&self, ledger: &mut Ledger) -> Result<(Report, Seen), RingError> {
        let load = self.store.load(&self.vault.ring);
        let loaded = within(self.policy.refresh_timeout, "reading the ring", load).await?;
        let mut report = Report { skipped: loaded.skipped, blocked: None };
        let mut seen = Seen::default();
        for entry in loaded.entries {
            let mut skip = |reason| {
                report.skipped.push(Skipped { name: entry.name.to_string(), reason });
            };
            match Statement::parse(&entry, &self.vault) {
                Ok(statement) => {
                    seen.note(&statement);
                    ledger.absorb(statement).unwrap_or_else(skip);
                }
                Err(Unreadable::Corrupt(reason)) => skip(reason),
                Err(Unreadable::Newer(version)) => {
                    skip(format!("it was written by a newer version (format {version})"));
                    report.blocked = Some(NotReady::NewerFormat { version });
                }
                Err(Unreadable::Sealed) => {
                    skip("none of the sealing keys opens it".to_owned());
                    report.blocked = Some(NotReady::Sealed);
                }
            }
        }
        Ok((report, seen))
    }

    /// A store that was purged or restored gets back what this replica still holds.
    async fn put_back(&self, ledger: &mut Ledger, seen: &Seen) -> Result<(), RingError> {
        // A margin of both clocks' skew, so that no replica puts back what another removes.
        let margin = self.clock.now() + 2 * self.policy.clock_skew;
        let missing = ledger.missing(seen, margin);
        if !missing.is_empty() {
            tracing::warn!(
                ring = &*self.vault.ring,
                entries = missing.len(),
                "the store has lost entries of the ring; putting them back"
            );
        }
        for statement in missing {
            let standing = self.write(statement.to_entry()).await?;
            match (&statement, standing) {
                // Its generation has gone to another key meanwhile: both have to be known.
                (Statement::Key(record), Standing::Other(_)) => {
                    self.write(record.entry_beside()).await?;
                }
                (_, standing) => self.take(ledger, statement, standing),
            }
        }
        Ok(())
    }

    /// Makes keys until enough are ahead.
    async fn make_due_keys(&self, ledger: &mut Ledger) -> Result<(), RingError> {
        for _ in 0..MOST_KEYS_AT_ONCE {
            let now = self.clock.now();
            let keys = ledger.schedule();
            if !self.policy.is_due(&keys, now) {
                break;
            }
            let birth = match ledger.birth() {
                Some(birth) => birth.clone(),
                None => self.birth(ledger, now).await?,
            };
            let generation = ledger.next_generation();
            let times = self.policy.next_times(&keys, now);
            let record =
                KeyRecord::generate(&birth, generation, self.algorithm, times, &self.vault)?;
            let kid = record.key.key_id().to_owned();
            let statement = Statement::Key(Box::new(record));
            let standing = self.write(statement.to_entry()).await?;
            if matches!(standing, Standing::Ours) {
                let signs_from = times.signs_from;
                tracing::info!(ring = &*self.vault.ring, generation, kid, %signs_from, "published a key");
            }
            self.take(ledger, statement, standing);
            // Where something unreadable stands, the generation is lost.
            ledger.skip_generation(generation);
        }
        Ok(())
    }

    /// Of all replicas that find an empty store, one gives the ring its identity.
    async fn birth(&self, ledger: &mut Ledger, now: Timestamp) -> Result<Birth, RingError> {
        self.state(ledger, Statement::Birth(Birth::new(now)?)).await?;
        ledger
            .birth()
            .cloned()
            .ok_or_else(|| StoreError::new("the entry `birth` can't be read: remove it").into())
    }

    async fn remove_ended(&self, ledger: &mut Ledger) -> Result<(), RingError> {
        let margin = self.clock.now() - 2 * self.policy.clock_skew;
        for ended in ledger.prune(margin) {
            for name in ended.names().into_iter().flatten() {
                let remove = self.store.remove(&self.vault.ring, &name);
                within(self.policy.insert_timeout, "removing an entry", remove).await?;
            }
        }
        Ok(())
    }

    /// Writes a statement, and takes in what then stands in the store: this one, or that which was
    /// there first.
    async fn state(&self, ledger: &mut Ledger, statement: Statement) -> Result<(), RingError> {
        let standing = self.write(statement.to_entry()).await?;
        self.take(ledger, statement, standing);
        Ok(())
    }

    async fn write(&self, entry: Option<Entry>) -> Result<Standing, RingError> {
        let entry = entry.ok_or_else(|| StoreError::new("an entry's name is too long"))?;
        let insert = self.store.insert(&self.vault.ring, &entry);
        Ok(match within(self.policy.insert_timeout, "writing an entry", insert).await? {
            Insertion::Inserted => Standing::Ours,
            Insertion::Exists(value) => Standing::Other(
                Statement::parse(&Entry { name: entry.name, value }, &self.vault).ok(),
            ),
        })
    }

    fn take(&self, ledger: &mut Ledger, ours: Statement, standing: Standing) {
        let statement = match standing {
            Standing::Ours => Some(ours),
            Standing::Other(other) => other,
        };
        if let Some(Err(reason)) = statement.map(|statement| ledger.absorb(statement)) {
            tracing::warn!(
                ring = &*self.vault.ring,
                reason,
                "an entry of the ring was not believed"
            );
        }
    }
}

/// What stands in the store after a write: the statement written, or another that was there first,
/// if it can be read.
enum Standing {
    Ours,
    Other(Option<Statement>),
}

/// After `replace_all` two keys have to be made; one more gives room for a lost generation.
const MOST_KEYS_AT_ONCE: usize = 3;

async fn within<T>(
    limit: Duration,
    attempt: &str,
    future: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, future)
        .await
        .unwrap_or_else(|_| Err(StoreError::new(format!("{attempt} took longer than {limit:?}"))))
}
