//! For an application's own tests (feature `test-util`): [sessions](session) for handlers, a
//! [client](Client) that keeps cookies, a manual clock, fixed keys, tokens that no issuer would write, and the
//! [promises of stores](store_contract) as tests.
//!
//! ```
//! use std::time::Duration;
//! use tower_jwt_session::testing::{self, ManualClock};
//! use tower_jwt_session::{Algorithm, Login, Sessions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = ManualClock::default();
//! let keys = testing::fixed_ring(clock.clone());
//! let sessions = Sessions::<()>::builder(keys, "https://app.example", "app").build()?;
//!
//! let token = sessions.issue(&Login::new("alice", ()))?;
//! assert!(sessions.validate(token.as_str()).is_ok());
//!
//! clock.advance(Duration::from_secs(2 * 60 * 60));
//! assert!(sessions.validate(token.as_str()).unwrap_err().is_expired());
//!
//! let odd = testing::mint(&testing::fixed_key(Algorithm::EdDSA), r#"{"alg":"EdDSA"}"#, "[]");
//! assert!(sessions.validate(&odd).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Security
//!
//! The keys are public: everyone who has this crate can sign with them. Enable the feature in
//! `[dev-dependencies]` only.

mod client;
mod cookies;
mod keys;
mod manual_clock;
pub mod primitives;
mod session;
pub mod store_contract;

pub use crate::testing::client::Client;
pub use crate::testing::keys::{fixed_key, fixed_ring, mint};
pub use crate::testing::manual_clock::{ManualClock, pass, refresh};
pub use crate::testing::session::{TestSession, session};
