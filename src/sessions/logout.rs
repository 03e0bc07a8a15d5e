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
    pub(crate) everywhere: bool,
    pub(crate) clear_site_data: bool,
}

impl Logout {
    /// Ends the session that the request came with.
    pub const fn new() -> Self {
        Self { everywhere: false, clear_site_data: false }
    }

    /// Ends all sessions of the same subject. Needs
    /// [revocations](crate::SessionsBuilder::revocations).
    pub const fn everywhere(mut self) -> Self {
        self.everywhere = true;
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
