//! The Tower layers. [`SessionLayer`] is all of them, in the one right order.
//!
//! A request goes inwards through
//!
//! 1. the [`ValidateLayer`], which turns the credential into a [`Session`] or a reason why there is
//!    none, and, where sessions travel in a cookie, is the guard against cross-site requests,
//! 2. the [`IssueLayer`], which on the way out turns what the handler returned into a token, and
//!    renews a cookie session past half of its life.
//!
//! Rules:
//!
//! - No lock, no await and no I/O before the inner service; the service that was polled ready is
//!   the one called; its error type is unchanged.
//! - An invalid *cookie* reads as anonymous where a session is optional. An invalid *bearer token*
//!   is a 401 there too, and an ambiguous credential a 400, or a 403 if it comes from another site.
//!   Where neither a strict layer nor an extractor asks for a session, both are let through without.
//! - The answer to an invalid cookie clears it only if no replica of this service can accept it any
//!   more, whatever its clock, its keys and its release:
//!
//!   | [reason](crate::RejectionKind) | cookie |
//!   |---|---|
//!   | `Expired`, `Revoked` | cleared: the session has ended |
//!   | `Malformed`, `BadSignature`, `WrongAlgorithm` | cleared: no token of these keys |
//!   | `UnknownKey`, `IssuedInFuture`, `NotYetValid` | kept: another replica may know the key, or have the right time |
//!   | `WrongIssuer`, `WrongAudience`, `WrongType` | kept: it is another service's |
//!   | `ForeignClaims`, `MissingClaim`, `InvalidClaim`, `LifetimeTooLong`, `TooLong` | kept: a replica of another release or other settings may accept it |
//!   | `StaleRevocations` | kept: it is answered 503, and may be valid |
//!
//!   A login replaces it in any case.
//! - A response that sets or clears the cookie is not stored by any cache: it gets
//!   `Cache-Control: no-store`, and loses `Expires` and every field that a cache may obey in its
//!   place, such as `CDN-Cache-Control` (RFC 9213). Fields that a layer around these adds stay.
//! - Every 401 has the same body. The reason is in the response's extensions, as a
//!   [`Rejection`](crate::Rejection), and in `tracing` at debug.
//!
//! Caveat: a CORS layer belongs *around* these, so that it answers preflight requests, and the
//! guard's and the layers' own answers carry its headers.

mod issue;
mod require;
mod respond;
mod service;
mod token_endpoint;
mod validate;

use std::fmt;

use http::{Request, Response};
use tower_layer::Layer;

use crate::session::Session;
use crate::sessions::{SessionClaims, Sessions};
use service::Around;
use validate::Unvalidated;

pub use issue::IssueLayer;
pub use respond::{HeadersOnly, Respond, WithBody};
#[cfg(feature = "axum")]
pub(crate) use respond::{problem, problem_because};
pub use service::SessionService;
pub use validate::ValidateLayer;
#[cfg(feature = "axum")]
pub(crate) use validate::{Presented, Refused};

/// All layers at once, with validation optional: the handler's extractor decides. See
/// [`Sessions::layer`].
pub struct SessionLayer<C, T = WithBody> {
    validate: ValidateLayer<C, T>,
    issue: IssueLayer<C, T>,
}

impl<C: SessionClaims> Sessions<C> {
    /// All layers at once: guards, validates if there is a credential, issues, renews.
    pub fn layer(&self) -> SessionLayer<C> {
        let validate = self.validate_layer().optional().guard_all();
        SessionLayer { validate, issue: self.issue_layer() }
    }

    /// The layer that validates: strict, so that a request without a session is a 401.
    ///
    /// Inside [`layer`](Self::layer), around some routes, it uses what that has found.
    pub fn validate_layer(&self) -> ValidateLayer<C> {
        ValidateLayer::new(self.clone())
    }

    /// The layer that issues and renews. It renews what a validate layer around it has found, so
    /// that it belongs inside of that.
    pub fn issue_layer(&self) -> IssueLayer<C> {
        IssueLayer::new(self.clone(), WithBody)
    }
}

impl<C, T> SessionLayer<C, T> {
    /// Replaces how the layers' own answers get their bodies, or the answers themselves. See
    /// [`Respond`].
    pub fn respond_with<U: Clone>(self, respond: U) -> SessionLayer<C, U> {
        let validate = self.validate.respond_with(respond.clone());
        SessionLayer { validate, issue: self.issue.respond_with(respond) }
    }
}

impl<S, C, T: Clone> Layer<S> for SessionLayer<C, T> {
    type Service = SessionService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, self.clone())
    }
}

impl<B, C: SessionClaims, T: Respond<B>> Around<B> for SessionLayer<C, T> {
    type Kept = (Option<Unvalidated>, Option<Session<C>>);

    fn before<R>(&self, request: &mut Request<R>) -> Result<Self::Kept, Response<B>> {
        let presented = self.validate.admit(request)?;
        let kept = (presented.unvalidated(), self.issue.renewable(&presented));
        request.extensions_mut().insert(presented);
        Ok(kept)
    }

    fn after(&self, response: &mut Response<B>, (unvalidated, renewable): Self::Kept) {
        self.issue.finish(response, renewable);
        self.validate.after(response, unvalidated);
    }
}

impl<C, T: Clone> Clone for SessionLayer<C, T> {
    fn clone(&self) -> Self {
        Self { validate: self.validate.clone(), issue: self.issue.clone() }
    }
}

impl<C, T> fmt::Debug for SessionLayer<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("validate", &self.validate).finish_non_exhaustive()
    }
}
