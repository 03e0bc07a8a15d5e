//! Listens for changes that other replicas publish, and wakes the followers of a ring.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::store::contract::StoreError;
use crate::store::polling::{Jitter, within};
use crate::sync::lock;
use crate::tasks::Tasks;

/// The channel for changes of all rings of a store. Clones share it.
pub(crate) trait Source: Clone + Send + Sync + 'static {
    type Connection: Send;

    /// The moves of the store from one server to another.
    fn moves(&self) -> watch::Receiver<u64>;

    /// Connects, and listens from then on.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, StoreError>> + Send;

    /// Waits for the next change and says in which ring. Nothing is lost if it is dropped.
    fn next(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// Sends a ping.
    fn ping(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// One connection that listens for all clones of a store, while any is left.
///
/// 1. The task that holds it is started by the first call of [`changed`](Self::changed).
/// 2. It is pinged, and a lost connection is made anew, with pauses that grow.
/// 3. Changes that were published in between are lost. So every new connection wakes all followers.
/// 4. If the store moves to another server, the connection moves, too.
pub(crate) struct Listener<S: Source> {
    shared: Arc<Shared<S>>,
    /// The versions at which `changed` last returned to this handle.
    seen: Mutex<HashMap<Box<str>, u64>>,
}

struct Shared<S> {
    source: S,
    board: Arc<Mutex<Board>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// The versions of the rings that are followed.
#[derive(Default)]
struct Board {
    rings: HashMap<Box<str>, watch::Sender<u64>>,
    listening: bool,
}

impl<S: Source> Listener<S> {
    pub(crate) fn new(source: S) -> Self {
        let shared = Shared { source, board: Arc::default(), task: Mutex::default() };
        Self { shared: Arc::new(shared), seen: Mutex::default() }
    }

    /// Waits until something may have changed in `ring` since this last returned to this handle.
    pub(crate) async fn changed(&self, ring: &str) -> Result<(), StoreError> {
        let mut versions = lock(&self.shared.board).follow(ring);
        self.shared.start();
        let seen = lock(&self.seen).get(ring).copied().unwrap_or_default();
        // The sender lives as long as this handle.
        if let Ok(version) = versions.wait_for(|version| *version != seen).await {
            lock(&self.seen).insert(ring.into(), *version);
        }
        Ok(())
    }
}

/// A clone has seen nothing yet: its first call returns as soon as the connection listens.
impl<S: Source> Clone for Listener<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), seen: Mutex::default() }
    }
}

impl<S: Source> fmt::Debug for Listener<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

impl<S: Source> Shared<S> {
    /// Starts the task unless it runs. One ends early only with the runtime it was started on.
    fn start(&self) {
        let mut task = lock(&self.task);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let (source, board) = (self.source.clone(), Arc::clone(&self.board));
            let start = move |_| listen(source.clone(), Arc::clone(&board));
            let tasks = Arc::new(Tasks::default());
            *task = Some(tasks.spawn("listener", "".into(), start));
        }
    }
}

impl<S> Drop for Shared<S> {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

impl Board {
    fn follow(&mut self, ring: &str) -> watch::Receiver<u64> {
        // Changes before the ring had a follower were not recorded.
        let version = || watch::Sender::new(u64::from(self.listening));
        self.rings.entry(ring.into()).or_insert_with(version).subscribe()
    }

    fn wake(&mut self, ring: &str) {
        if let Some(version) = self.rings.get(ring) {
            version.send_modify(|version| *version += 1);
        }
    }

    /// A new connection listens: changes before it are unknown.
    fn listen(&mut self) {
        self.listening = true;
        for version in self.rings.values() {
            version.send_modify(|version| *version += 1);
        }
    }
}

async fn listen<S: Source>(source: S, board: Arc<Mutex<Board>>) {
    let mut pause = FIRST_PAUSE;
    let mut was_logged = false;
    let mut moves = source.moves();
    // Nothing was heard since a panic.
    lock(&board).listening = false;
    loop {
        let began = Instant::now();
        moves.mark_unchanged();
        let failure = match within(LIMIT, "connecting", source.connect()).await {
            Ok(mut connection) => {
                lock(&board).listen();
                tokio::select! {
                    Err(failure) = hear::<S>(&mut connection, &board) => failure,
                    _ = moves.changed() => continue,
                }
            }
            Err(failure) => failure,
        };
        lock(&board).listening = false;
        // One that is lost as soon as it is made is no reason to hurry.
        if began.elapsed() > LONGEST_PAUSE {
            (pause, was_logged) = (FIRST_PAUSE, false);
        }
        let cause = std::error::Error::source(&failure).map(ToString::to_string);
        if was_logged {
            tracing::debug!(error = %failure, cause, "still cannot listen for changes");
        } else {
            tracing::warn!(error = %failure, cause, "cannot listen for changes; polling only");
            was_logged = true;
        }
        // Up to twice as long, so that replicas don't reconnect at the same time.
        sleep(pause + pause * u32::from(Jitter::Random.draw()) / 0x1_0000).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Wakes the followers of each ring that changes, until the connection fails.
async fn hear<S: Source>(
    connection: &mut S::Connection,
    board: &Mutex<Board>,
) -> Result<Infallible, StoreError> {
    loop {
        match timeout(QUIET, S::next(connection)).await {
            Ok(ring) => lock(board).wake(&ring?),
            Err(_) => within(LIMIT, "a ping", S::ping(connection)).await?,
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How long a connection may be silent before it is pinged.
const QUIET: Duration = Duration::from_secs(15);
/// How long connecting, and a ping, may take.
const LIMIT: Duration = Duration::from_secs(5);
