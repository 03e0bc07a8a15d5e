//! [`Logout`]: what a handler returns to log a user out.

use http::Extensions;

use crate::sessions::pending::{Intent, Pending};

/// Logs a user out: a handler returns it, the [layer](crate::Sessions::layer) ends the session that
/// the request came with.
///
/// As the whole response it is answered 204. With axum it can also be a part of another response:
/// `(Logout::new(), Redirect::to("/"))`. Make the route a `POST`: the guard against cross-site requests does not
/// look at `GET`, so that a link on another site could log the user out. The log warns of the first such logout.
///
/// | the sessions have | the session came | |
/// |---|---|---|
/// | [revocations](crate::SessionsBuilder::revocations) | in any way | it is revoked on every replica, and its cookie cleared |
/// | none | in the cookie | the cookie is cleared; a copy of the token stays valid until it expires, for at most one idle lifetime |
/// | none | as a bearer token | 500: nothing can end it |
///
/// A request without a valid session:
///
/// | the request has | [`new`](Self::new) | [`everywhere`](Self::everywhere), [`others`](Self::others) |
/// |---|---|---|
/// | an expired or unreadable cookie, or no credential | 204: the session is over | 401: the subject is not known, and other sessions may be valid |
/// | no credential, and the sessions have no cookie transport | 401: the client forgot to send its token | 401 |
/// | a revoked token | 204: the session is over | 401 |
/// | an expired or unreadable bearer token, or a refresh token in its place | 401: the client may have a refresh token, refreshes and tries again; or it uses [`/revoke`](crate::Sessions::token_router) | 401 |
/// | a token of another issuer or audience | 204, and the cookie stays: another service's session | 401 |
/// | a token that another replica may accept, such as one with an unknown key | 503 | `everywhere` 503, `others` 401 |
///
/// A revocation that could not be recorded is answered 503 in place of the handler's response, and the
/// session stays valid. What the handler itself has written stays written, and cookies that it has set stay on
/// the answer. If layers of several [`Sessions`](crate::Sessions) are around the handler, `new` ends the
/// session of each, and `everywhere` and `others` need a valid session of each.
///
/// ```
/// use axum::{Router, response::Redirect, routing::post};
/// use tower_jwt_session::Logout;
///
/// # fn app() -> Router {
/// Router::new()
///     .route("/logout", post(async || Logout::new()))
///     .route("/leave", post(async || (Logout::new().everywhere(), Redirect::to("/"))))
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "the session stays valid unless the handler returns this"]
#[doc(alias = "sign out")]
#[doc(alias = "SignOutAsync")]
#[doc(alias = "flush")]
pub struct Logout {
    pub(crate) reach: Reach,
    pub(crate) clear_site_data: bool,
}

/// Which sessions of the subject end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    #[default]
    This,
    Others,
    Everywhere,
}

impl Reach {
    /// As metrics and audit events name it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::This => "this",
            Self::Others => "others",
            Self::Everywhere => "everywhere",
        }
    }
}

impl Logout {
    /// Ends the session that the request came with.
    pub const fn new() -> Self {
        Self { reach: Reach::This, clear_site_data: false }
    }

    /// Ends all sessions of the same subject. Needs
    /// [revocations](crate::SessionsBuilder::revocations), and a request with a valid session; otherwise it is
    /// answered 401.
    pub const fn everywhere(mut self) -> Self {
        self.reach = Reach::Everywhere;
        self
    }

    /// Ends all other sessions of the same subject: after a change of the password. The session that the
    /// request came with continues under a new ID. Needs
    /// [revocations](crate::SessionsBuilder::revocations), and a request with a valid session; otherwise
    /// it is answered 401, also if the session was logged out elsewhere.
    ///
    /// The response carries the new token as that of a [login](crate::Login) does: in the cookie if the
    /// session came in it, else in the body, with a new refresh token if the sessions have them. So without
    /// a cookie it is the whole response. See [`Sessions::logout_others`](crate::Sessions::logout_others)
    /// for what it changes, and what the route should ask for.
    ///
    /// If it could not be recorded, the answer is 503, and all sessions stay valid. The new password stays, too,
    /// since the layer works after the handler. The
    /// [guide](crate::guide::ending_sessions#after-a-change-of-the-password) has a way in which the password's version
    /// ends the other sessions.
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use tower_jwt_session::{Logout, Session};
    ///
    /// async fn change_password(session: Session<()>, form: String) -> Result<Logout, StatusCode> {
    ///     # let store_password = |_: &str, _: String| Ok::<_, StatusCode>(());
    ///     store_password(session.subject(), form)?;
    ///     Ok(Logout::new().others())
    /// }
    /// ```
    #[doc(alias = "logout_others")]
    pub const fn others(mut self) -> Self {
        self.reach = Reach::Others;
        self
    }

    /// Also makes the browser drop what it has cached and stored for this origin: the header
    /// `Clear-Site-Data: "cache", "storage"`. Cookies of other services on the host stay.
    pub const fn clear_site_data(mut self) -> Self {
        self.clear_site_data = true;
        self
    }

    /// Logs out with the response that has these extensions: for frameworks other than axum.
    pub fn insert_into(self, extensions: &mut Extensions) {
        Pending::insert(self, false, extensions);
    }

    /// Replaces the response that has these extensions: for frameworks other than axum.
    pub fn replace(self, extensions: &mut Extensions) {
        Pending::insert(self, true, extensions);
    }
}

impl Intent for Logout {
    fn mistake() -> String {
        "a handler returned `Logout`, but no `sessions.layer()` or `sessions.validate_layer()` is around \
         it; in axum, `.layer(..)` is around the routes that were added before it"
            .to_owned()
    }

    fn log_lost(around: &str) {
        tracing::error!(mistake = Self::mistake(), around, "a logout was lost");
    }
}
