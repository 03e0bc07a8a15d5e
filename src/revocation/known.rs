//! The revocations that a replica holds, in the form in which requests look them up.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::rejection::RejectionKind;
use crate::revocation::digest::Digests;
use crate::revocation::rules::{self, Mirrored};
use crate::revocation::table::Table;
use crate::revocation::waiting::Waiting;
use crate::revocation::writing::News;
use crate::store::feed::{Digest, Register, RegisterId, RevokedSession};
use crate::sync::{ArcSwapOption, lock};

/// The values of a token that decide whether it is revoked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) digests: Digests,
    /// When the user logged in, where the token says it.
    pub(crate) login: Option<Timestamp>,
    pub(crate) issued_at: Timestamp,
    /// The claims `rv` and `rg`: the versions of the registers under which the login was made.
    pub(crate) subject_version: u64,
    pub(crate) all_version: u64,
    /// How much later than a cutoff a login may be that it ends (D).
    pub(crate) slack: Duration,
}

/// All that is held. Reading waits for nobody.
pub(crate) struct Known {
    /// Until when each revoked session is kept, in seconds since 1970.
    sessions: Table<NonZeroU32>,
    subjects: Table<Held>,
    stale: Table<Held>,
    all: ArcSwapOption<Register>,
    changing: Mutex<Changing>,
    pub(crate) waiting: Arc<Waiting>,
}

/// What only writers look at.
#[derive(Default)]
struct Changing {
    /// The hours in which something ends.
    ends: BTreeSet<i64>,
    /// The registers that the store has lost, as they were held. What is looked up refuses what these do
    /// and what the store's do.
    behind: BTreeMap<RegisterId, Register>,
}

/// A register's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    version: NonZeroU64,
    at: Timestamp,
    until: Timestamp,
}

impl From<Held> for Register {
    fn from(Held { version, at, until }: Held) -> Self {
        Self::new(version.get(), at, until)
    }
}

impl Known {
    pub(crate) fn new() -> Self {
        Self {
            sessions: Table::new(),
            // Few subjects are cut off.
            subjects: Table::with_pieces(REGISTER_PIECES),
            stale: Table::with_pieces(STALE_PIECES),
            all: ArcSwapOption::default(),
            changing: Mutex::default(),
            waiting: Arc::default(),
        }
    }

    /// Refuses a session that one of them ends.
    pub(crate) fn check(&self, token: &Candidate) -> Result<(), RejectionKind> {
        let is_cut_off = |register: Option<Register>, version| {
            register.is_some_and(|it| rules::hits(&it, version, token.login, token.slack))
        };
        // The sessions last: the processor then goes on while it waits for memory.
        let is_revoked = is_cut_off(self.subject(&token.digests.subject), token.subject_version)
            || is_cut_off(self.all(), token.all_version)
            || self.has_session(&token.digests.session);
        if is_revoked { Err(RejectionKind::Revoked) } else { Ok(()) }
    }

    pub(crate) fn has_session(&self, digest: &Digest) -> bool {
        self.sessions.get(digest).is_some()
    }

    pub(crate) fn subject(&self, digest: &Digest) -> Option<Register> {
        self.subjects.get(digest).map(Into::into)
    }

    pub(crate) fn stale(&self, digest: &Digest) -> Option<Register> {
        if self.stale.is_empty() {
            return None;
        }
        self.stale.get(digest).map(Into::into)
    }

    pub(crate) fn all(&self) -> Option<Register> {
        self.all.load().as_deref().copied()
    }

    pub(crate) fn register(&self, id: RegisterId) -> Option<Register> {
        match id {
            RegisterId::Subject(digest) => self.subject(&digest),
            RegisterId::All => self.all(),
            RegisterId::Stale(digest) => self.stale(&digest),
        }
    }

    /// Whether what was read is more than what is held.
    pub(crate) fn is_news(&self, read: &News) -> bool {
        match read {
            News::Session(digest) => self.sessions.get(digest).is_none(),
            News::Register(id, seen) => self.version(*id) < seen.version,
        }
    }

    /// Takes revoked sessions in, those whose time has not passed.
    pub(crate) fn insert(&self, sessions: &[RevokedSession], now: Timestamp) {
        let alive = sessions.iter().filter(|session| session.until > now);
        let entries = alive.clone().map(|session| (session.digest, seconds(session.until)));
        self.sessions.insert_all(entries, NonZeroU32::max);
        let mut changing = lock(&self.changing);
        for session in alive {
            changing.ends.insert(hour(session.until));
            self.waiting.wake(&session.digest);
        }
    }

    /// Mirrors a register's value that the store has. If it is below the one that is held, the store has
    /// lost that one, which is then to be restored.
    pub(crate) fn mirror(&self, id: RegisterId, seen: Register, now: Timestamp) {
        // Held to the end: writers of one register take turns.
        let mut changing = lock(&self.changing);
        let held = changing.behind.get(&id).copied().or_else(|| self.register(id));
        let looked_up = match rules::mirror(held.as_ref(), Some(&seen), now) {
            None => return,
            Some(Mirrored::Taken(taken)) => {
                changing.behind.remove(&id);
                taken
            }
            Some(Mirrored::Lost { enforced }) => {
                changing.behind.extend(held.map(|held| (id, held)));
                enforced
            }
        };
        self.set(id, looked_up, now, &mut changing);
    }

    /// Mirrors a register's value that a login has read, if it is not below the one that is held.
    /// Otherwise the lookups stay as they are, and what is held is to be restored: the next refresh reads
    /// what that comes to.
    pub(crate) fn mirror_risen(&self, id: RegisterId, seen: Register, now: Timestamp) {
        let mut changing = lock(&self.changing);
        let held = changing.behind.get(&id).copied().or_else(|| self.register(id));
        match held.filter(|held| !seen.dominates(held)) {
            Some(held) => _ = changing.behind.entry(id).or_insert(held),
            None => {
                drop(changing);
                self.mirror(id, seen, now);
            }
        }
    }

    fn set(&self, id: RegisterId, register: Register, now: Timestamp, changing: &mut Changing) {
        let Register { version, at, until, .. } = register;
        let Some(version) = NonZeroU64::new(version).filter(|_| until > now) else { return };
        let value = Held { version, at, until };
        changing.ends.insert(hour(until));
        match id {
            RegisterId::Subject(digest) => {
                self.subjects.insert(digest, value, |_, new| new);
                self.waiting.wake(&digest);
            }
            RegisterId::Stale(digest) => self.stale.insert(digest, value, |_, new| new),
            RegisterId::All => {
                self.all.store(Some(Arc::new(register)));
                self.waiting.wake_all();
            }
        }
    }

    /// The registers that the store has lost, as they were held.
    pub(crate) fn behind(&self) -> Vec<(RegisterId, Register)> {
        lock(&self.changing).behind.iter().map(|(id, held)| (*id, *held)).collect()
    }

    /// The version under which a login is made.
    pub(crate) fn version(&self, id: RegisterId) -> u64 {
        // SECURITY: the store may give the version of a value that it has not made to another cutoff.
        let behind = lock(&self.changing).behind.get(&id).copied();
        behind.or_else(|| self.register(id)).map_or(0, |register| register.version)
    }

    /// Drops what is over, a slice of pieces at a time, and lets others run between.
    pub(crate) async fn sweep(&self, now: Timestamp) {
        let is_due = |ends: &BTreeSet<i64>| ends.first().is_some_and(|first| *first < hour(now));
        if !is_due(&lock(&self.changing).ends) {
            return;
        }
        let seconds = now.as_unix_seconds();
        for slice in self.slices() {
            self.sessions.sweep(slice, |until| i64::from(until.get()) > seconds);
            tokio::task::yield_now().await;
        }
        for registers in [&self.subjects, &self.stale] {
            registers.sweep(0..registers.pieces(), |held| held.until > now);
            tokio::task::yield_now().await;
        }
        if self.all().is_some_and(|all| all.until <= now) {
            self.all.store(None);
        }
        let ends = &mut lock(&self.changing).ends;
        *ends = ends.split_off(&hour(now));
    }

    /// Grows the filters of the tables that have grown.
    pub(crate) async fn grow_filters(&self) {
        self.sessions.grow_filter().await;
        self.subjects.grow_filter().await;
        self.stale.grow_filter().await;
    }

    /// The ranges of pieces that are walked without a pause.
    pub(crate) fn slices(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let pieces = self.sessions.pieces();
        (0..pieces).step_by(SLICE).map(move |first| first..pieces.min(first + SLICE))
    }

    /// The revoked sessions in these pieces.
    pub(crate) fn sessions(&self, slice: Range<usize>) -> impl Iterator<Item = RevokedSession> {
        let session = |(digest, until): (Digest, NonZeroU32)| {
            RevokedSession::new(digest, Timestamp::from_unix_seconds(until.get().into()))
        };
        self.sessions.entries(slice).map(session)
    }

    /// All registers.
    pub(crate) fn registers(&self) -> impl Iterator<Item = (RegisterId, Register)> {
        let of = |table: &Table<Held>| table.entries(0..table.pieces()).collect::<Vec<_>>();
        let subjects =
            of(&self.subjects).into_iter().map(|(d, held)| (RegisterId::Subject(d), held.into()));
        let stale =
            of(&self.stale).into_iter().map(|(d, held)| (RegisterId::Stale(d), held.into()));
        let all = self.all().map(|all| (RegisterId::All, all));
        subjects.chain(stale).chain(all)
    }

    /// Keeps everything for longer.
    pub(crate) async fn extend(&self, by: Duration) {
        for slice in self.slices() {
            let later = self.sessions(slice).map(|it| (it.digest, seconds(it.until + by)));
            self.sessions.insert_all(later.collect::<Vec<_>>(), NonZeroU32::max);
            tokio::task::yield_now().await;
        }
        for (id, register) in self.registers() {
            let mut changing = lock(&self.changing);
            // It may have risen since the walk.
            let register = self.register(id).unwrap_or(register);
            let until = register.until + by;
            let earliest = Timestamp::from_unix_millis(i64::MIN);
            self.set(id, Register { until, ..register }, earliest, &mut changing);
        }
    }

    /// The number of sessions, of subjects, and the bytes that they take.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let bytes = self.sessions.bytes() + self.subjects.bytes() + self.stale.bytes();
        [self.sessions.len(), self.subjects.len(), bytes]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.registers().next().is_none()
    }
}

/// Whole seconds, rounded up. A record of the year 2106 is kept as long as memory can say.
pub(crate) fn seconds(until: Timestamp) -> NonZeroU32 {
    let seconds = until.as_unix_millis().saturating_add(999).div_euclid(1000);
    NonZeroU32::new(seconds.clamp(1, u32::MAX.into()) as u32).unwrap_or(NonZeroU32::MIN)
}

fn hour(time: Timestamp) -> i64 {
    time.as_unix_seconds().div_euclid(3600)
}

const REGISTER_PIECES: usize = 8192;
/// Subjects whose claims are stale are fewer still.
const STALE_PIECES: usize = 512;
/// With 10,000,000 sessions a slice is walked in less than half a millisecond.
const SLICE: usize = 64;
