//! The task that records revocations: all that have come while it wrote the last ones at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::clock::Timestamp;
use crate::revocation::known::{Known, seconds};
use crate::revocation::place::Place;
use crate::revocation::rules;
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
    for Recording { revocation, done } in batch.drain(..) {
        match revocation {
            Revocation::Session(_) if !can_be_kept(until, now) => {
                let context =
                    format!("no record can be kept at {now}, which the clock shows: correct it");
                let _ = done.send(Err(Arc::new(StoreError::new(context))));
            }
            Revocation::Session(digest) => {
                sessions.push(RevokedSession::new(digest, until));
                appended.push(done);
            }
            Revocation::Cutoff { id, above, at } => {
                let recorder = recorder.clone();
                advancing.spawn(async move {
                    // Who has gone away need not know.
                    let _ =
                        done.send(advance(&*recorder, id, above, at, now).await.map_err(Arc::new));
                });
            }
        }
    }
    if !sessions.is_empty() {
        let recorded = place.append(&sessions).await.map_err(Arc::new);
        if recorded.is_ok() {
            recorder.known().insert(&sessions, now);
        }
        for done in appended {
            let _ = done.send(recorded.clone().map(|()| 0));
        }
    }
    advancing.join_all().await;
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
