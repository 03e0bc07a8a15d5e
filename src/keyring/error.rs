//! Why a ring could not be refreshed or changed, before it becomes an [`OperationError`].

use crate::crypto::error::KeyError;
use crate::error::build::BuildError;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::keyring::issuer::fetch::FetchError;
use crate::keyring::not_ready::KeyRingNotReady;
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
    #[error("{0:?}")]
    UnknownKey(String),
    /// The store holds what this replica must not write beside.
    #[error(transparent)]
    Blocked(KeyRingNotReady),
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
            Self::Fetch(source) => BuildError::fetch(ring, source),
            Self::Key(source) => BuildError::key("algorithm", source),
            other => BuildError::unreadable(ring, other),
        }
    }
}

impl From<RingError> for OperationError {
    fn from(error: RingError) -> Self {
        match error {
            RingError::Store(source) => OperationErrorKind::Store.with(source),
            RingError::Fetch(source) => OperationErrorKind::KeySource.with(source),
            RingError::Directory { .. } => OperationErrorKind::KeySource.with(error),
            RingError::Key(source) => OperationErrorKind::InvalidKey.with(source),
            RingError::UnknownKey(_) => OperationErrorKind::UnknownKey.with(error),
            RingError::Blocked(source) => OperationErrorKind::KeyRingNotReady.with(source),
            RingError::NoSuccessor => OperationErrorKind::NoSuccessor.into(),
            RingError::NoSigningKey => OperationErrorKind::NoSigningKey.into(),
        }
    }
}
