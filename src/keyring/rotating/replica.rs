//! The rotator: keeps a replica's [`Ledger`] and its store the same, and makes the next key when
//! it is due. Every replica runs one; none leads.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::keyring::ring::RingError;
use crate::keyring::rotating::key_log::{Ledger, Seen};
use crate::keyring::rotating::record::{Birth, KeyMark, KeyRecord, Statement, Unreadable, Vault};
use crate::keyring::skew::ClockWatch;
use crate::keyring::skew::lease::{LeaseDue, Leases};
use crate::keyring::skew::reading::RoundTrip;
use crate::keyring::status::NotReady;
use crate::keys::key_set::KeySet;
use crate::keys::rotation_policy::RotationPolicy;
use crate::keys::schedule;
use crate::keys::schedule::ScheduledKey;
use crate::store::contract::{Entry, EntryName, Insertion, Skipped, Store, StoreError};
use crate::store::founding::Content;
use crate::store::founding::note::Notes;
use crate::store::polling::within;
use crate::store::writes::Writes;

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
    pub(crate) clock_watch: ClockWatch,
    /// Whether the store takes writes.
    pub(crate) writes: Writes,
    /// Held for a whole refresh, which is what makes a replica's own refreshes follow each other;
    /// requests never meet it.
    pub(crate) ledger: Mutex<Ledger>,
}

/// What a read of the store found, beside the keys.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) skipped: Vec<Skipped>,
    /// Why this replica makes no keys, and is not ready: entries that it may not go past, or a wait
    /// before it founds the ring.
    pub(crate) blocked: Option<NotReady>,
    /// Whether there was no readable key, and something that may be one.
    pub(crate) unreadable: bool,
    /// What could not be written after the read.
    pub(crate) failure: Option<RingError>,
}

/// What is to be written after a read.
#[derive(Debug, Default)]
pub(crate) struct Due {
    seen: Seen,
    ended: Vec<Statement>,
    lease: Option<LeaseDue>,
}

impl Rotator {
    /// The first read, and what is due then; says when the last read began. A ring that is founded
    /// without a wait is there afterwards.
    ///
    /// # Errors
    ///
    /// If the store can't be read, or a ring that is to be founded now can't be written.
    pub(crate) async fn start(&self, ledger: &mut Ledger) -> Result<(Report, Instant), RingError> {
        let mut began = Instant::now();
        let (mut report, mut due) = self.read(ledger).await?;
        if ledger.is_empty() && report.blocked.is_none() {
            // A first ring takes the time that it takes; what others did meanwhile is read again.
            let founded = self.write(ledger, &report, due).await;
            if let Some(error) = founded.err().filter(|_| ledger.is_empty()) {
                return Err(error);
            }
            began = Instant::now();
            (report, due) = self.read(ledger).await?;
        }
        // A store that can be read and not written starts a replica, which says so.
        report.failure = self.in_time(self.write(ledger, &report, due)).await.err();
        Ok((report, began))
    }

    pub(crate) fn snapshot(&self, ledger: &Ledger) -> KeySet {
        KeySet::of_ledger(ledger, self.fully_specified)
    }

    /// Reads the store and merges what it says.
    ///
    /// # Errors
    ///
    /// If the store can't be read; the ledger stays as good as it was.
    pub(crate) async fn read(&self, ledger: &mut Ledger) -> Result<(Report, Due), RingError> {
        let (began, began_at) = (self.clock.now(), Instant::now());
        let load = self.store.load(&self.vault.ring);
        let loaded = within(self.policy.refresh_timeout, "reading the ring", load).await;
        let loaded = loaded.inspect_err(|_| ledger.founding.note_failure())?;
        let now = self.clock.now();
        let trip = RoundTrip { began, ended: now, began_at, took: began_at.elapsed() };
        let mut report = Report { skipped: loaded.skipped, ..Report::default() };
        let (mut seen, mut notes, mut leases) =
            (Seen::default(), Notes::default(), Leases::default());
        let mut bad_notes = Vec::new();
        for entry in loaded.entries.into_iter().filter(|entry| !entry.name.is_probe()) {
            let skipped = |reason| Skipped { name: entry.name.to_string(), reason };
            if let Some(note) = notes.take(&entry).or_else(|| leases.take(&entry)) {
                bad_notes.extend(note.err().map(skipped));
                continue;
            }
            let mut skip = |reason| report.skipped.push(skipped(reason));
            match Statement::parse(&entry, &self.vault) {
                Ok(statement) => {
                    if let Statement::Key(record) = &statement
                        && record.times.published > now + self.policy.margin()
                    {
                        skip(
                            "it was made in the future, by a clock that was wrong: it only \
                              verifies"
                                .to_owned(),
                        );
                    }
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
        let ended = now - self.policy.margin();
        let ended = ledger.prune(ended);
        // Never a fresh key over what can't be read: it may be the keys of a whole ring.
        report.unreadable = ledger.is_empty() && !report.skipped.is_empty();
        report.skipped.extend(bad_notes);
        let content = match (ledger.is_empty(), seen.is_whole()) {
            (true, _) if report.unreadable => Content::Unreadable,
            (true, _) => Content::Empty,
            (false, false) => Content::Part,
            (false, true) => Content::Whole,
        };
        let wait = ledger.founding.observe(began_at, content, notes, now);
        report.blocked = report.blocked.or_else(|| wait.map(NotReady::from));
        ledger.blocked = report.blocked.clone();
        let lease = self.clock_watch.note(&self.vault.ring, trip, loaded.store_time, leases);
        // A ring that is not there needs no lease.
        let lease = lease.filter(|_| !ledger.is_empty());
        Ok((report, Due { seen, ended, lease }))
    }

    /// Puts back what the store has lost, makes the next key if it is due, and removes what has
    /// ended: each whether or not the others can be done.
    ///
    /// # Errors
    ///
    /// The first failure. What was written is taken in.
    pub(crate) async fn write(
        &self,
        ledger: &mut Ledger,
        report: &Report,
        due: Due,
    ) -> Result<(), RingError> {
        let (now, held) = (self.clock.now(), !ledger.is_empty());
        let announced = ledger.founding.announce(self.writing(), now, held).await;
        let restored = self.put_back(ledger, &due.seen).await;
        let made = match report.unreadable {
            true => Ok(()),
            false => self.make_due_keys(ledger).await,
        };
        if !held && !ledger.is_empty() {
            // What others did meanwhile.
            ledger.founding.look_again_now();
        }
        let removed = match ledger.blocked {
            Some(_) => Ok(()),
            None => self.remove(due.ended.iter().flat_map(Statement::names).flatten()).await,
        };
        let cleaned = ledger.founding.clean(self.writing(), now).await;
        let noted = announced.and(cleaned).map_err(RingError::from);
        let leased = match due.lease {
            Some(lease) => self.lease(lease).await,
            None => Ok(()),
        };
        restored.and(made).and(removed).and(noted).and(leased)?;
        match ledger.blocked {
            Some(_) => Ok(()),
            None => Ok(self.writes.probe(&*self.store).await?),
        }
    }

    /// Takes the clock lease, or finds that another was first: the next read says which.
    async fn lease(&self, LeaseDue { entry, lower }: LeaseDue) -> Result<(), RingError> {
        if matches!(self.insert(Some(entry)).await?, Standing::Ours) {
            self.remove(lower).await?;
        }
        Ok(())
    }

    fn writing(&self) -> (&dyn Store, Duration) {
        (&*self.store, self.policy.insert_timeout)
    }

    /// Does what writes within the time that one write may take, so that no read comes late. What
    /// is left is done at the next refresh.
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

    /// Ends the signing of the key that signs now, when its successor has reached everyone.
    pub(crate) async fn retire_signer(&self, ledger: &mut Ledger) -> Result<Timestamp, RingError> {
        if let Some(blocked) = &ledger.blocked {
            return Err(RingError::Blocked(blocked.clone()));
        }
        if let Some(retire_at) = signing(ledger, self.clock.now())?.1.retire_at {
            return Ok(retire_at);
        }
        // A successor that is made only now takes the time of its writes: when the signer stops is
        // decided after that.
        self.make_due_keys(ledger).await?;
        let now = self.clock.now();
        let (record, signer) = signing(ledger, now)?;
        if let Some(retire_at) = signer.retire_at {
            return Ok(retire_at);
        }
        let is_successor = |next: &ScheduledKey| {
            next.generation > signer.generation
                && next.is_unmarked()
                && !self.policy.is_of_the_future(next, now)
        };
        let keys = ledger.schedule();
        let next = keys.iter().find(|key| is_successor(key)).ok_or(RingError::NoSuccessor)?;
        let reaches_everyone = next.times.published + self.policy.full_lead();
        // The mark, too, has to reach everyone.
        let at = now + self.policy.replica_lead();
        let at = at.max(reaches_everyone).max(next.times.propagated);
        let kid = record.key.key_id().to_owned();
        let kept_until = record.times.verifies_until;
        let mark = KeyMark { kid: kid.clone(), at, kept_until };
        self.state(ledger, Statement::Retire(mark)).await?;
        self.make_due_keys(ledger).await?;
        // Another replica's mark may have been there first.
        Ok(ledger.retire_at(&kid).unwrap_or(at))
    }

    /// Writes the revocations that were taken in, and makes what has to follow.
    pub(crate) async fn tell_revoked(
        &self,
        ledger: &mut Ledger,
        key_ids: Vec<String>,
    ) -> Result<(), RingError> {
        let at = self.clock.now();
        for mark in key_ids.iter().filter_map(|kid| ledger.mark(kid, at)).collect::<Vec<_>>() {
            self.state(ledger, Statement::Revoke(mark)).await?;
        }
        self.make_due_keys(ledger).await
    }

    /// A store that was purged or restored gets back what this replica still holds: now and then,
    /// since another whose clock differs may remove it again, and the store wake both at once.
    async fn put_back(&self, ledger: &mut Ledger, seen: &Seen) -> Result<(), RingError> {
        // A newcomer does not know all of it yet.
        if ledger.founding.is_waiting() {
            return Ok(());
        }
        let now = self.clock.now();
        let pause = self.policy.refresh_interval / 2;
        let paused = ledger.put_back_at.is_some_and(|at| at <= now && now < at + pause);
        if paused && !ledger.founding.is_awaited(now) {
            return Ok(());
        }
        // No replica puts back what another removes.
        let margin = now + self.policy.margin();
        let mut failed = Ok(());
        let mut restored = 0;
        for statement in ledger.missing(seen, margin) {
            // It says that all else is there.
            if failed.is_err() && matches!(statement, Statement::Birth(_)) {
                break;
            }
            match self.put_back_one(ledger, statement).await {
                Ok(was_lost) => restored += usize::from(was_lost),
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        if restored > 0 {
            let ring = &*self.vault.ring;
            tracing::warn!(ring, restored, "the store had lost entries of the ring");
            if failed.is_ok() {
                ledger.put_back_at = Some(now);
            }
        }
        failed
    }

    async fn put_back_one(
        &self,
        ledger: &mut Ledger,
        statement: Statement,
    ) -> Result<bool, RingError> {
        let standing = self.insert(statement.to_entry()).await?;
        match (&statement, standing) {
            // Its generation has gone to another key meanwhile: both have to be known.
            (Statement::Key(record), Standing::Other(other)) => {
                let beside = self.insert(record.entry_beside()).await?;
                if let Some(other) = other {
                    self.take(ledger, other);
                }
                Ok(matches!(beside, Standing::Ours))
            }
            (_, Standing::Other(other)) => {
                if let Some(other) = other {
                    self.take(ledger, other);
                }
                Ok(false)
            }
            (_, Standing::Ours) => Ok(true),
        }
    }

    /// Makes keys until enough are ahead.
    async fn make_due_keys(&self, ledger: &mut Ledger) -> Result<(), RingError> {
        for _ in 0..MOST_KEYS_AT_ONCE {
            let now = self.clock.now();
            let keys = ledger.schedule();
            if ledger.blocked.is_some() || !self.policy.is_due(&keys, now) {
                break;
            }
            let birth = match ledger.birth() {
                Some(birth) => birth.clone(),
                None => match self.birth(ledger, now).await? {
                    Some(birth) => birth,
                    // Who wrote another has written its keys before, or does so now.
                    None => {
                        self.read(ledger).await?;
                        continue;
                    }
                },
            };
            let generation = ledger.next_generation(&birth.id);
            let times = self.policy.next_times(&keys, now);
            let algorithm = self.algorithm;
            let record = KeyRecord::generate(&birth, generation, algorithm, times, &self.vault)?;
            let kid = record.key.key_id().to_owned();
            self.state(ledger, Statement::Key(Box::new(record))).await?;
            if ledger.record(&kid).is_some() {
                let (ring, signs_from) = (&*self.vault.ring, times.signs_from);
                tracing::info!(ring, generation, kid, %signs_from, "published a key");
            }
            // Where something unreadable stands, the generation is lost.
            ledger.skip_generation(&birth.id, generation);
        }
        Ok(())
    }

    /// Of all replicas that find an empty store, one gives the ring its identity: `None` if that is
    /// another.
    async fn birth(&self, ledger: &mut Ledger, now: Timestamp) -> Result<Option<Birth>, RingError> {
        let own = Birth::new(now)?;
        self.state(ledger, Statement::Birth(own.clone())).await?;
        match ledger.birth() {
            Some(birth) => Ok((*birth == own).then_some(own)),
            None => Err(StoreError::new("the entry `birth` can't be read: remove it").into()),
        }
    }

    async fn remove(&self, names: impl IntoIterator<Item = EntryName>) -> Result<(), RingError> {
        for name in names {
            let remove = self.store.remove(&self.vault.ring, &name);
            within(self.policy.insert_timeout, "removing an entry", remove).await?;
            self.writes.succeeded();
        }
        Ok(())
    }

    /// Writes a statement, and takes in what then stands in the store: this one, or that which was
    /// there first.
    async fn state(&self, ledger: &mut Ledger, statement: Statement) -> Result<(), RingError> {
        match (self.insert(statement.to_entry()).await?, &statement) {
            (Standing::Ours, _) => self.take(ledger, statement),
            (Standing::Other(Some(other)), _) => self.take(ledger, other),
            (Standing::Other(None), Statement::Retire(mark) | Statement::Revoke(mark)) => {
                let mend = "something that can't be read stands in the place of a mark of key";
                return Err(StoreError::new(format!("{mend} {}: remove it", mark.kid)).into());
            }
            (Standing::Other(None), _) => {}
        }
        Ok(())
    }

    async fn insert(&self, entry: Option<Entry>) -> Result<Standing, RingError> {
        let entry = entry.ok_or_else(|| StoreError::new("an entry's name is too long"))?;
        let insert = self.store.insert(&self.vault.ring, &entry);
        let insertion = within(self.policy.insert_timeout, "writing an entry", insert).await?;
        if insertion == Insertion::Inserted {
            self.writes.succeeded();
        }
        Ok(match insertion {
            Insertion::Inserted => Standing::Ours,
            Insertion::Exists(value) if value == entry.value => Standing::Ours,
            Insertion::Exists(value) => {
                let other = Entry { name: entry.name, value };
                Standing::Other(Statement::parse(&other, &self.vault).ok())
            }
            Insertion::Unreadable(reason) => {
                let (ring, entry) = (&*self.vault.ring, entry.name);
                tracing::debug!(ring, %entry, reason, "something else stands in an entry's place");
                Standing::Other(None)
            }
        })
    }

    fn take(&self, ledger: &mut Ledger, statement: Statement) {
        if let Err(reason) = ledger.absorb(statement) {
            let ring = &*self.vault.ring;
            tracing::warn!(ring, reason, "an entry of the ring was not believed");
        }
    }
}

/// The key that signs, and what the schedule knows of it.
fn signing(ledger: &Ledger, now: Timestamp) -> Result<(&KeyRecord, ScheduledKey), RingError> {
    let (mut keys, signing) = ledger.keys();
    keys.truncate(signing);
    let signer = schedule::signer(&keys, |(_, scheduled)| scheduled, now);
    signer.cloned().ok_or(RingError::NoSigningKey)
}

/// What stands in the store after a write: the statement written, or another that was there first,
/// if it can be read.
enum Standing {
    Ours,
    Other(Option<Statement>),
}

/// After `replace_all` two keys have to be made; more give room for lost generations.
const MOST_KEYS_AT_ONCE: usize = 4;
