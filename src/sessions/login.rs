//! [`Login`]: what a handler returns to log a user in.

use std::fmt;

use http::Extensions;

use crate::sessions::pending::{Intent, Pending};
use crate::sessions::session::Session;

/// Logs a user in: a handler returns it, the [layer](crate::Sessions::layer) issues the session.
///
/// As the whole response it is answered 204 with the cookie, or, as a [bearer](Self::bearer) token,
/// 200 with the JSON of RFC 6749, section 5.1. With axum a login by cookie can also be a part of
/// another response: `(login, Redirect::to("/"))`.
///
/// If the sessions have [revocations](crate::SessionsBuilder::revocations), the layer then revokes the
/// session that the request came with. If the store is down, it logs a warning, and the login succeeds.
#[doc(alias = "sign in")]
pub struct Login<C> {
    pub(crate) subject: String,
    pub(crate) claims: C,
    pub(crate) scope: Option<String>,
    pub(crate) bearer: bool,
    /// The session that gets new claims.
    pub(crate) continues: Option<Session<C>>,
}

impl<C> Login<C> {
    /// A session of `subject` with the application's claims, in the cookie if the sessions have one.
    pub fn new(subject: impl Into<String>, claims: C) -> Self {
        Self { subject: subject.into(), claims, scope: None, bearer: false, continues: None }
    }

    /// Adds scopes, separated by single spaces: the `scope` claim (RFC 8693, section 4.2).
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sends a bearer token in the response's body, for clients other than browsers.
    #[must_use]
    pub fn bearer(mut self) -> Self {
        self.bearer = true;
        self
    }
}

impl<C: Send + Sync + 'static> Login<C> {
    /// Adds the session's cookie to the response that has these extensions: for frameworks other than
    /// axum.
    pub fn insert_into(self, extensions: &mut Extensions) {
        Pending::insert(self, false, extensions);
    }

    /// Replaces the response that has these extensions: for frameworks other than axum.
    pub fn replace(self, extensions: &mut Extensions) {
        Pending::insert(self, true, extensions);
    }
}

impl<C: Send + Sync + 'static> Intent for Login<C> {
    const MISTAKE: &'static str = "a handler returned `Login`, but no `sessions.layer()` or \
                                   `sessions.issue_layer()` with the same claims is around it";

    fn log_lost() {
        tracing::error!(mistake = Self::MISTAKE, "a login was lost");
    }
}

impl<C> fmt::Debug for Login<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("subject", &self.subject).finish_non_exhaustive()
    }
}
