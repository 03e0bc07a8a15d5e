//! Background tasks: a task that panics is restarted, and a task that was dropped is noticed.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use metrics::counter;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How the background tasks of one handle fare.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    panics: AtomicU64,
    /// How many have panicked and wait to be restarted.
    paused: AtomicU32,
    /// Whether one has ended though it was needed: its runtime was shut down.
    stopped: AtomicBool,
}

impl Tasks {
    /// Starts a task and keeps it running until it returns. A task that panics is restarted after a
    /// pause, which doubles from 100 ms to 30 s while it keeps panicking. `start` receives whether it is
    /// a restart.
    ///
    /// A panic loses what the task owns: keep what has to outlive it in `start`.
    pub(crate) fn spawn<F>(
        self: &Arc<Self>,
        task: &'static str,
        ring: Arc<str>,
        start: impl FnMut(bool) -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        counter!(TASK_PANICS, "ring" => ring.clone()).increment(0);
        // Made here: a runtime that is shut down at once drops the task before it begins.
        let running = Running { tasks: self.clone(), ended: false };
        tokio::spawn(supervise(running, task, ring, start))
    }

    /// How many panics there have been.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Whether a task has stopped for good.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The reason why background work is not done at present, if it is not.
    pub(crate) fn failure(&self) -> Option<&'static str> {
        if self.is_stopped() {
            Some("a background task has stopped: the runtime that it ran on was shut down")
        } else if self.paused.load(Ordering::Relaxed) > 0 {
            Some("a background task panicked and is about to be restarted")
        } else {
            None
        }
    }
}

async fn supervise<F: Future<Output = ()>>(
    mut running: Running,
    task: &'static str,
    ring: Arc<str>,
    mut start: impl FnMut(bool) -> F,
) {
    let tasks = running.tasks.clone();
    let (mut pause, mut is_restart) = (FIRST_PAUSE, false);
    loop {
        let began = Instant::now();
        if caught(start(is_restart)).await.is_ok() {
            running.ended = true;
            return;
        }
        tasks.panics.fetch_add(1, Ordering::Relaxed);
        counter!(TASK_PANICS, "ring" => ring.clone()).increment(1);
        if began.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        // The panic hook prints the panic's own message, which may contain anything.
        tracing::error!(ring = &*ring, task, ?pause, "a background task panicked; restarting it");
        tasks.paused.fetch_add(1, Ordering::Relaxed);
        sleep(pause).await;
        tasks.paused.fetch_sub(1, Ordering::Relaxed);
        (pause, is_restart) = (LONGEST_PAUSE.min(pause * 2), true);
    }
}

/// Notices that a task was dropped before its end.
struct Running {
    tasks: Arc<Tasks>,
    ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.tasks.stopped.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs a future to its end or to its panic.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = Box::pin(future);
    // It is not polled again after a panic, only dropped, as tokio does with a task.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(crate) const TASK_PANICS: &str = "tower_jwt_session_task_panics_total";
