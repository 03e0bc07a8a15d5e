//! Stateless sessions for Rust web services: Tower layers that issue and validate signed session
//! tokens (JWT), with keys that rotate by themselves. **Any request can land on any replica**, with
//! no sticky routing, no session replication and no session database on the request's path.
//!
//! # Quick start
//!
//! ```no_run
//! # use axum::{Json, Router, http::StatusCode, routing::{get, post}};
//! # use serde::{Deserialize, Serialize};
//! use tower_jwt_session::{KeyRing, Login, Logout, Revocations, Session, Sessions, store::FileStore};
//!
//! # #[derive(Serialize, Deserialize)]
//! # struct User { name: String }
//! # #[derive(Deserialize)]
//! # struct Credentials { name: String }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = FileStore::open("keys")?;
//! let keys = KeyRing::builder("app").store(store.clone()).open().await?;
//! let revocations = Revocations::builder("app").store(store).open().await?;
//! let sessions = Sessions::<User>::builder(keys, "https://app.example", "app")
//!     .revocations(revocations)
//!     .build()?;
//!
//! let app = Router::new()
//!     .route("/login", post(login))
//!     .route("/me", get(me))
//!     .route("/logout", post(async || Logout::new().clear_site_data()))
//!     .merge(sessions.jwks_router())
//!     .layer(sessions.layer());
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! # axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//!
//! async fn login(Json(form): Json<Credentials>) -> Result<Login<User>, StatusCode> {
//!     // Check the password here.
//!     Ok(Login::new("alice", User { name: form.name }))
//! }
//!
//! async fn me(session: Session<User>) -> String {
//!     format!("hello {}", session.claims().name)
//! }
//! ```
//!
//! [`guide::first_service`] has the whole program, with what to add to `Cargo.toml` and how to try it.
//!
//! # Where to go from here
//!
//! 1. [`guide`] answers questions: a whole service, cookies and CSRF, refresh tokens, keys, logout,
//!    stores, operations, tests, security, costs, moves from other crates; and translates the words of other
//!    frameworks.
//! 2. [`Sessions`] is the object that an application builds: issuer, audience, lifetimes, transports,
//!    keys, revocations. It makes the layers.
//! 3. [`Session`] is a verified session, and the extractor. Only the verifier makes one.
//! 4. [`KeyRing`] holds the keys on every replica. They rotate in a [`store`], or are
//!    [derived](KeyRing::derived), [fixed](KeyRing::fixed), read from a
//!    [directory](KeyRing::directory), or follow an [issuer](KeyRing::discover).
//! 5. [`Revocations`] hold the sessions that ended before they expired.
//! 6. [`layer`] says how the layers answer, [`telemetry`] lists metrics and events.
//!
//! # Examples
//!
//! In the repository's folder `examples`: `cargo run --example html_login`.
//!
//! | example | |
//! |---|---|
//! | `quickstart` | the program of [`guide::first_service`] |
//! | `html_login` | a site of pages: login page and back, "remember me", a role that changes |
//! | `spa` | a page on another origin, with refresh tokens |
//! | `streams` | server-sent events and a WebSocket that end with their session |
//! | `resource_server` | an API that accepts tokens of several issuers |
//! | `own_store` | a store of another engine |
//! | `cluster` | real processes that are killed while users stay logged in: [`guide::cluster`] |
//!
//! # A request
//!
//! ```text
//! validate   header or cookie ─▶ length ─▶ key by the token's header ─▶ signature
//!            ─▶ claims, parsed once ─▶ times, issuer, audience ─▶ revocations
//!            ─▶ Session<C> in the handler
//!
//! issue      the handler returns Login<C> ─▶ the key that signs now ─▶ token
//!            ─▶ Set-Cookie, or the JSON of RFC 6749
//! ```
//!
//! A token is a compact JWS (RFC 7515) with `typ: session+jwt`. Claims: `iss sub aud iat exp jti sid
//! auth_time`, `scope`, `rv`, `rg`, `rc` and `pu` where given, `seq` in a refresh token, and the application's own beside
//! them. It is signed, not encrypted: its holder can read it.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `axum` | yes | extractors, responses, the JWKS route |
//! | `cookie` | yes | the cookie transport and its guard against cross-site requests |
//! | `postgres` | | a store in PostgreSQL (`store::PostgresStore`) |
//! | `redis` | | a store in Redis or Valkey (`store::RedisStore`) |
//! | `jwks-client` | | the bundled HTTP client for services that only validate; the application installs a rustls crypto provider |
//! | `cli` | | the operator's tool `sessionctl`: `cargo install tower-jwt-session --features cli,redis,postgres`. Not for an application: it chooses TLS for the whole build |
//! | `test-util` | | a manual clock, fixed keys, token minting, seeded jitter and suites for your own store, for tests |
//!
//! No feature changes what other crates of the same build do. So serde_json reads untyped numbers
//! (`serde_json::Value`, `#[serde(flatten)]`) as it does by default: a number with a fraction and 16
//! or more digits may be rounded to its neighbor. Use fields of type `f64`, which are read exactly,
//! or text; or enable serde_json's `float_roundtrip`.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod audit;
mod base64url;
mod claims;
mod clock;
mod cooldown;
mod crypto;
mod error;
#[cfg(any(doc, doctest))]
pub mod guide;
mod keyring;
mod keys;
mod replica;
mod revocation;
pub mod store;
mod sync;
mod tasks;
pub mod telemetry;
#[cfg(feature = "test-util")]
pub mod testing;
mod token;
mod transport;

// The page of `Sessions` lists its methods in the order of these modules.
mod sessions;

pub mod layer;

mod response;

#[cfg(feature = "axum")]
mod axum;

#[cfg(feature = "axum")]
pub use crate::axum::SessionRejection;
pub use crate::clock::{Clock, SystemClock, Timestamp};
pub use crate::crypto::algorithm::Algorithm;
pub use crate::crypto::backend::CryptoBackend;
pub use crate::crypto::error::{KeyError, KeyErrorKind};
pub use crate::error::build::BuildError;
pub use crate::error::not_ready::{NotReady, NotReadyKind};
pub use crate::error::operation::{OperationError, OperationErrorKind};
pub use crate::error::rejection::{Rejection, RejectionKind};
pub use crate::keyring::derived::{DerivedRingBuilder, Root};
pub use crate::keyring::directory::builder::DirectoryRingBuilder;
pub use crate::keyring::fixed::FixedRingBuilder;
pub use crate::keyring::issuer::builder::IssuerRingBuilder;
pub use crate::keyring::ring::KeyRing;
pub use crate::keyring::rotating::builder::KeyRingBuilder;
pub use crate::keyring::rotating::operator::change::{RingChange, RingChangeKind};
pub use crate::keyring::rotating::operator::handle::RingOperator;
pub use crate::keyring::rotating::operator::records::{
    KeySeal, NextSigner, RecordedKey, RingRecords,
};
pub use crate::keyring::rotating::seal::SealingKey;
pub use crate::keyring::skew::reading::ClockOffset;
pub use crate::keyring::status::{KeyRingStatus, KeyState, KeyStatus};
pub use crate::keys::key::Key;
pub use crate::keys::rotation_policy::RotationPolicy;
pub use crate::keys::schedule::{IssuingPaused, KeyTimes, PauseReason};
pub use crate::revocation::builder::RevocationsBuilder;
pub use crate::revocation::handle::Revocations;
pub use crate::revocation::status::RevocationsStatus;
pub use crate::sessions::builder::SessionsBuilder;
pub use crate::sessions::explanation::{CheckOutcome, ExplainedCheck, Explanation};
pub use crate::sessions::handle::{ReadClaims, SessionClaims, Sessions};
pub use crate::sessions::hook::Renewal;
pub use crate::sessions::issued::{IssuedToken, IssuedTokens, TokenResponse};
pub use crate::sessions::login::Login;
pub use crate::sessions::logout::Logout;
pub use crate::sessions::profiles::IssuerProfile;
pub use crate::sessions::protected_resource::ProtectedResource;
pub use crate::sessions::refresh_tokens::RefreshTokens;
pub use crate::sessions::return_to::ReturnTo;
pub use crate::sessions::session::Session;
#[cfg(feature = "cookie")]
pub use crate::transport::cookie::CookieTransport;
pub use crate::transport::transport::Transport;
pub use jsonwebtoken::jwk;

/// The HTTP client with which a ring follows an issuer: the application's choice, behind a small trait.
/// The bundled one is `JwksClient` (feature `jwks-client`).
pub mod http_client {
    #[cfg(feature = "jwks-client")]
    pub use crate::keyring::issuer::bundled_client::JwksClient;
    pub use crate::keyring::issuer::http_client::{
        ClientBody, ClientError, ClientFuture, HttpClient,
    };
}

/// README's code is compiled with the tests.
#[cfg(all(doctest, feature = "axum", feature = "cookie"))]
#[doc = include_str!("../README.md")]
struct Readme;
