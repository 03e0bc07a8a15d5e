//! Stateless sessions for Rust web services: Tower layers that issue and validate signed session
//! tokens (JWT), with keys that rotate by themselves. **Any request can land on any replica**, with
//! no sticky routing, no session replication, and no session database on the request's path.
//!
//! # Quick start
//!
//! ```no_run
//! # use axum::{Json, Router, extract::State, http::StatusCode, routing::{get, post}};
//! # use serde::{Deserialize, Serialize};
//! use tower_jwt_session::{EndError, EndSession, Login, KeyRing, Session, Sessions, store::FileStore};
//!
//! # #[derive(Serialize, Deserialize)]
//! # struct User { name: String }
//! # #[derive(Deserialize)]
//! # struct LoginForm { name: String }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = KeyRing::builder("app").store(FileStore::open("keys")?).open().await?;
//! let sessions = Sessions::<User>::builder(keys, "https://app.example", "app").build()?;
//!
//! let app = Router::new()
//!     .route("/login", post(login))
//!     .route("/me", get(me))
//!     .route("/logout", post(logout))
//!     .merge(sessions.jwks_router())
//!     .layer(sessions.layer())
//!     .with_state(sessions);
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! # axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//!
//! async fn login(Json(form): Json<LoginForm>) -> Result<Login<User>, StatusCode> {
//!     // Check the password here.
//!     Ok(Login::new("alice", User { name: form.name }))
//! }
//!
//! async fn me(session: Session<User>) -> String {
//!     format!("hello {}", session.claims().name)
//! }
//!
//! async fn logout(
//!     State(sessions): State<Sessions<User>>,
//!     session: Session<User>,
//! ) -> Result<EndSession, EndError> {
//!     sessions.logout(&session).await
//! }
//! ```
//!
//! # The way of a request
//!
//! ```text
//! validate   the header or the cookie ─▶ length ─▶ key by the token's header ─▶ signature
//!            ─▶ claims, parsed once ─▶ times, issuer, audience ─▶ what was ended
//!            ─▶ Session<C> in the handler
//!
//! issue      the handler returns Login<C> ─▶ the key that signs now ─▶ token
//!            ─▶ Set-Cookie, or the JSON of RFC 6749
//! ```
//!
//! 1. [`Sessions`] is what an application builds: issuer, audience, lifetimes, transports, keys.
//! 2. [`layer`] explains the layers and what they answer.
//! 3. A [`Session`] is the proof that a token was verified: nothing else makes one. A token that
//!    comes again is not verified again: its session is held in a
//!    [cache](SessionsBuilder::token_cache_bytes), until its keys change or its time is over.
//! 4. A [`KeyRing`] holds the keys on every replica. It follows a [`store`], and [`RotationPolicy`]
//!    says when keys are made, sign and end; or it is [derived](KeyRing::derived) without a store,
//!    [fixed](KeyRing::fixed), read from a [directory](KeyRing::directory), or follows an
//!    [issuer](KeyRing::discover).
//! 5. [`Revocations`] hold what was ended before its time, also from a [`store`].
//! 6. Time comes from a [`Clock`]; `testing` (feature `test-util`) has one to be moved by hand.
//!
//! # How keys rotate
//!
//! ```text
//!             published      signs                  verifies only        gone
//! key 0          ●═════════════════════════╗───────────────────────────────┤
//! key 1          ·──── verifies only ──────╚══════════════════════╗────────────────▶
//! key 2                               ·──── verifies only ────────╚════════════════▶
//!                                     │                           │
//!                       published before every replica     takes over from key 1,
//!                       and every cache needs it           which goes on verifying
//! ```
//!
//! Every key's record carries absolute times and is never changed. Which key signs is a pure function
//! of the records and the time, so that all replicas agree without talking; whichever finds the next
//! key due makes it, and of several the store lets one in. While the store is down, the last known
//! keys sign and verify on, for [`overrun`](RotationPolicy::overrun), and then issuing fails closed.
//!
//! # How a session is ended
//!
//! [`Sessions::logout`] and its siblings write to a [`store`] that a session, or all sessions of a
//! subject, have ended; the [`Revocations`] of every replica follow it, pushed where the store can,
//! and polled underneath. They are a snapshot in memory, into which a request looks after the
//! signature. A token carries the version that its issuer knew, as `rv`: so a login after all
//! sessions were ended stands, whatever the clocks, and a replica that is behind notices.
//!
//! # How a bearer client stays logged in
//!
//! With [`RefreshTokens`] a bearer login is answered with a short access token and a long refresh
//! token, `typ: refresh+jwt`, which [`Sessions::token_router`] or [`Sessions::refresh`] redeems for the
//! next two. Neither is ever taken for the other. The session's [`Revocations`] remember, in their
//! store alone, which was redeemed last: one that comes again at once gets the same successor,
//! whichever replica it reaches; one that comes late is a copy, and ends the session everywhere.
//! Redeeming a refresh token and ending a session are the only requests that wait for the store.
//!
//! # What a token is
//!
//! A compact JWS (RFC 7515) with `typ: session+jwt`. Claims: `iss sub aud iat exp jti sid auth_time`,
//! `scope` and `rv` where given, `seq` in a refresh token, and the application's own beside them. It is
//! signed, not encrypted: its holder can read it.
//!
//! # Security
//!
//! What is promised at each boundary; the repository's `SECURITY.md` says it in whole, with the test of
//! each answer to an attack.
//!
//! - **The wire.** The algorithm belongs to the key and is never taken from a token. Refused are: any
//!   `crit`, `b64`, `enc`, `zip`, `jwk`, `jku`, `x5u` or `x5c` header; names that stand twice, at every
//!   depth; base64 that is padded or not canonical; times that are no numbers, out of range or in the wrong
//!   order; lifetimes longer than the ring's; tokens longer than the limit, before anything is decoded;
//!   two credentials in one request, where a session is asked for. Nothing of a payload is read before
//!   its signature is found good. Every refusal with one status has the same body, and no token and no
//!   secret goes to a log.
//! - **The store.** Who can write it can log users out. Where keys are sealed it can make none, and who
//!   can read it has none; unsealed keys can sign. A store that is gone, purged or set back refuses no
//!   good token, and gets no revoked key in again while one replica lives that knew of it.
//! - **The clock.** Clocks differ by at most [`clock_skew`](RotationPolicy::clock_skew). One that is
//!   further off is wrong about a token's end by as much as it is off, and no more.
//! - **The application** is trusted with the keys, subjects and claims that it gives. What weakens is
//!   called `dangerous_…`.
//!
//! Not promised: that a stolen token is of no use before it ends, that its holder can't read it, or that
//! a flood of requests costs nothing.
//!
//! # Operating
//!
//! [`KeyRing::status`] says what a ring holds, [`KeyRing::ready`] whether the replica should get
//! requests. [`telemetry`] lists the metrics and events, and
//! [`rotation_overdue`](RingStatus::rotation_overdue) is what to alert on: the keys could not be
//! rotated in time, long before anything is refused.
//!
//! # Limits
//!
//! Without [`Revocations`] a session is ended at its client, by taking its cookie away, and by time.
//! A copy of a token that someone has made stays valid until it expires: keep the
//! [idle lifetime](SessionsBuilder::idle_lifetime) as short as that may last. A slow answer to a
//! request that was on its way during a logout can renew the cookie again.
//!
//! With them, a replica that is cut off from the store accepts what others have ended since, until
//! the [`stale_limit`](RevocationsBuilder::stale_limit); a route with
//! [`require_fresh_revocations`](ValidateLayer::require_fresh_revocations) does not. Services that only follow the JWKS never hear of
//! it, unless they have the same revocations.
//!
//! Without [`Revocations`] nobody knows which refresh tokens were redeemed: each is good until it
//! expires, a copy like the original, and neither a logout nor its use ends it.
//!
//! # Features
//!
//! | feature | default | what |
//! |---|---|---|
//! | `axum` | yes | extractors, responses, the JWKS route |
//! | `cookie` | yes | the cookie transport and its guard against cross-site requests |
//! | `postgres` | | a store in PostgreSQL (`store::PostgresStore`); needs Rust 1.94 |
//! | `redis` | | a store in Redis or Valkey (`store::RedisStore`) |
//! | `jwks-client` | | the bundled HTTP client, with which a service that only validates follows its issuer; needs a rustls crypto provider of the application |
//! | `test-util` | | a manual clock, fixed keys, token minting and seeded jitter, for tests |
//!
//! None of them turns on a feature of another crate that changes what that does for the rest of a build.
//! So serde_json reads untyped numbers (`serde_json::Value`, `#[serde(flatten)]`) as it does by default:
//! one of 16 or more digits with a fraction may be read as its neighbour, and move again when the session
//! is renewed. Claims that hold such numbers give them a field of type `f64` or `f32`, which is read
//! exactly, or write them as text; or the application turns on serde_json's `float_roundtrip`.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod base64url;
mod claims;
mod clock;
mod crypto;
mod error;
mod keyring;
mod keys;
pub mod layer;
mod response;
mod revocation;
mod sessions;
pub mod store;
mod sync;
mod tasks;
pub mod telemetry;
#[cfg(feature = "test-util")]
pub mod testing;
mod token;
mod transport;

#[cfg(feature = "axum")]
pub use crate::axum::{SessionMisuse, SessionRejection};
pub use crate::clock::{Clock, SystemClock, Timestamp};
pub use crate::crypto::error::KeyError;
pub use crate::error::{BuildError, IssueError, Rejection, RejectionKind};
pub use crate::keyring::derived::{DerivedRingBuilder, Root};
pub use crate::keyring::directory::DirectoryRingBuilder;
pub use crate::keyring::issuer::builder::FollowerBuilder;
pub use crate::keyring::issuer::fetch::FetchError;
pub use crate::keyring::ring::{KeyRing, RingError};
pub use crate::keyring::rotating::builder::KeyRingBuilder;
pub use crate::keyring::rotating::seal::SealingKey;
pub use crate::keyring::status::{ClockOffset, KeyState, KeyStatus, NotReady, RingStatus};
pub use crate::keys::key::Key;
pub use crate::keys::rotation_policy::RotationPolicy;
pub use crate::keys::schedule::{IssuingPaused, KeyTimes, PauseReason};
pub use crate::layer::issue::IssueLayer;
pub use crate::layer::session::SessionLayer;
pub use crate::layer::validate::ValidateLayer;
pub use crate::response::respond::Respond;
pub use crate::revocation::builder::RevocationsBuilder;
pub use crate::revocation::handle::Revocations;
pub use crate::revocation::status::{RevocationsNotReady, RevocationsStatus};
pub use crate::sessions::builder::SessionsBuilder;
pub use crate::sessions::explain::{CheckOutcome, ExplainedCheck, Explanation};
pub use crate::sessions::handle::{SessionClaims, Sessions};
pub use crate::sessions::issued::IssuedToken;
pub use crate::sessions::login::{EndError, EndSession, Login};
pub use crate::sessions::refresh_tokens::{IssuedTokens, RefreshError, RefreshTokens};
pub use crate::sessions::session::Session;
#[cfg(feature = "cookie")]
pub use crate::transport::cookie::CookieTransport;
pub use jsonwebtoken::{Algorithm, jwk};

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
