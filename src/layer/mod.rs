//! The Tower layers. [`SessionLayer`] is all of them, in the one right order.
//!
//! A request goes inwards through
//!
//! 1. the [`ValidateLayer`], which turns the credential into a [`Session`](crate::Session) or a
//!    reason why there is none, and, where sessions travel in a cookie, is the guard against
//!    cross-site requests,
//! 2. the [`IssueLayer`], which on the way out turns what the handler returned into a token, and
//!    renews a cookie session past half of its life.
//!
//! Rules:
//!
//! - No lock, no await and no I/O before the inner service; the service that was polled ready is
//!   the one called; its error type is unchanged.
//! - An invalid or expired *cookie* reads as anonymous where a session is optional, and the answer
//!   takes it away. An invalid *bearer token* is a 401 there too, and an ambiguous credential a
//!   400, or a 403 if it comes from another site.
//! - Every 401 has the same body. The reason is in the response's extensions, as a
//!   [`Rejection`](crate::Rejection), and in `tracing` at debug.
//!
//! Caveat: a CORS layer belongs *around* these, so that it answers preflight requests, and the
//! guard's and the layers' own answers carry its headers.

mod future;
mod issue;
mod require;
mod respond;
mod token_endpoint;
mod validate;

use std::fmt;

use tower_layer::Layer;

use crate::sessions::{SessionClaims, Sessions};

pub use issue::{Issue, IssueLayer};
pub use respond::{HeadersOnly, Respond, WithBody};
#[cfg(feature = "axum")]
pub(crate) use respond::{problem, problem_because};
#[cfg(feature = "axum")]
pub(crate) use validate::{Presented, Refused};
pub use validate::{Validate, ValidateLayer};

/// All layers at once, with validation optional: the handler's extractor decides. See
/// [`Sessions::layer`].
pub struct SessionLayer<C, T = WithBody> {
    sessions: Sessions<C>,
    respond: T,
}

impl<C: SessionClaims> Sessions<C> {
    /// All layers at once: guards, validates if there is a credential, issues, renews.
    pub fn layer(&self) -> SessionLayer<C> {
        SessionLayer { sessions: self.clone(), respond: WithBody }
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
    pub fn respond_with<U>(self, respond: U) -> SessionLayer<C, U> {
        SessionLayer { sessions: self.sessions, respond }
    }
}

impl<S, C: SessionClaims, T: Clone> Layer<S> for SessionLayer<C, T> {
    type Service = Validate<Issue<S, C, T>, C, T>;

    fn layer(&self, inner: S) -> Self::Service {
        let issue = IssueLayer::new(self.sessions.clone(), self.respond.clone()).layer(inner);
        ValidateLayer::new(self.sessions.clone())
            .optional()
            .guard_all()
            .respond_with(self.respond.clone())
            .layer(issue)
    }
}

impl<C, T: Clone> Clone for SessionLayer<C, T> {
    fn clone(&self) -> Self {
        Self { sessions: self.sessions.clone(), respond: self.respond.clone() }
    }
}

impl<C, T> fmt::Debug for SessionLayer<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}
