//! What a request may do with the cookie: decided before the handler, by where the request comes from.

/// Whether a request's cookie is read, and whether its response may set one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CookieUse {
    /// Whether it is read; otherwise the request has no session by it.
    pub(crate) reads: bool,
    pub(crate) sets: Sets,
}

/// Whether a response may set the cookie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sets {
    /// It may.
    Allowed,
    /// It may, and the browser drops the cookie, since the page came by plain http.
    #[cfg_attr(not(feature = "cookie"), expect(dead_code, reason = "there is no cookie"))]
    Dropped,
    /// The request comes from another site: no cookie is set, and nobody is logged out.
    FromAnotherSite,
    /// The cookie is for local development, and the request is for another host than this machine.
    #[cfg_attr(not(feature = "cookie"), expect(dead_code, reason = "there is no cookie"))]
    NotLocal,
}

impl CookieUse {
    pub(crate) const FULL: Self = Self { reads: true, sets: Sets::Allowed };
    pub(crate) const NONE: Self = Self { reads: false, sets: Sets::FromAnotherSite };
}
