//! [`Login`]: what a handler returns to log a user in.

use std::fmt;
use std::time::Duration;

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
/// An expired token ends nothing: the session of a bearer client continues by its refresh token, until the
/// client sends that to [`POST /revoke`](crate::Sessions::token_router).
///
/// A login that cannot be issued is answered 500 or 503 in place of the handler's response. Cookies that
/// the handler has set stay on that answer, such as the new ID of a visitor's cart.
#[doc(alias = "sign in")]
#[doc(alias = "session fixation")]
#[doc(alias = "cycle_id")]
#[doc(alias = "SignInAsync")]
pub struct Login<C> {
    pub(crate) subject: String,
    pub(crate) claims: C,
    pub(crate) scope: Option<String>,
    pub(crate) bearer: bool,
    /// How long the session lasts, if it is persistent.
    pub(crate) persistent: Option<Duration>,
    /// The session that gets new claims.
    pub(crate) continues: Option<Session<C>>,
}

impl<C> Login<C> {
    /// A session of `subject` with the application's claims, in the cookie if the sessions have one.
    pub fn new(subject: impl Into<String>, claims: C) -> Self {
        Self {
            subject: subject.into(),
            claims,
            scope: None,
            bearer: false,
            persistent: None,
            continues: None,
        }
    }

    /// Adds scopes, separated by single spaces: the `scope` claim (RFC 8693, section 4.2).
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sends a bearer token in the response's body, for clients that keep their tokens themselves.
    #[must_use]
    pub fn bearer(mut self) -> Self {
        self.bearer = true;
        self
    }

    /// Keeps the user logged in for this long from the login, whether or not there are requests, and
    /// after the browser was closed: for a login form's "remember me". At least 1 second, at most
    /// [`persistent_lifetime`](crate::SessionsBuilder::persistent_lifetime), without which the login is
    /// answered 500.
    ///
    /// 1. The session ends `lifetime` after the login; `idle_lifetime` and `absolute_lifetime` do not
    ///    apply.
    /// 2. The cookie has a `Max-Age` (RFC 6265, section 5.2.2), until its token expires. Browsers keep a
    ///    cookie for 400 days at most.
    /// 3. The cookie is renewed by requests past half of `idle_lifetime`, as any other, so that the
    ///    session is always with a current key and current claims. Its end stays the same.
    /// 4. With [`bearer`](Self::bearer), the refresh tokens are redeemed for this long from the login,
    ///    and each is valid for [`RefreshTokens::lifetime`](crate::RefreshTokens::lifetime) or less.
    ///    A bearer login without refresh tokens is answered 500: no layer renews its token.
    ///
    /// # Security
    ///
    /// A copy of the token is good for as long. Use it with
    /// [`revocations`](crate::SessionsBuilder::revocations), and require a recent login for what
    /// matters: [`max_auth_age`](crate::layer::ValidateLayer::max_auth_age).
    #[doc(alias = "remember me")]
    #[doc(alias = "max-age")]
    #[must_use]
    #[doc(alias = "remember-me")]
    #[doc(alias = "IsPersistent")]
    pub fn persistent(mut self, lifetime: Duration) -> Self {
        self.persistent = Some(lifetime);
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
    fn mistake() -> String {
        let claims = std::any::type_name::<C>();
        format!(
            "a handler returned `Login<{claims}>`, but no `sessions.layer()` or `sessions.issue_layer()` \
             of `Sessions<{claims}>` is around it; in axum, `.layer(..)` is around the routes that were \
             added before it"
        )
    }

    fn log_lost(around: &str) {
        tracing::error!(mistake = Self::mistake(), around, "a login was lost");
    }
}

impl<C> fmt::Debug for Login<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("subject", &self.subject).finish_non_exhaustive()
    }
}
