//! Blocking work on a separate thread with a time limit: a mount that hangs blocks neither the
//! runtime nor its shutdown, and at most one thread.

use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// Runs one piece of work at a time.
#[derive(Debug)]
pub(crate) struct Worker<T> {
    /// The work that did not end in time.
    pending: Option<oneshot::Receiver<T>>,
}

impl<T> Default for Worker<T> {
    fn default() -> Self {
        Self { pending: None }
    }
}

impl<T: Send + 'static> Worker<T> {
    /// Does `work`, for no longer than `limit`. Earlier work that is still running has to end first;
    /// its result is dropped, so that none comes after a later one's.
    ///
    /// # Errors
    ///
    /// If the work does not end in time, or does not end well.
    pub(crate) async fn run(
        &mut self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let one = async {
            if let Some(pending) = &mut self.pending {
                // An error says that the thread has ended, too.
                let _ = pending.await;
            }
            let (sender, receiver) = oneshot::channel();
            let spawned = thread::Builder::new().name("key-directory".into()).spawn(move || {
                // Nobody listens where the ring is gone.
                let _ = sender.send(work());
            });
            self.pending = None;
            spawned.map_err(|error| format!("could not start a thread: {error}"))?;
            let done = self.pending.insert(receiver).await;
            // A receiver that has answered is not polled again.
            self.pending = None;
            done.map_err(|_| "the thread that reads the directory panicked".to_owned())
        };
        tokio::time::timeout(limit, one).await.unwrap_or_else(|_| {
            Err(format!(
                "reading took longer than refresh_timeout ({limit:?}): check the file system"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn work_that_hangs_is_given_up_and_holds_one_thread() {
        let mut worker = Worker::default();
        let (release, wait) = mpsc::channel::<()>();
        let begun = Arc::new(AtomicUsize::new(0));
        let hangs = worker.run(LIMIT, move || {
            let _ = wait.recv();
            "early"
        });
        assert!(hangs.await.expect_err("hangs").contains("refresh_timeout (20ms)"));
        for _ in 0..3 {
            let begun = begun.clone();
            let work = move || {
                begun.fetch_add(1, Ordering::Relaxed);
                "more"
            };
            assert!(worker.run(LIMIT, work).await.is_err());
        }
        assert_eq!(begun.load(Ordering::Relaxed), 0, "no second thread while one hangs");
        drop(release);
        let long = Duration::from_secs(10);
        assert_eq!(worker.run(long, || "later").await, Ok("later"), "not the early one's");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_next_work_is_done() {
        let mut worker = Worker::default();
        let limit = Duration::from_secs(10);
        let panics: fn() -> u8 = || panic!("on purpose");
        assert!(worker.run(limit, panics).await.expect_err("panics").contains("panicked"));
        assert_eq!(worker.run(limit, || 1_u8).await, Ok(1));
    }
}
