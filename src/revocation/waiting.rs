//! Who waits for the end of which session: an end wakes only those whom it concerns.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::revocation::digest::Digests;
use crate::store::feed::Digest;
use crate::sync::lock;

/// All who wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: u64,
    /// By the digests of their session and of its subject.
    by_digest: HashMap<Digest, HashMap<u64, Arc<Notify>>>,
}

impl Waiting {
    /// Waits for what concerns a session, until the answer is dropped.
    pub(crate) fn wait_for(self: &Arc<Self>, digests: Digests) -> Waiter {
        let notify = Arc::new(Notify::new());
        let mut state = lock(&self.0);
        state.last += 1;
        let id = state.last;
        for digest in [digests.session, digests.subject] {
            state.by_digest.entry(digest).or_default().insert(id, notify.clone());
        }
        Waiter { waiting: self.clone(), digests, id, notify }
    }

    /// Wakes those who wait for this session or subject.
    pub(crate) fn wake(&self, digest: &Digest) {
        let state = lock(&self.0);
        state.by_digest.get(digest).into_iter().flatten().for_each(|(_, one)| one.notify_one());
    }

    /// Wakes everyone.
    pub(crate) fn wake_all(&self) {
        let state = lock(&self.0);
        state.by_digest.values().flatten().for_each(|(_, one)| one.notify_one());
    }
}

/// One who waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    waiting: Arc<Waiting>,
    digests: Digests,
    id: u64,
    notify: Arc<Notify>,
}

impl Waiter {
    /// Completes when something was recorded since it last did.
    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = lock(&self.waiting.0);
        for digest in [self.digests.session, self.digests.subject] {
            if let Some(waiters) = state.by_digest.get_mut(&digest) {
                waiters.remove(&self.id);
                if waiters.is_empty() {
                    state.by_digest.remove(&digest);
                }
            }
        }
    }
}
