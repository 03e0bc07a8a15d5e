//! What a store has lost of a feed, and its restoration: part by part, each by one replica.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use tokio::time::Instant;

use crate::audit::event::AuditKind;
use crate::clock::Timestamp;
use crate::revocation::board::{self, Board};
use crate::revocation::known::{Known, seconds};
use crate::revocation::place::Place;
use crate::revocation::table::Table;
use crate::store::contract::{EntryName, Insertion, StoreError};
use crate::store::feed::{Digest, FeedPage, Register, RegisterId, RevokedSession};

/// What the store may have lost: all that is held and that is not known to be there.
pub(crate) struct Loss {
    /// What the store holds of sessions, and until when.
    sessions: Table<NonZeroU32>,
    registers: BTreeMap<RegisterId, Register>,
    /// The parts that may have to be restored.
    parts: BTreeSet<usize>,
    /// Whether the store has all of it, for a shorter time than it is needed now.
    pub(crate) is_extension: bool,
    /// How many records this replica has restored.
    restored: usize,
}

impl Loss {
    /// Everything may be lost, or is to be kept for longer.
    pub(crate) fn new(is_extension: bool) -> Self {
        Self {
            sessions: Table::new(),
            registers: BTreeMap::new(),
            parts: (0..PARTS).collect(),
            is_extension,
            restored: 0,
        }
    }

    /// Takes in what the store was found to hold.
    pub(crate) async fn take(&mut self, page: &FeedPage) {
        for sessions in page.sessions.chunks(BATCH) {
            self.stored(sessions);
            tokio::task::yield_now().await;
        }
        self.registers.extend(page.registers.iter().copied());
    }

    fn stored(&self, sessions: &[RevokedSession]) {
        let stored = sessions.iter().map(|it| (it.digest, seconds(it.until)));
        self.sessions.insert_all(stored, NonZeroU32::max);
    }

    /// Whether nothing is left to restore, which is then reported.
    pub(crate) fn is_restored(&self, place: &Place) -> bool {
        let (is_restored, restored) = (self.parts.is_empty(), self.restored);
        if is_restored && restored > 0 && !self.is_extension {
            place.note_count(AuditKind::RevocationsRestored, restored);
        }
        is_restored
    }

    fn is_missing(&self, session: &RevokedSession, now: Timestamp) -> bool {
        let stored = self.sessions.get(&session.digest);
        session.until > now && stored.is_none_or(|until| until < seconds(session.until))
    }

    /// The parts of which something is missing.
    pub(crate) async fn missing_parts(&mut self, known: &Known, now: Timestamp) -> Vec<usize> {
        let mut missing = BTreeSet::new();
        for slice in known.slices() {
            let lost = known.sessions(slice).filter(|session| self.is_missing(session, now));
            missing.extend(lost.map(|session| part_of(&session.digest)));
            tokio::task::yield_now().await;
        }
        missing.extend(self.missing_registers(known, now).map(|(id, _)| part_of(&id.digest())));
        self.parts.retain(|part| missing.contains(part));
        self.parts.iter().copied().collect()
    }

    fn missing_registers(
        &self,
        known: &Known,
        now: Timestamp,
    ) -> impl Iterator<Item = (RegisterId, Register)> {
        known.registers().filter(move |(id, held)| {
            let is_there = |stored: &Register| stored.dominates(held) && stored.until >= held.until;
            held.until > now && !self.registers.get(id).is_some_and(is_there)
        })
    }

    /// Restores what is missing of a part. Returns whether it took no longer than until `limit`.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be written.
    pub(crate) async fn restore_part(
        &mut self,
        part: usize,
        place: &Place,
        known: &Known,
        limit: Instant,
    ) -> Result<bool, StoreError> {
        let now = place.clock.now();
        let registers: Vec<_> = self
            .missing_registers(known, now)
            .filter(|(id, _)| part_of(&id.digest()) == part)
            .collect();
        for registers in registers.chunks(BATCH) {
            place.restore(registers).await?;
            self.registers.extend(registers.iter().copied());
            self.restored += registers.len();
        }
        let mut batch = Vec::new();
        for slice in known.slices() {
            let of_part = known.sessions(slice).filter(|it| part_of(&it.digest) == part);
            batch.extend(of_part.filter(|session| self.is_missing(session, now)));
            if batch.len() >= BATCH {
                self.append(&mut batch, place).await?;
                if Instant::now() > limit {
                    return Ok(false);
                }
            }
            tokio::task::yield_now().await;
        }
        self.append(&mut batch, place).await?;
        self.parts.remove(&part);
        Ok(true)
    }

    async fn append(
        &mut self,
        batch: &mut Vec<RevokedSession>,
        place: &Place,
    ) -> Result<(), StoreError> {
        for sessions in batch.chunks(BATCH) {
            place.append(sessions).await?;
            self.stored(sessions);
            self.restored += sessions.len();
        }
        batch.clear();
        Ok(())
    }
}

/// Claims to restore a part; `None` if another replica does. Returns the claim's name, to be removed after.
///
/// # Errors
///
/// Fails if the store can't be written.
pub(crate) async fn claim(
    part: usize,
    place: &Place,
    board: &Board,
) -> Result<Option<EntryName>, StoreError> {
    let now = place.clock.now();
    let claim = board::restoring(part, now);
    match board.restoring.get(&part) {
        // Whoever claimed it may have died.
        Some(since) if (now - *since).max(*since - now) > place.restoration() => {
            place.remove(&claim.name).await?;
        }
        Some(_) => return Ok(None),
        None => {}
    }
    let is_claimed = place.insert(&claim).await? == Insertion::Inserted;
    Ok(is_claimed.then_some(claim.name))
}

fn part_of(digest: &Digest) -> usize {
    usize::from(digest[0]) % PARTS
}

/// Each part is restored by one replica.
const PARTS: usize = 16;
/// How many records are restored by one write.
pub(crate) const BATCH: usize = 500;
