//! The task that records revocations: all that have come while it wrote the last ones at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::audit::handle::Draft;
use crate::clock::Timestamp;
use crate::revocation::known::{Known, seconds};
use crate::revocation::place::Place;
use crate::revocation::rules;
use crate::revocation::writing::Item;
use crate::store::contract::StoreError;
use crate::store::feed::{Advance, Digest, RegisterId, RevokedSession};

/// What is to be recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Revocation {
    Session(Digest),
    /// A cutoff of logins until `at`, in a version above that of the session at hand.
    Cutoff {
        id: RegisterId,
        above: u64,
        at: Timestamp,
    },
}

/// A revocation on its way to the store, and the channel to the caller.
pub(crate) struct Recording {
    pub(crate) revocation: Revocation,
    /// What the audit trail gets once it is recorded.
    pub(crate) event: Option<Draft>,
    /// Answered with the version that a register has risen to; 0 for a session.
    pub(crate) done: oneshot::Sender<Result<u64, Arc<StoreError>>>,
}

/// Where they are recorded, and then held.
pub(crate) trait Recorder: Send + Sync + 'static {
    fn place(&self) -> &Place;
    fn known(&self) -> &Known;
}

/// Writes what is to be recorded, whether or not its callers still wait, until all handles are gone.
///
/// A write that was interrupted by a panic is answered as failed; later ones wait for the restart.
pub(crate) async fn write<R: Recorder>(
    recorder: Weak<R>,
    recordings: Arc<Mutex<mpsc::Receiver<Recording>>>,
) {
    let (mut batch, mut pace) = (Vec::new(), Pace::new());
    let mut recordings = recordings.lock().await;
    if let Some(recorder) = recorder.upgrade() {
        // After a panic no write runs.
        let place = recorder.place();
        place.note_learned(place.writing.abandon());
    }
    while let Some(recording) = recordings.recv().await {
        batch.push(recording);
        pace.wait().await;
        while batch.len() < LONGEST_QUEUE
            && let Ok(recording) = recordings.try_recv()
        {
            batch.push(recording);
        }
        let Some(recorder) = recorder.upgrade() else { return };
        record_all(recorder, &mut batch).await;
    }
}

/// A few writes go at once. Under load each waits for others to come, so that what a store has to write hardly
/// grows with the logouts.
struct Pace {
    /// When as many writes as there may be would need no wait.
    rested: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { rested: Instant::now() }
    }

    async fn wait(&mut self) {
        if self.rested > Instant::now() + REST * (BURST - 1) {
            sleep(PAUSE).await;
        }
        let now = Instant::now();
        self.rested = (self.rested.max(now) + REST).min(now + REST * BURST);
    }
}

async fn record_all<R: Recorder>(recorder: Arc<R>, batch: &mut Vec<Recording>) {
    let place = recorder.place();
    let now = place.clock.now();
    let until = place.until(now, now);
    let (mut sessions, mut appended, mut advancing) = (Vec::new(), Vec::new(), JoinSet::new());
    for Recording { revocation, event, done } in batch.drain(..) {
        match revocation {
            Revocation::Session(_) if !can_be_kept(until, now) => {
                let context =
                    format!("no record can be kept at {now}, which the clock shows: correct it");
                let _ = done.send(Err(Arc::new(StoreError::new(context))));
            }
            Revocation::Session(digest) => {
                place.writing.begin(Item::Session(digest));
                sessions.push(RevokedSession::new(digest, until));
                appended.push((event, done));
            }
            Revocation::Cutoff { id, above, at } => {
                let recorder = recorder.clone();
                advancing.spawn(async move {
                    recorder.place().writing.begin(Item::Register(id));
                    let advanced = advance(&*recorder, id, above, at, now).await;
                    let version = advanced.as_ref().ok().copied();
                    let news = recorder.place().writing.end(Item::Register(id), version);
                    recorder.place().note_learned(news);
                    answer(advanced.map_err(Arc::new), event, done);
                });
            }
        }
    }
    if !sessions.is_empty() {
        let recorded = place.append(&sessions).await.map_err(Arc::new);
        if recorded.is_ok() {
            recorder.known().insert(&sessions, now);
        }
        for session in &sessions {
            let written = recorded.is_ok().then_some(0);
            place.note_learned(place.writing.end(Item::Session(session.digest), written));
        }
        for (event, done) in appended {
            answer(recorded.clone().map(|()| 0), event, done);
        }
    }
    advancing.join_all().await;
}

/// Answers the caller, who may have gone away, once the event is recorded. A slow audit sink holds up no
/// other revocation.
fn answer(
    recorded: Result<u64, Arc<StoreError>>,
    event: Option<Draft>,
    done: oneshot::Sender<Result<u64, Arc<StoreError>>>,
) {
    match event.filter(|_| recorded.is_ok()) {
        Some(event) if !event.takes().is_zero() => {
            tokio::spawn(async move {
                event.record().await;
                let _ = done.send(recorded);
            });
        }
        event => {
            event.into_iter().for_each(Draft::note);
            let _ = done.send(recorded);
        }
    }
}

/// Whether memory can say that time, and it is later than `now`.
fn can_be_kept(until: Timestamp, now: Timestamp) -> bool {
    i64::from(seconds(until).get()) > now.as_unix_seconds()
}

async fn advance(
    recorder: &impl Recorder,
    id: RegisterId,
    above: u64,
    at: Timestamp,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let (place, known) = (recorder.place(), recorder.known());
    let held = known.register(id);
    // A version that no issuer can know counts as none, as where sessions are checked.
    let above = Some(above).filter(|above| *above <= rules::highest_version(now)).unwrap_or(0);
    let above = held.map_or(above, |held| held.version.max(above));
    let at = held.map_or(at, |held| held.at.max(at));
    let advance = Advance::new(id, above, at, place.until(at, now), now);
    let advanced = place.advance(&advance).await?;
    known.mirror(id, advanced, now);
    // A later advance by this replica may have been answered before this one.
    match known.register(id).filter(|held| held.dominates(&advanced)) {
        Some(_) => Ok(advanced.version),
        None => Err(StoreError::new("the store lost a register while it was advanced; try again")),
    }
}

/// How many revocations may wait to be written; others wait to be taken in.
pub(crate) const LONGEST_QUEUE: usize = 1024;
/// How long a write waits for others under load, and so a logout at most, beside the write before it. With 15
/// logouts a second, a write has four.
const PAUSE: Duration = Duration::from_millis(200);
/// How many writes need not wait, after a rest.
const BURST: u32 = 5;
/// The rest after which one more write need not wait. More than [`PAUSE`], so that it is not earned by waiting.
const REST: Duration = Duration::from_millis(500);
