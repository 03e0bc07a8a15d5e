//! Keys: what they are, when they sign, and the ring that keeps them on every replica.

pub(crate) mod algorithm;
mod builder;
pub mod client;
mod jwks;
mod key;
mod ledger;
mod record;
mod remote;
mod ring;
mod rotation;
mod rotator;
mod set;
mod status;

pub use builder::KeyRingBuilder;
pub use key::{Key, KeyError};
pub use remote::{FetchError, FollowerBuilder};
pub use ring::{KeyRing, RingError};
pub use rotation::{KeyTimes, RotationPolicy};
pub use status::{KeyState, KeyStatus, NotReady, RingStatus};

pub(crate) use set::{KeySet, RingKey};
