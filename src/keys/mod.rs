//! Keys: what they are, when they sign, and the ring that keeps them on every replica.

pub(crate) mod algorithm;
mod builder;
pub mod client;
mod derived;
mod directory;
mod import;
mod jwks;
mod key;
mod ledger;
mod record;
mod remote;
mod ring;
mod rotation;
mod rotator;
mod schedule;
mod seal;
mod set;
mod status;

pub use builder::KeyRingBuilder;
pub use derived::{DerivedRingBuilder, Root};
pub use directory::DirectoryRingBuilder;
pub use key::{Key, KeyError};
pub use remote::{FetchError, FollowerBuilder};
pub use ring::{KeyRing, RingError};
pub use rotation::RotationPolicy;
pub use schedule::{IssuingPaused, KeyTimes, PauseReason};
pub use seal::SealingKey;
pub use status::{KeyState, KeyStatus, NotReady, RingStatus};

pub(crate) use set::{KeySet, RingKey};
