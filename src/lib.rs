//! Stateless sessions for Rust web services.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod claims;
mod clock;
mod error;
mod issue;
mod keys;
pub mod layer;
mod session;
mod sessions;
pub mod store;
#[cfg(feature = "test-util")]
pub mod testing;
mod token;
mod transport;

#[cfg(feature = "axum")]
pub use crate::axum::{SessionMisuse, SessionRejection};
pub use crate::clock::{Clock, SystemClock, Timestamp};
pub use crate::error::{BuildError, IssueError, Rejection, RejectionKind};
pub use crate::issue::{EndError, EndSession, IssueSession};
pub use crate::keys::{
    Key, KeyError, KeyRing, KeyRingBuilder, KeyState, KeyStatus, KeyTimes, NotReady, RingError,
    RingStatus, RotationPolicy,
};
pub use crate::layer::{IssueLayer, Respond, SessionLayer, ValidateLayer};
pub use crate::session::Session;
pub use crate::sessions::{IssuedToken, SessionClaims, Sessions, SessionsBuilder};
#[cfg(feature = "cookie")]
pub use crate::transport::CookieTransport;
pub use jsonwebtoken::{self, Algorithm};
