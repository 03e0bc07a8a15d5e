//! Why a key ring could not be refreshed or changed.

use crate::crypto::error::KeyError;
use crate::error::build::BuildError;
use crate::keyring::issuer::fetch::FetchError;
use crate::keyring::not_ready::NotReady;
use crate::store::contract::StoreError;

crate::error::macros::debug_as_display!(RingError);

/// Why a ring could not be refreshed or changed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// The keys of a followed issuer could not be fetched.
    #[error("the issuer's keys could not be fetched: {0}")]
    Fetch(#[from] FetchError),
    /// The keys of a directory could not be read or used.
    #[error("cannot use the keys in {path}: {reason}")]
    Directory {
        /// The directory.
        path: String,
        /// The files and what is wrong with each.
        reason: String,
    },
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The ring holds no key of that ID.
    #[error("the ring holds no key {0:?}")]
    UnknownKey(String),
    /// The store holds what this replica may not go past.
    #[error("no key is made: {0}")]
    Blocked(NotReady),
    /// No successor of the key that signs could be made, so that nothing was retired.
    #[error("no successor of the key that signs could be made; nothing was retired: try again")]
    NoSuccessor,
    /// No key signs now, so that there is none to retire.
    #[error("no key of the ring signs now")]
    NoSigningKey,
    /// The keys of this ring are not rotated.
    #[error("the keys of this ring are not rotated in a store")]
    NotRotated,
}

impl RingError {
    pub(crate) fn at_start(self, ring: &str) -> BuildError {
        let ring = ring.to_owned();
        match self {
            Self::Store(source) => BuildError::store(ring, source),
            Self::Directory { path, reason } => BuildError::invalid("directory", path, reason),
            Self::Fetch(source) => BuildError::fetch(ring, source),
            Self::Key(source) => BuildError::key("algorithm", source),
            other => BuildError::unreadable(ring, other),
        }
    }
}
