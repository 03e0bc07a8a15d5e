//! What a handler returns to log a user in or out: [`Login`] and [`EndSession`].
//!
//! The first is a word to the [issue layer](crate::IssueLayer), which signs; it travels in the
//! response's extensions. The second knows by itself what to clear.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderValue, Response};

use crate::sessions::session::Session;
use crate::store::contract::StoreError;
use crate::transport::transports::append_cookie;

/// Logs a user in: returned by a handler, it becomes a session.
///
/// Returned as the whole response it is answered 204 with the cookie, or, as a
/// [bearer](Self::bearer) token, 200 with the JSON of RFC 6749, section 5.1. With axum the cookie
/// kind can also stand before another response, as its part: `(issue, Redirect::to("/"))`.
pub struct Login<C> {
    pub(crate) subject: String,
    pub(crate) claims: C,
    pub(crate) scope: Option<String>,
    pub(crate) bearer: bool,
    /// The session that it goes on with.
    pub(crate) continues: Option<Session<C>>,
}

impl<C> Login<C> {
    /// A session of `subject` with the application's claims, in the cookie if there is one.
    pub fn new(subject: impl Into<String>, claims: C) -> Self {
        Self { subject: subject.into(), claims, scope: None, bearer: false, continues: None }
    }

    /// With scopes, separated by single spaces: the `scope` claim (RFC 8693, section 4.2).
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// As a bearer token in the response's body, for clients that are no browsers.
    #[must_use]
    pub fn bearer(mut self) -> Self {
        self.bearer = true;
        self
    }
}

impl<C: Send + Sync + 'static> Login<C> {
    /// Asks the layer to make `response` log the user in by the cookie, where there is no axum.
    pub fn insert_into<B>(self, response: &mut Response<B>) {
        response.extensions_mut().insert(self.pending(false));
    }

    /// Asks the layer to answer with the session in place of `response`.
    pub fn replace<B>(self, response: &mut Response<B>) {
        response.extensions_mut().insert(self.pending(true));
    }

    pub(crate) fn pending(self, whole: bool) -> PendingIssue<C> {
        let is_taken = AtomicBool::new(false);
        PendingIssue(Arc::new(Pending { issue: self, whole, is_taken }))
    }
}

impl<C> fmt::Debug for Login<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Logs a user out: returned by a handler, it takes the cookie away. Made by
/// [`Sessions::logout`](crate::Sessions::logout).
///
/// As the whole response it is answered 204; with axum it can also stand before another response,
/// as its part. It needs no layer.
#[derive(Debug)]
#[must_use = "the cookie stays unless the handler returns this"]
pub struct EndSession {
    /// `None` where sessions travel in no cookie.
    clearing_cookie: Option<HeaderValue>,
}

impl EndSession {
    pub(crate) fn new(clearing_cookie: Option<HeaderValue>) -> Self {
        Self { clearing_cookie }
    }

    /// Takes the cookie away with `response`, where there is no axum.
    pub fn insert_into<B>(self, response: &mut Response<B>) {
        self.write_to(response.headers_mut());
    }

    pub(crate) fn write_to(self, headers: &mut HeaderMap) {
        if let Some(cookie) = self.clearing_cookie {
            append_cookie(headers, cookie);
        }
    }
}

crate::error::macros::debug_as_display!(EndError);

/// Why a session could not be ended everywhere. It goes on.
///
/// As an axum response it says so, as problem+json: 503 with `Retry-After` where trying again can
/// help.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EndError {
    /// The end could not be recorded.
    #[error("the end of a session could not be recorded: {0}")]
    NotRecorded(#[from] Arc<StoreError>),
    /// The sessions have nowhere to record it: the application's mistake.
    #[error("the sessions have no revocations: give them to their builder")]
    NoRevocations,
}

/// An [`Login`] on its way to the layer, in a response's extensions.
pub(crate) struct PendingIssue<C>(Arc<Pending<C>>);

pub(crate) struct Pending<C> {
    pub(crate) issue: Login<C>,
    /// Whether the layer makes the whole response.
    pub(crate) whole: bool,
    is_taken: AtomicBool,
}

impl<C> PendingIssue<C> {
    /// For the layer that makes it a session.
    pub(crate) fn take(&self) -> &Pending<C> {
        self.0.is_taken.store(true, Ordering::Relaxed);
        &self.0
    }
}

impl<C> Clone for PendingIssue<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A part of a response can't say that it was lost; so it is told here.
impl<C> Drop for Pending<C> {
    fn drop(&mut self) {
        if !self.is_taken.load(Ordering::Relaxed) {
            let mistake = "no `sessions.layer()` or `sessions.issue_layer()` of the same claims \
                           stands around the handler that returned `Login`";
            tracing::error!(mistake, "a login was lost");
        }
    }
}
