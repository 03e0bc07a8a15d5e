//! How a token travels: in the `Authorization` header, in a cookie, or to a WebSocket.

use crate::transport::bearer;
use crate::transport::caching::forbid_storing;
use crate::transport::web_socket::WebSocketProtocol;
use http::header::{AUTHORIZATION, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderValue};

use crate::error::operation::{OperationError, OperationErrorKind};
use crate::error::rejection::RejectionKind;

use crate::transport::cookie::CookieTransport;

/// The transports of an application's sessions.
#[derive(Clone, Debug)]
pub(crate) struct Transports {
    pub(crate) bearer: bool,
    pub(crate) cookie: Option<CookieTransport>,
    pub(crate) web_socket: Option<WebSocketProtocol>,
}

impl Default for Transports {
    fn default() -> Self {
        Self {
            bearer: true,
            #[cfg(feature = "cookie")]
            cookie: Some(CookieTransport::new()),
            #[cfg(not(feature = "cookie"))]
            cookie: None,
            web_socket: None,
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
    WebSocketProtocol,
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
        let cookie = self.read_cookie(headers)?;
        let web_socket = self.web_socket.as_ref().map(|protocol| protocol.read(headers));
        let (token, place) = match (bearer, cookie, web_socket.transpose()?.flatten()) {
            (None, None, None) => return Ok(None),
            (Some(token), None, None) => (token, Place::Bearer),
            (None, Some(token), None) => (token, Place::Cookie),
            (None, None, Some(token)) => (token, Place::WebSocketProtocol),
            _ => return Err(RejectionKind::Ambiguous),
        };
        Ok(Some(Credential { token, place }))
    }

    /// Logs where the credentials of an ambiguous request are, and nothing of them.
    #[cold]
    pub(crate) fn log_ambiguous(&self, headers: &HeaderMap) {
        let mut places = Vec::new();
        if self.bearer {
            match bearer::read(headers) {
                Ok(None) => {}
                Ok(Some(_)) => places.push("Authorization".to_owned()),
                Err(_) => {
                    let fields = headers.get_all(AUTHORIZATION).iter().count();
                    places.push(format!("Authorization, {fields} times"));
                }
            }
        }
        if let Some(cookie) = &self.cookie {
            match cookie.read(headers) {
                Ok(None) => {}
                Ok(Some(_)) => places.push(format!("cookie {}", cookie.own_name())),
                Err(_) => places.push(format!("cookie {}, more than once", cookie.own_name())),
            }
        }
        match self.web_socket.as_ref().map(|protocol| protocol.read(headers)) {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(_))) => places.push("Sec-WebSocket-Protocol".to_owned()),
            Some(Err(_)) => places.push("Sec-WebSocket-Protocol, more than once".to_owned()),
        }
        tracing::debug!(places = places.join("; "), "a request has more than one credential");
    }

    pub(crate) fn read_cookie<'r>(
        &self,
        headers: &'r HeaderMap,
    ) -> Result<Option<&'r [u8]>, RejectionKind> {
        self.cookie.as_ref().map_or(Ok(None), |cookie| cookie.read(headers))
    }

    /// The field that carries the token in the cookie, which a token longer by `room` has to fit,
    /// too.
    pub(crate) fn cookie_of(
        &self,
        token: &str,
        room: usize,
    ) -> Result<HeaderValue, OperationError> {
        self.cookie.as_ref().ok_or(OperationErrorKind::NoTransport("cookie"))?.set(token, room)
    }

    /// The field that takes the cookie away, if there is one.
    pub(crate) fn clearing_cookie(&self) -> Option<HeaderValue> {
        self.cookie.as_ref().map(CookieTransport::clear)
    }

    /// Clears the cookie, if there is one, unless the response sets it.
    pub(crate) fn clear_cookie(&self, headers: &mut HeaderMap) {
        if !self.has_set_cookie(headers)
            && let Some(cookie) = self.clearing_cookie()
        {
            append_cookie(headers, cookie);
        }
    }

    /// Whether a response's headers set the cookie, or take it away.
    pub(crate) fn has_set_cookie(&self, headers: &HeaderMap) -> bool {
        headers.get_all(SET_COOKIE).iter().any(|field| self.is_ours(field))
    }

    /// Takes what was set of the cookie before out of a response's headers: a response must not
    /// set one cookie twice (RFC 6265, section 4.1.1).
    pub(crate) fn remove_set_cookie(&self, headers: &mut HeaderMap) {
        if self.has_set_cookie(headers) {
            let others = headers.get_all(SET_COOKIE).iter().filter(|field| !self.is_ours(field));
            let others: Vec<_> = others.cloned().collect();
            headers.remove(SET_COOKIE);
            headers.extend(others.into_iter().map(|field| (SET_COOKIE, field)));
        }
    }

    /// Forbids caches to store a response that sets the cookie or takes it away, whoever did it.
    pub(crate) fn forbid_storing_cookie(&self, headers: &mut HeaderMap) {
        if self.cookie.is_some() && headers.contains_key(SET_COOKIE) && self.has_set_cookie(headers)
        {
            forbid_storing(headers);
        }
    }

    fn is_ours(&self, field: &HeaderValue) -> bool {
        self.cookie.as_ref().is_some_and(|cookie| cookie.is_set_by(field))
    }
}

/// Whether it is a token of HTTP's grammar (RFC 9110, section 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

/// Has a response's headers set a cookie, past every cache.
pub(crate) fn append_cookie(headers: &mut HeaderMap, cookie: HeaderValue) {
    headers.append(SET_COOKIE, cookie);
    forbid_storing(headers);
    let is_cookie = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"cookie");
    if !headers.get_all(VARY).iter().any(is_cookie) {
        headers.append(VARY, HeaderValue::from_static("cookie"));
    }
}
