//! Blocking work on a separate thread with a time limit: a mount that hangs blocks neither the
//! runtime nor its shutdown, and at most one thread.

use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// The work that did not end in time.
pub(crate) type Pending<T> = Option<oneshot::Receiver<T>>;

/// Does `work`, for no longer than `limit`. Earlier work that is still running has to end first; its
/// result is dropped, so that none comes after a later one's.
///
/// # Errors
///
/// If the work does not end in time, or does not end well.
pub(crate) async fn run<T: Send + 'static>(
    pending: &mut Pending<T>,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let one = async {
        if let Some(earlier) = pending {
            // An error says that the thread has ended, too.
            let _ = earlier.await;
        }
        // A receiver that has answered is not polled again.
        *pending = None;
        let (sender, receiver) = oneshot::channel();
        let thread = thread::Builder::new().name("key-directory".into());
        // Nobody listens where the ring is gone.
        let spawned = thread.spawn(move || drop(sender.send(work())));
        spawned.map_err(|error| format!("could not start a thread: {error}"))?;
        let done = pending.insert(receiver).await;
        *pending = None;
        done.map_err(|_| "the thread that reads the directory panicked".to_owned())
    };
    tokio::time::timeout(limit, one).await.unwrap_or_else(|_| {
        Err(format!("reading took longer than refresh_timeout ({limit:?}): check the file system"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn work_that_hangs_is_given_up_and_holds_one_thread() {
        let mut pending = None;
        let (release, wait) = mpsc::channel::<()>();
        let begun = Arc::new(AtomicUsize::new(0));
        let hangs = run(&mut pending, LIMIT, move || {
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
            assert!(run(&mut pending, LIMIT, work).await.is_err());
        }
        assert_eq!(begun.load(Ordering::Relaxed), 0, "no second thread while one hangs");
        drop(release);
        let long = Duration::from_secs(10);
        assert_eq!(run(&mut pending, long, || "later").await, Ok("later"), "not the early one's");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_next_work_is_done() {
        let mut pending = None;
        let limit = Duration::from_secs(10);
        let panics: fn() -> u8 = || panic!("on purpose");
        assert!(run(&mut pending, limit, panics).await.expect_err("panics").contains("panicked"));
        assert_eq!(run(&mut pending, limit, || 1_u8).await, Ok(1));
    }
}
