//! Writers of a feed that die while they write.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tower_jwt_session::store::{RegisterId, RevocationStore};

use crate::redis_feed::{advance, append, digests, page, set};
use crate::scenarios::eventually;

/// How many sessions an append has: several entries of a log, or rows.
const EACH: u64 = 1200;

/// Whatever a writer was doing when it died, all that was acknowledged is read, and all that is read is
/// whole. Nobody waits for what it was doing.
pub(crate) async fn writers_that_die_leave_whole_records<S: RevocationStore>(
    open: impl AsyncFn() -> S,
) {
    let reader = open().await;
    let mut cursor = page(&reader, None).await.cursor;
    let (mut followed, mut last_followed) = (BTreeSet::new(), None);
    let mut acknowledged = BTreeSet::new();
    for round in 0..24 {
        let (store, written) = (open().await, Arc::new(AtomicU64::new(0)));
        let first = round << 32;
        let writer = tokio::spawn({
            let written = written.clone();
            async move {
                for number in 0.. {
                    let start = first + number * EACH;
                    append(&store, start..start + EACH).await;
                    written.store(number + 1, Ordering::Release);
                    let advanced = store.advance("feed", &advance(RegisterId::All)).await;
                    advanced.expect("advances");
                }
            }
        });
        // Each is killed at another step, half of them maybe before their first append has ended.
        while round % 2 == 1 && written.load(Ordering::Acquire) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_millis(1 + 2 * round)).await;
        writer.abort();
        assert!(writer.await.expect_err("never ends by itself").is_cancelled());
        let written = written.load(Ordering::Acquire);
        acknowledged.extend(set(first..first + written * EACH));
        let next = page(&reader, Some(&cursor)).await;
        assert_eq!(next.skipped, []);
        followed.extend(digests(&next));
        last_followed = next.registers.last().copied().or(last_followed);
        cursor = next.cursor;
    }
    assert!(!acknowledged.is_empty());
    assert_eq!(acknowledged.difference(&followed).count(), 0, "it is not read");
    // What was on its way may still arrive.
    eventually("all who read the feed read the same", async || {
        let (whole, next) = (page(&reader, None).await, page(&reader, Some(&cursor)).await);
        assert_eq!(whole.skipped, []);
        let all: BTreeSet<_> = followed.union(&digests(&next)).copied().collect();
        let last = next.registers.last().copied().or(last_followed);
        let stored = reader.registers("feed", &[RegisterId::All]).await.expect("reads");
        digests(&whole) == all
            && whole.registers.last().copied() == last
            && stored == [last.map(|(_, register)| register)]
    })
    .await;
}
