//! Hints of the store that come early, late, or more than once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tower_jwt_session::store::{
    Cursor, FeedRead, MemoryStore, Store, StoreFuture, StoreProperties,
};

use crate::support::delegate::delegate;

use super::*;

/// Hints when a test says so, and counts the reads.
#[derive(Clone, Debug)]
struct Hinted {
    content: MemoryStore,
    hints: Arc<Semaphore>,
    reads: Arc<AtomicUsize>,
}

impl Store for Hinted {
    delegate!(content: load insert remove);

    fn changed<'a>(&'a self, _ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.hints.acquire().await.expect("is never closed").forget();
            Ok(())
        })
    }

    fn properties(&self) -> StoreProperties {
        self.content.properties()
    }
}

impl RevocationStore for Hinted {
    delegate!(content: append advance restore registers);

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.content.read_feed(feed, cursor)
    }
}

#[tokio::test(start_paused = true)]
async fn hints_too_early_too_late_or_repeated_lose_no_revocation() {
    let content = MemoryStore::new();
    let (hints, reads) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let hinted = Hinted { content: content.clone(), hints: hints.clone(), reads: reads.clone() };
    let one = Replica::open(content).await;
    let two = Replica::open(hinted).await;
    let tokens = [(); 3].map(|()| one.login("alice"));
    let moment = Duration::from_millis(100);

    // Before the change, which comes soon after and has no hint of its own.
    hints.add_permits(1);
    sleep(moment).await;
    one.logout(&tokens[0]).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(two.judge(&tokens[0]), Err(RejectionKind::Revoked));

    // One hint for two changes, long after both.
    sleep(seconds(5)).await;
    one.logout(&tokens[1]).await;
    one.logout(&tokens[2]).await;
    sleep(seconds(5)).await;
    assert_eq!(two.judge(&tokens[1]), Ok(()), "nothing else made it read");
    hints.add_permits(1);
    sleep(moment).await;
    for token in &tokens {
        assert_eq!(two.judge(token), Err(RejectionKind::Revoked));
    }

    // Many for no change: they cause two reads a second.
    sleep(seconds(2)).await;
    reads.store(0, Ordering::Relaxed);
    hints.add_permits(100);
    sleep(seconds(10)).await;
    let reads = reads.load(Ordering::Relaxed);
    assert!((18..=22).contains(&reads), "{reads} reads in 10 s");
    assert_eq!(two.counts(), [3, 0, 0]);
}
