//! [`Logout`]: what a handler returns to log a user out.

use http::Extensions;

use crate::sessions::pending::{Intent, Pending};

/// Logs a user out: a handler returns it, the [layer](crate::Sessions::layer) ends the session that
/// the request came with.
///
/// As the whole response it is answered 204, also if the session has just expired or the request has
/// none. With axum it can also be a part of another response: `(Logout::new(), Redirect::to("/"))`.
///
/// | the sessions have | the session came | |
/// |---|---|---|
/// | [revocations](crate::SessionsBuilder::revocations) | in any way | it is revoked on every replica, and its cookie cleared |
/// | none | in the cookie | the cookie is cleared; a copy of the token stays valid until it expires, for at most one idle lifetime |
/// | none | as a bearer token | 500: nothing can end it |
///
/// A revocation that could not be recorded is answered 503 in place of the handler's response, and the
/// session stays valid. If layers of several [`Sessions`](crate::Sessions) are around the handler, each
/// ends its own session.
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

impl Logout {
    /// Ends the session that the request came with.
    pub const fn new() -> Self {
        Self { reach: Reach::This, clear_site_data: false }
    }

    /// Ends all sessions of the same subject. Needs
    /// [revocations](crate::SessionsBuilder::revocations).
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
    const MISTAKE: &'static str = "a handler returned `Logout`, but no `sessions.layer()` or \
                                   `sessions.validate_layer()` is around it";

    fn log_lost() {
        tracing::error!(mistake = Self::MISTAKE, "a logout was lost");
    }
}
