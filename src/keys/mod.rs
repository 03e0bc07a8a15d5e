//! Keys: what they are, when they sign, and the ring that keeps them on every replica.

pub(crate) mod algorithm;
mod builder;
pub mod client;
mod der;
mod derived;
mod directory;
mod error;
mod import;
mod jwk;
mod jwks;
mod key;
mod ledger;
mod pem;
mod record;
mod remote;
mod ring;
mod rotation;
mod rotator;
mod schedule;
mod seal;
mod secret;
mod set;
mod skew;
mod status;

pub use builder::KeyRingBuilder;
pub use derived::{DerivedRingBuilder, Root};
pub use directory::DirectoryRingBuilder;
pub use error::KeyError;
pub use key::Key;
pub use remote::{FetchError, FollowerBuilder};
pub use ring::{KeyRing, RingError};
pub use rotation::RotationPolicy;
pub use schedule::{IssuingPaused, KeyTimes, PauseReason};
pub use seal::SealingKey;
pub use status::{ClockOffset, KeyState, KeyStatus, NotReady, RingStatus};

pub(crate) use set::{KeySet, RingKey};
