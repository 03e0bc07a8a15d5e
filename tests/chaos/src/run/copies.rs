//! Copies of tokens whose logout was answered 204: within the bound a replica may accept one, later never.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::faults::Allows;
use crate::run::ask::{Answer, me};
use crate::run::load::Load;
use crate::setup::cluster::client;

/// A stopped replica answers when it continues.
const PATIENCE: Duration = Duration::from_secs(120);
const TRY_EVERY: Duration = Duration::from_millis(25);
/// What a busy machine adds to the bound.
const GRACE: Duration = Duration::from_secs(1);

/// A session that was logged out.
#[derive(Clone)]
struct Ended {
    token: String,
    at: Instant,
    /// The number of the replica that answered.
    by: usize,
    /// Whether a replica that lives on has refused a copy: then it knows, and restores it.
    survives: Arc<AtomicBool>,
}

/// The sessions that were logged out.
pub(crate) struct Copies {
    ended: Mutex<Vec<Ended>>,
    bound: Duration,
    /// Whether a replica may miss what it cannot see.
    cut_off: bool,
    /// Whether the last replica may take a logout with it that no other has read.
    forgotten: bool,
}

/// What the time of a request says of an answer that accepts.
enum Due {
    WithinBound,
    CutOff,
    Late,
}

impl Copies {
    /// `bound` is what the replicas state; `allows` says whether the fault hides the store.
    pub(crate) fn new(bound: Duration, allows: Allows) -> Self {
        Self {
            ended: Mutex::default(),
            bound: bound + GRACE,
            cut_off: allows.cut_off.is_some(),
            forgotten: allows.forgotten.is_some(),
        }
    }

    /// A logout was answered 204 now.
    pub(crate) fn ended(&self, token: String, by: usize) {
        self.all().push(Ended { token, at: Instant::now(), by, survives: Arc::default() });
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Ended>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self, load: &Load, ended: &Ended, asked: Instant) -> Due {
        if self.is_forgotten(load, ended) {
            return Due::CutOff;
        }
        let ended = ended.at;
        if asked < ended + self.bound {
            return Due::WithinBound;
        }
        // The replicas may not have read it when the fault began.
        let hidden = load.timeline.began().is_some_and(|began| ended + self.bound > began);
        let seen = load.timeline.lifted().is_some_and(|lifted| asked > lifted + self.bound);
        match self.cut_off && hidden && !seen {
            true => Due::CutOff,
            false => Due::Late,
        }
    }
}

impl Copies {
    /// Whether the replica that answered was killed before the others had to know, and none of them did.
    fn is_forgotten(&self, load: &Load, ended: &Ended) -> bool {
        let last = load.peers.len() - 1;
        let began = load.timeline.began();
        self.forgotten
            && ended.by == last
            && !ended.survives.load(Ordering::Relaxed)
            && began.is_some_and(|began| ended.at < began + GRACE && ended.at + self.bound > began)
    }
}

impl Load {
    /// Tries all copies at one replica, in turn, whether or not it is ready.
    pub(crate) async fn try_copies(self: Arc<Self>, index: usize) {
        let client = client(PATIENCE);
        let mut turn = 0;
        while !self.is_stopped() {
            let next = {
                let all = self.copies.all();
                // The newest are the ones that may be missed.
                let newest = turn % 2 == 0;
                let at = if newest { all.len().saturating_sub(1 + turn / 2 % 4) } else { turn / 2 };
                all.get(at % all.len().max(1)).cloned()
            };
            turn += 1;
            if let Some(ended) = next {
                self.try_copy(&client, index, &ended).await;
            }
            sleep(TRY_EVERY).await;
        }
    }

    async fn try_copy(&self, client: &reqwest::Client, index: usize, ended: &Ended) {
        let peer = &self.peers[index];
        let asked = Instant::now();
        let answer = me(client, &peer.url, &ended.token).await;
        if matches!(answer, Answer::Status(401, _)) && index + 1 < self.peers.len() {
            ended.survives.store(true, Ordering::Relaxed);
        }
        let due = self.copies.due(self, ended, asked);
        let late = answer.is_good() && matches!(due, Due::Late);
        {
            let copies = &mut self.tally.counts().copies;
            let counter = match (&answer, due) {
                // It is down, or was killed: nobody is let in.
                (Answer::Unreachable(_), _) => return,
                (answer, Due::WithinBound) if answer.is_good() => &mut copies.within_bound,
                (answer, Due::CutOff) if answer.is_good() => &mut copies.cut_off,
                (answer, Due::Late) if answer.is_good() => &mut copies.after_bound,
                (Answer::Status(503, _), _) => &mut copies.unavailable,
                _ => &mut copies.refused,
            };
            *counter += 1;
            copies.tried += 1;
        }
        if late {
            let phase = self.timeline.phase();
            let age = (asked - ended.at).as_secs_f64();
            self.tally.problem(
                "accepted late",
                format!(
                    "{phase}: a session that was logged out {age:.1} s before is accepted by \
                     replica-{}",
                    index + 1
                ),
            );
        }
    }

    /// Asks every replica for every session that was logged out, once more: how many are accepted.
    pub(crate) async fn accepted_in_the_end(&self) -> (u64, u64) {
        let client = client(PATIENCE);
        let all = self.copies.all().clone();
        let (forgotten, all): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|ended| self.copies.is_forgotten(self, ended));
        self.tally.counts().copies.forgotten = forgotten.len() as u64;
        let mut accepted = 0;
        for ended in &all {
            for peer in &self.peers {
                let answer = me(&client, &peer.url, &ended.token).await;
                if answer.is_good() {
                    accepted += 1;
                    let at = peer.index + 1;
                    self.tally.problem("accepted in the end", format!("by replica-{at}"));
                }
            }
        }
        (all.len() as u64, accepted)
    }

    /// Sends the copies to a replica that does not answer now, so that they wait there.
    pub(crate) fn wait_at(self: &Arc<Self>, index: usize, count: usize) {
        for ended in self.copies.all().iter().take(count) {
            let ended = ended.clone();
            let load = Arc::clone(self);
            tokio::spawn(async move {
                load.try_copy(&client(PATIENCE), index, &ended).await;
            });
        }
    }
}
