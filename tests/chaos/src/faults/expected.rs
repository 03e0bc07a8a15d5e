//! The signs that kinds of faults have in common.

use crate::faults::fault::Expected;

/// Reads fail.
pub(crate) const UNREAD: Expected = Expected {
    status: &["/failure"],
    metric: &["refreshes_total failed"],
    log: &["refresh failed"],
    unseen: None,
};
/// Writes fail.
pub(crate) const UNWRITTEN: Expected = Expected {
    status: &["/write_failure"],
    metric: &["store_writes_total failed", "refreshes_total unwritten"],
    log: &["cannot write to the store"],
    unseen: None,
};
/// Entries are lost, and at once restored.
pub(crate) const LOST: Expected = Expected {
    status: &[],
    metric: &["audit_events_total ring_restored", "audit_events_total revocations_restored"],
    log: &["the store lost revocations", "the store lost entries of the ring"],
    unseen: Some("it is over before a status is read"),
};
