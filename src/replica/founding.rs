//! Founding: how a replica that finds its place in a store empty starts without creating a second ring
//! beside one that live replicas hold.
//!
//! 1. The newcomer writes a note, `newcomer-<id>`, and waits. The store reports that as a change, so
//!    that live replicas read the place.
//! 2. A live replica that holds what was there answers at once with the note `holder-<id>`, and
//!    restores it, the marker of its place last (the `birth` of a ring, the `founded` of
//!    revocations).
//! 3. A newcomer that was answered waits for the marker, for at most the refresh bound plus the time
//!    of a write, within which a live replica restores. If the marker does not appear, the replica that
//!    answered has died: the newcomer announces itself again, under another ID.
//! 4. A newcomer that was not answered founds after its wait: 3 seconds if the store reports changes,
//!    otherwise the refresh bound plus the time of a write, within which every live replica has
//!    polled. A read that fails, or does not find the newcomer's own note, restarts the wait. The clock
//!    is monotonic, and a read that began after the wait decides.
//! 5. The newcomer removes its notes and the answers to them; if it died, any replica removes them
//!    once they are old.
//!
//! SECURITY: notes are not authenticated. An attacker with write access can delay founding with them, for as
//! long as they write, and nothing else; they could as well remove the keys.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::error::not_ready::{NotReady, NotReadyKind};
use crate::replica::note::{self, Kind, Notes};
use crate::store::contract::{Entry, Store, StoreError, StoreProperties};
use crate::store::measured::{INSERT, REMOVE, measured};
use crate::store::polling::{Polling, within};

/// When a replica founds a place that it finds empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// If no live replica has restored it in time; at once in a private store.
    #[default]
    AfterWait,
    AtOnce,
    Never,
}

/// The content of a place that a read found, notes excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Entries that can't be read: they may be anything.
    Unreadable,
    /// Nothing.
    Empty,
    /// Entries without the marker, which is restored last.
    Part,
    /// The marker, and so the complete content.
    Whole,
}

/// The wait of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The start of the wait, by the replica's clock.
    pub(crate) since: Timestamp,
    /// The latest end of the wait; `None` while it can't begin, since the store fails.
    pub(crate) until: Option<Timestamp>,
    /// Whether a live replica has answered that it restores the content.
    pub(crate) is_restored: bool,
    /// How long the wait takes from its beginning.
    pub(crate) takes: Duration,
}

impl Wait {
    /// As the reason why a replica without `content`, the place's, is not ready.
    pub(crate) fn not_ready(&self, content: &str) -> NotReady {
        let Self { since, until, is_restored, takes } = self;
        let until = match until {
            Some(until) => until.to_string(),
            None => format!("a time not yet known ({takes:?} after the wait can begin)"),
        };
        let text = match is_restored {
            true => format!(
                "the store lost {content}, and a live replica is restoring what it held: waiting \
                 since {since}, at the latest until {until}"
            ),
            false => format!(
                "the store does not hold {content}: waiting since {since} for a live replica to \
                 restore what it may have lost; without one, this replica founds {content} anew at \
                 {until}. If other replicas run, check this one's clock, for which the keys may have \
                 expired, its store and its names. To skip the wait at the first start of a service, \
                 and only then, set `found_now`"
            ),
        };
        NotReady::new(NotReadyKind::Founding, text)
    }

    /// How long the wait still takes, at least.
    pub(crate) fn remaining(&self, now: Timestamp) -> Duration {
        self.until.map_or(self.takes, |until| until - now)
    }
}

/// A replica's part in the founding of one place: as a newcomer, and later as one that answers
/// newcomers.
#[derive(Debug)]
pub(crate) struct Founding {
    /// The place's name in the store.
    place: Arc<str>,
    /// Whether this replica does not wait for others.
    at_once: bool,
    /// How long an unanswered newcomer waits.
    wait: Duration,
    /// How long a newcomer that was answered waits.
    restoration: Duration,
    newcomer: Option<Newcomer>,
    /// Whether this replica has seen or founded the content.
    settled: bool,
    /// The result of the last read.
    notes: Notes,
    /// The IDs that this replica had as a newcomer: notes about them are to be removed.
    past: Vec<String>,
    look_again: Option<Instant>,
}

#[derive(Debug)]
struct Newcomer {
    id: String,
    since: Timestamp,
    /// When its note was written, if all reads since were good and found it.
    announced: Option<Instant>,
    /// When the answer was first seen.
    answered: Option<Instant>,
}

impl Founding {
    /// The part of a replica that polls a place of `store` so.
    pub(crate) fn new(store: &dyn Store, place: Arc<str>, polling: &Polling, when: When) -> Self {
        let StoreProperties { is_private, notifies, staleness, .. } = store.properties();
        let insert_timeout = polling.insert_timeout;
        let restoration = polling.bound().saturating_add(insert_timeout).saturating_add(staleness);
        let wait = match notifies {
            true => {
                // The note, and its answer, may both be seen so late.
                let late = staleness.saturating_mul(2).saturating_add(NOTICE);
                restoration.min(NOTIFIED.max(late))
            }
            false => restoration,
        };
        Self {
            place,
            at_once: match when {
                When::AfterWait => is_private,
                When::AtOnce => true,
                When::Never => false,
            },
            wait,
            restoration,
            newcomer: None,
            settled: false,
            notes: Notes::default(),
            past: Vec::new(),
            look_again: None,
        }
    }

    /// Whether this replica holds the content of the place.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether this replica waits. While it waits it writes only its own note.
    pub(crate) fn is_waiting(&self) -> bool {
        self.look_again.is_some() && self.newcomer.is_some()
    }

    /// The latest time of the next read, if earlier than it is polled.
    pub(crate) fn look_again(&self) -> Option<Instant> {
        self.look_again
    }

    /// Asks for another read, as soon as may be.
    pub(crate) fn look_again_now(&mut self) {
        self.look_again = Some(Instant::now());
    }

    /// Whether a newcomer waits for content that this replica may hold.
    pub(crate) fn is_awaited(&self, now: Timestamp) -> bool {
        self.awaiting(now).next().is_some()
    }

    /// Takes in that a read failed: a wait begins anew with the next one.
    pub(crate) fn restart_wait(&mut self) {
        if let Some(newcomer) = &mut self.newcomer {
            newcomer.announced = None;
            self.look_again = Some(Instant::now() + POLL);
        }
    }

    /// Processes the result of a read that `began` then. Returns why this replica has to wait, or
    /// `None` if it may proceed: with the content, or by founding an empty place.
    pub(crate) fn observe(
        &mut self,
        began: Instant,
        content: Content,
        notes: Notes,
        now: Timestamp,
    ) -> Option<Wait> {
        self.notes = notes;
        self.look_again = None;
        let goes_on = match content {
            Content::Whole => true,
            // This replica's own restoration completes it.
            Content::Part => self.settled || self.at_once,
            Content::Empty => self.at_once,
            Content::Unreadable => {
                self.restart_wait();
                self.look_again = Some(began + POLL);
                let since = self.newcomer.as_ref().map_or(now, |newcomer| newcomer.since);
                let takes = self.wait;
                return Some(Wait { since, until: None, is_restored: false, takes });
            }
        };
        if goes_on {
            self.settle(content != Content::Empty);
            return None;
        }
        // From now on it is a newcomer, even if it held the lost content.
        self.settled &= content != Content::Empty;
        self.look_again = Some(began + POLL.min(self.wait));
        let mut newcomer = self.newcomer.take().unwrap_or_else(|| {
            let (ring, wait) = (&*self.place, self.wait);
            let fix = "none at the first start of a service: it answers 503 until then; `found_now` skips \
                       the wait";
            tracing::info!(ring, ?wait, fix, "waiting for live replicas before founding");
            Newcomer::new(now)
        });
        if !self.notes.has(Kind::Newcomer, &newcomer.id) {
            newcomer.announced = None;
        }
        if self.notes.has(Kind::Holder, &newcomer.id) {
            newcomer.answered.get_or_insert(began);
        }
        let deadline = match (newcomer.answered, newcomer.announced) {
            (Some(answered), _) => Some(answered + self.restoration),
            (None, announced) => announced.map(|announced| announced + self.wait),
        };
        let is_over = deadline.is_some_and(|deadline| began >= deadline);
        if is_over && (content == Content::Part || newcomer.answered.is_none()) {
            // It remains a newcomer until its founding is written: a write may fail.
            self.newcomer = Some(newcomer);
            self.look_again = None;
            if content == Content::Part {
                self.settle(true);
            }
            return None;
        }
        if is_over {
            let ring = &*self.place;
            tracing::warn!(
                ring,
                "a replica announced a restoration and restored nothing; asking again"
            );
            self.past.push(newcomer.id);
            newcomer = Newcomer { since: newcomer.since, ..Newcomer::new(now) };
        }
        let deadline = deadline.filter(|_| !is_over);
        let wait = Wait {
            since: newcomer.since,
            until: deadline.map(|deadline| now + deadline.saturating_duration_since(began)),
            is_restored: newcomer.answered.is_some(),
            takes: self.wait,
        };
        self.look_again = self.look_again.min(deadline.or(self.look_again));
        self.newcomer = Some(newcomer);
        Some(wait)
    }

    /// Writes the note of a newcomer that waits, or a holder's answers to newcomers.
    ///
    /// # Errors
    ///
    /// If the store can't be written in time.
    pub(crate) async fn announce(
        &mut self,
        (store, limit): (&dyn Store, Duration),
        now: Timestamp,
        holds: bool,
    ) -> Result<(), StoreError> {
        if let Some(newcomer) = &mut self.newcomer {
            if newcomer.announced.is_none() && newcomer.answered.is_none() {
                insert(store, &self.place, limit, Kind::Newcomer.entry(&newcomer.id, now)).await?;
                let announced = Instant::now();
                newcomer.announced = Some(announced);
                let soon = announced + POLL.min(self.wait);
                self.look_again = self.look_again.map(|at| at.min(soon));
            }
            return Ok(());
        }
        if !holds {
            return Ok(());
        }
        let unanswered = self.awaiting(now).filter(|id| !self.notes.has(Kind::Holder, id));
        for id in unanswered.take(MOST_AT_ONCE) {
            insert(store, &self.place, limit, Kind::Holder.entry(id, now)).await?;
        }
        Ok(())
    }

    /// Removes notes that are done, and old ones whose writer must have died.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be written in time. The rest is removed at another refresh.
    pub(crate) async fn clean(
        &self,
        (store, limit): (&dyn Store, Duration),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let settled = self.newcomer.is_none();
        let served =
            self.notes.0.iter().filter(|((_, id), at)| {
                self.past.contains(id) || (settled && self.is_old(**at, now))
            });
        for ((kind, id), _) in served.take(MOST_AT_ONCE) {
            let name = kind.name(id);
            let removing = measured(&self.place, REMOVE, store.remove(&self.place, &name));
            within(limit, "removing an entry", removing).await?;
        }
        Ok(())
    }

    /// The IDs of other newcomers whose notes are in use.
    fn awaiting(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let newcomers = self.notes.0.iter().filter(|((kind, _), _)| *kind == Kind::Newcomer);
        let others = newcomers
            .filter(move |((_, id), at)| !self.past.contains(id) && !self.is_old(**at, now));
        others.map(|((_, id), _)| &**id)
    }

    fn settle(&mut self, settled: bool) {
        self.settled |= settled;
        self.past.extend(self.newcomer.take().map(|newcomer| newcomer.id));
    }

    /// Whether no newcomer can still wait for the answer to a note of that time, or no clock can show
    /// that time.
    fn is_old(&self, at: Timestamp, now: Timestamp) -> bool {
        let longest = KEEP.saturating_add(self.restoration.saturating_mul(4));
        (now - at).max(at - now) > longest
    }
}

impl Newcomer {
    fn new(now: Timestamp) -> Self {
        Self { id: note::id(), since: now, announced: None, answered: None }
    }
}

async fn insert(
    store: &dyn Store,
    place: &Arc<str>,
    limit: Duration,
    entry: Entry,
) -> Result<(), StoreError> {
    let inserting = measured(place, INSERT, store.insert(place, &entry));
    within(limit, "writing an entry", inserting).await.map(drop)
}

/// How long a newcomer waits for an answer where the store reports changes: a second until live
/// replicas notice, one for them to answer, and one to spare.
const NOTIFIED: Duration = Duration::from_secs(3);
/// The time within which such a store reports a change, as [`StoreProperties::notifies`] promises.
const NOTICE: Duration = Duration::from_secs(1);
/// How often a newcomer reads while it waits.
const POLL: Duration = Duration::from_secs(1);
/// The minimum time for which a note is kept, so that clock differences remove none that is in use.
const KEEP: Duration = Duration::from_secs(600);
/// How many newcomers are answered, and old notes removed, by one refresh.
const MOST_AT_ONCE: usize = 16;
