//! The Tower layers. [`SessionLayer`] combines them in the right order.
//!
//! A request passes
//!
//! 1. the [`ValidateLayer`], which turns the credential into a [`Session`](crate::Session) or a reason why there is
//!    none, and, where sessions travel in a cookie, is the guard against cross-site requests,
//! 2. the [`IssueLayer`], which on the way out turns what the handler returned into a token.
//!
//! Each of them renews a cookie session past half of its life on the way out; where there are several, one
//! does it.
//!
//! Rules:
//!
//! - No lock, no await and no I/O before the inner service; the service that was polled ready is
//!   the one called; its error type is unchanged.
//! - An invalid *cookie* reads as anonymous where a session is optional. An invalid *bearer token*
//!   is a 401 there too, and an ambiguous credential a 400, or a 403 if it comes from another site.
//!   If neither a strict layer nor an extractor requires a session, both pass without one.
//! - An invalid cookie is cleared only if no replica of this service can accept it any more, with any
//!   clock, keys and release, and if the browser has no newer one:
//!
//!   | [reason](crate::RejectionKind) | cookie |
//!   |---|---|
//!   | `Expired` | cleared: the session has ended |
//!   | `Malformed`, `BadSignature`, `WrongAlgorithm` | cleared: no token of these keys |
//!   | `Revoked` | kept: a login, or [`Logout::others`](crate::Logout::others), may have set a new one, which a late response must not clear |
//!   | `UnknownKey`, `IssuedInFuture`, `NotYetValid` | kept: another replica may know the key, or have the right time |
//!   | `WrongIssuer`, `WrongAudience`, `WrongType`, `WrongClaim` | kept: it belongs to another service |
//!   | `InvalidApplicationClaims`, `MissingClaim`, `InvalidClaim`, `LifetimeTooLong`, `TooLong` | kept: a replica of another release or other settings may accept it |
//!   | `StaleRevocations`, `KeysUnavailable` | kept: it is answered 503, and may be valid |
//!
//!   A login replaces it in any case, and a logout clears it.
//! - A handler returns a [`Login`](crate::Login) or [`Logout`](crate::Logout), and needs no state. The
//!   layer does the work in the store after the handler, within the timeouts of the revocations. Both
//!   take precedence over a renewal, and a login over a logout. Without a valid session a logout may be a 401:
//!   see [`Logout`](crate::Logout).
//! - A cookie session whose claims are to be [reloaded](crate::Sessions::reload_claims) is renewed at any age. A
//!   bearer token of sessions with refresh tokens is then a 401.
//! - A response that sets or clears the cookie is not stored by any cache: it gets
//!   `Cache-Control: no-store`, and loses `Expires` and every field that a cache may obey in its
//!   place, such as `CDN-Cache-Control` (RFC 9213). Fields that a layer around these adds stay.
//! - Every 401 has the same body. The reason is in the response's extensions, as a
//!   [`Rejection`](crate::Rejection), and in `tracing` at debug. That of a login or logout which failed for another
//!   reason is there as an [`OperationError`](crate::OperationError), and in `tracing` as an error.
//!
//! Caveat: a CORS layer belongs *around* these, so that it answers preflight requests, and the
//! guard's and the layers' own answers carry its headers.

pub(crate) mod issue;
pub(crate) mod logout;
pub(crate) mod mistakes;
pub(crate) mod presented;
pub(crate) mod renew;
pub(crate) mod require;
pub(crate) mod service;
pub(crate) mod session;
pub(crate) mod validate;

pub use self::issue::IssueLayer;
pub use self::service::{ResponseFuture, SessionService};
pub use self::session::SessionLayer;
pub use self::validate::ValidateLayer;
pub use crate::response::grpc::Grpc;
pub use crate::response::respond::{HeadersOnly, Respond, WithBody};
