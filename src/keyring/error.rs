//! Why a ring could not be refreshed or changed, before it becomes an [`OperationError`].

use std::sync::Arc;

use crate::crypto::error::KeyError;
use crate::error::build::BuildError;
use crate::error::not_ready::NotReady;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::keyring::issuer::fetch::FetchError;
use crate::store::contract::StoreError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum RingError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("cannot use the keys in {path}: {reason}")]
    Directory { path: String, reason: String },
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store holds what this replica must not write beside.
    #[error(transparent)]
    Blocked(NotReady),
    #[error("no successor of the signing key could be made; nothing was retired: try again")]
    NoSuccessor,
    #[error("no key of the ring signs now")]
    NoSigningKey,
}

impl RingError {
    pub(crate) fn at_start(self, ring: &str) -> BuildError {
        match self {
            Self::Store(source) => BuildError::store(ring, source),
            Self::Directory { path, reason } => BuildError::invalid("directory", path, reason),
            Self::Fetch(source) => {
                let fix = "; to start before the issuer answers, set `start_without_keys`";
                let fix = if source.is_outage() && !source.has_fix() { fix } else { "" };
                BuildError::fetch(ring, source, fix)
            }
            Self::Key(source) => BuildError::key("algorithm", source),
            other => BuildError::unreadable(ring, other),
        }
    }
}

impl From<RingError> for OperationError {
    fn from(error: RingError) -> Self {
        match error {
            RingError::Store(source) => Self::store(Arc::new(source)),
            RingError::Fetch(source) => Self::key_source(Arc::new(source)),
            RingError::Directory { .. } => Self::key_source(Arc::new(error)),
            RingError::Key(source) => {
                let text = "a key could not be made or used";
                Self::with_source(OperationErrorKind::InvalidKey, text, Arc::new(source))
            }
            RingError::Blocked(source) => {
                let text = "the ring is not ready for this";
                Self::with_source(OperationErrorKind::KeyRingNotReady, text, Arc::new(source))
            }
            RingError::NoSuccessor => {
                Self::new(OperationErrorKind::KeyRingNotReady, error.to_string())
            }
            RingError::NoSigningKey => Self::no_signing_key(),
        }
    }
}
