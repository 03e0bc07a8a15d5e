//! Writes to a store, counted and timed by operation.

use std::sync::Arc;

use metrics::{counter, histogram};
use tokio::time::Instant;

use crate::store::contract::StoreError;

/// A kind of write, as the label `operation` has it.
pub(crate) type Operation = &'static str;

pub(crate) const INSERT: Operation = "insert";
pub(crate) const REMOVE: Operation = "remove";
/// Revoked sessions.
pub(crate) const APPEND: Operation = "append";
/// The cutoff of a subject or of everyone, or a reload of claims.
pub(crate) const ADVANCE: Operation = "advance";
/// Cutoffs that the store has lost.
pub(crate) const RESTORE: Operation = "restore";
/// A refresh token.
pub(crate) const REDEEM: Operation = "redeem";
/// The test entry.
pub(crate) const PROBE: Operation = "probe";

/// Counts and times one write.
pub(crate) async fn measured<T>(
    ring: &Arc<str>,
    operation: Operation,
    write: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut attempt = Attempt { ring, operation, began: Instant::now(), outcome: UNFINISHED };
    let written = write.await;
    attempt.outcome = if written.is_ok() { OK } else { FAILED };
    written
}

/// Registers the counters of these operations, so that a dashboard shows zeros first.
pub(crate) fn show_zeros(ring: &Arc<str>, operations: &[Operation]) {
    for operation in operations {
        for outcome in [OK, FAILED, UNFINISHED] {
            count(ring, operation, outcome, 0);
        }
    }
}

/// A write that has begun. It is counted when it is dropped, also where its caller gave up.
struct Attempt<'a> {
    ring: &'a Arc<str>,
    operation: Operation,
    began: Instant,
    outcome: &'static str,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let (ring, operation) = (self.ring, self.operation);
        count(ring, operation, self.outcome, 1);
        let seconds = self.began.elapsed().as_secs_f64();
        let ring = ring.clone();
        histogram!(STORE_WRITE_SECONDS, "ring" => ring, "operation" => operation).record(seconds);
    }
}

fn count(ring: &Arc<str>, operation: Operation, outcome: &'static str, by: u64) {
    let ring = ring.clone();
    counter!(STORE_WRITES, "ring" => ring, "operation" => operation, "outcome" => outcome)
        .increment(by);
}

const OK: &str = "ok";
const FAILED: &str = "failed";
/// Its time limit has passed, or nobody waits for it any more.
const UNFINISHED: &str = "unfinished";

pub(crate) const STORE_WRITES: &str = "tower_jwt_session_store_writes_total";
pub(crate) const STORE_WRITE_SECONDS: &str = "tower_jwt_session_store_write_seconds";
