//! How a token travels: in the `Authorization` header or in a cookie.

mod bearer;
#[cfg_attr(not(feature = "cookie"), path = "no_cookie.rs")]
mod cookie;
#[cfg(feature = "cookie")]
mod cross_site;

use http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderValue};

use crate::error::{IssueError, RejectionKind};

#[cfg(feature = "cookie")]
pub use cookie::CookieTransport;
#[cfg(not(feature = "cookie"))]
pub(crate) use cookie::CookieTransport;

/// The transports of an application's sessions.
#[derive(Clone, Debug)]
pub(crate) struct Transports {
    pub(crate) bearer: bool,
    pub(crate) cookie: Option<CookieTransport>,
}

impl Default for Transports {
    fn default() -> Self {
        Self {
            bearer: true,
            #[cfg(feature = "cookie")]
            cookie: Some(CookieTransport::new()),
            #[cfg(not(feature = "cookie"))]
            cookie: None,
        }
    }
}

/// A token as a client sent it: any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credential<'r> {
    pub(crate) token: &'r [u8],
    pub(crate) place: Place,
}

/// Where a credential stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Bearer,
    Cookie,
}

impl Transports {
    /// Finds the one credential of a request.
    ///
    /// More than one is ambiguous, whether or not they are equal: which one counts would depend on
    /// who reads them (RFC 6750, section 2).
    pub(crate) fn read<'r>(
        &self,
        headers: &'r HeaderMap,
    ) -> Result<Option<Credential<'r>>, RejectionKind> {
        let bearer = if self.bearer { bearer::read(headers)? } else { None };
        match (bearer, self.read_cookie(headers)?) {
            (Some(_), Some(_)) => Err(RejectionKind::Ambiguous),
            (Some(token), None) => Ok(Some(Credential { token, place: Place::Bearer })),
            (None, Some(token)) => Ok(Some(Credential { token, place: Place::Cookie })),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn read_cookie<'r>(
        &self,
        headers: &'r HeaderMap,
    ) -> Result<Option<&'r [u8]>, RejectionKind> {
        self.cookie.as_ref().map_or(Ok(None), |cookie| cookie.read(headers))
    }

    /// Has a response's headers carry the token in the cookie, past every cache.
    pub(crate) fn set_cookie(
        &self,
        headers: &mut HeaderMap,
        token: &str,
    ) -> Result<(), IssueError> {
        let cookie = self.cookie.as_ref().ok_or(IssueError::NoTransport("cookie"))?;
        append(headers, cookie.set(token)?);
        Ok(())
    }

    /// Has a response's headers take the cookie away, if there is one.
    pub(crate) fn clear_cookie(&self, headers: &mut HeaderMap) {
        if let Some(cookie) = &self.cookie {
            append(headers, cookie.clear());
        }
    }

    /// Whether a response's headers set the cookie, or take it away.
    pub(crate) fn has_set_cookie(&self, headers: &HeaderMap) -> bool {
        let ours = |cookie: &CookieTransport| {
            headers.get_all(SET_COOKIE).iter().any(|field| cookie.is_set_by(field))
        };
        self.cookie.as_ref().is_some_and(ours)
    }
}

fn append(headers: &mut HeaderMap, cookie: HeaderValue) {
    headers.append(SET_COOKIE, cookie);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.append(VARY, HeaderValue::from_static("cookie"));
}
