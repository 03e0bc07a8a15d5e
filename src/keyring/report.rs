//! The outcome of a refresh of a ring, beside the keys.

use crate::error::not_ready::NotReady;
use crate::error::operation::OperationError;
use crate::keyring::error::RingError;
use crate::store::contract::Skipped;
use crate::store::refreshes::{Outcome, RefreshState, Refreshes};

/// How the refreshes of a ring went; found is why this replica is not ready, if it is not.
pub(crate) type RingRefreshes = Refreshes<Option<NotReady>>;
pub(crate) type RingRefreshState = RefreshState<Option<NotReady>>;

/// The result of a refresh, beside the keys.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) skipped: Vec<Skipped>,
    /// Why this replica makes no keys, and is not ready: entries that it may not go past, or a wait
    /// before it founds the ring.
    pub(crate) blocked: Option<NotReady>,
    /// Whether there was no readable key, and something that may be one.
    pub(crate) unreadable: bool,
    /// The error of the writes after the read.
    pub(crate) failure: Option<RingError>,
}

impl Report {
    pub(crate) fn outcome(result: &Result<Self, OperationError>) -> Outcome<Option<NotReady>> {
        match result {
            Ok(Self { skipped, blocked, failure, .. }) => Outcome::Read {
                skipped: skipped.clone(),
                found: blocked.clone(),
                written: failure.is_none(),
            },
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}
