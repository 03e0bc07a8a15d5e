//! Hints that a feed has changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::super::handles::handles;
use super::reader::{Reader, advance, append, digest, now, request, restore, sessions};
use crate::store::contract::Store;
use crate::store::feed::{RegisterId, RevocationStore};

/// If the store's properties say that it [notifies](crate::store::StoreProperties::notifies),
/// [`Store::changed`] reports an append, an advance and a restoration of another replica: within about
/// a second, here twice that.
pub async fn a_store_that_notifies_reports_each_kind_of_change<S: RevocationStore>(
    open: impl AsyncFn() -> S,
) {
    let [waiting, writer, ..] = &handles(&open).await;
    if !waiting.properties().notifies {
        return;
    }
    listen(waiting, writer).await;
    let all = advance(&**writer, "feed", &request(RegisterId::All, 0, now())).await;
    let mut prompt = 0;
    for round in 0..6 {
        // No hint of an earlier change, and no hint that is held back for one.
        while timeout(Duration::from_secs(1), changed(&**waiting, "feed")).await.is_ok() {}
        let began = Instant::now();
        let write = async {
            // While it waits, not before.
            sleep(Duration::from_millis(50)).await;
            let id = RegisterId::Subject(digest(round));
            match round % 3 {
                0 => append(&**writer, "feed", &sessions(100 + round, 1)).await,
                1 => _ = advance(&**writer, "feed", &request(id, 0, now())).await,
                _ => restore(&**writer, "feed", &[(id, all)]).await,
            }
        };
        let reported = timeout(LIMIT, async { tokio::join!(changed(&**waiting, "feed"), write) });
        let change = ["append", "advance", "restore"][round as usize % 3];
        assert!(reported.await.is_ok(), "no change was reported {LIMIT:?} after `{change}`");
        prompt += u32::from(began.elapsed() < Duration::from_secs(2));
    }
    assert!(prompt >= 4, "of 6 changes {prompt} were reported within 2 s");
}

/// A reader that reads after each hint, and once more half a second later, has soon read everything,
/// whichever hints the store holds back. It never polls.
pub async fn a_reader_that_reads_after_each_hint_and_once_more_misses_nothing<
    S: RevocationStore,
>(
    open: impl AsyncFn() -> S,
) {
    let [waiting, writer, other, ..] = &handles(&open).await;
    if !waiting.properties().notifies {
        return;
    }
    listen(waiting, writer).await;
    // A change within half a second of the hint that was reported last needs none of its own.
    sleep(Duration::from_millis(500)).await;
    let mut follows = Reader::new(waiting, "feed");
    follows.read().await;
    let before = follows.sessions.len() as u64;
    // In bursts, whose last change a store may not report by a hint of its own.
    for (burst, gap) in [40, 10, 300, 0, 100].into_iter().enumerate() {
        let expected = before + 10 * (burst as u64 + 1);
        let writes = async {
            for number in 0..10 {
                let store = if number % 2 == 0 { writer } else { other };
                append(&**store, "feed", &sessions(expected + number, 1)).await;
                sleep(Duration::from_millis(gap)).await;
            }
        };
        let reads = async {
            while (follows.sessions.len() as u64) < expected {
                changed(&**waiting, "feed").await;
                follows.read().await;
                sleep(Duration::from_millis(500)).await;
                follows.read().await;
            }
        };
        let all = timeout(LIMIT, async { tokio::join!(writes, reads) }).await;
        let read = follows.sessions.len() as u64;
        assert!(all.is_ok(), "{read} of {expected} sessions were read {LIMIT:?} after a burst");
    }
}

/// For a store whose hints wake many replicas: of 20 changes a second [`Store::changed`] reports about
/// two. The macro makes no test of this, since a store may report each change.
pub async fn hints_are_at_most_about_two_a_second<S: RevocationStore>(open: impl AsyncFn() -> S) {
    let [waiting, writer, ..] = &handles(&open).await;
    listen(waiting, writer).await;
    let began = Instant::now();
    let writes = async {
        for number in 0..60 {
            append(&**writer, "feed", &sessions(number, 1)).await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let mut hints = 0_u32;
    let counts = async {
        loop {
            changed(&**waiting, "feed").await;
            hints += 1;
        }
    };
    tokio::select! {
        () = writes => {}
        () = counts => {}
    }
    // Two of a change before, and of the time of the writes on a machine that is busy.
    let most = 2 + (2.0 * began.elapsed().as_secs_f64()).ceil() as u32;
    assert!((1..=most).contains(&hints), "{hints} hints of 60 changes, at most {most} expected");
}

/// Waits until changes of the feed are reported: a store may connect first.
async fn listen<S: RevocationStore>(waiting: &Arc<S>, writer: &Arc<S>) {
    let writes = async {
        for number in 10_000.. {
            append(&**writer, "feed", &sessions(number, 1)).await;
            sleep(Duration::from_millis(600)).await;
        }
    };
    let reports = async {
        // The first may be of what was there before.
        for _ in 0..3 {
            changed(&**waiting, "feed").await;
        }
    };
    let reported = timeout(LIMIT, async {
        tokio::select! {
            () = reports => {}
            () = writes => {}
        }
    });
    assert!(
        reported.await.is_ok(),
        "the store notifies, by its properties, and `changed` reported no change within {LIMIT:?}"
    );
}

async fn changed(store: &impl Store, feed: &str) {
    let changed = store.changed(feed).await;
    changed.unwrap_or_else(|error| panic!("`changed` of {feed} failed: {error}"));
}

const LIMIT: Duration = Duration::from_secs(20);
