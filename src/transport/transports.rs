//! [`Transports`]: the checked list, which finds the one credential of a request.

use std::mem;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;

use crate::error::build::BuildError;
use crate::error::operation::OperationError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::transport::bearer;
use crate::transport::caching::forbid_storing;
use crate::transport::cookie::CookieTransport;
use crate::transport::credential::{Credential, Found, Place, one};
use crate::transport::named_header::NamedHeader;
use crate::transport::old_cookies::OldCookies;
use crate::transport::transport::{Kind, Transport};
use crate::transport::web_socket::WebSocketProtocol;

/// The transports of an application's sessions, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transports {
    pub(crate) bearer: bool,
    pub(crate) cookie: Option<CookieTransport>,
    pub(crate) web_socket: Option<WebSocketProtocol>,
    pub(crate) header: Option<NamedHeader>,
}

impl Transports {
    /// Checks a list, in which each kind may come once. `ring` names the cookie unless it has a name.
    pub(crate) fn build(list: Vec<Transport>, ring: &str) -> Result<Self, BuildError> {
        let mut built = Self::default();
        if list.is_empty() {
            let help = "give one or more, such as `Transport::cookie(CookieTransport::new())` and \
                        `Transport::bearer()`, or leave the setting out for these two";
            return Err(BuildError::invalid("transports", "empty", help));
        }
        for Transport(kind) in list {
            let (name, is_second) = match kind {
                Kind::Bearer => ("bearer", mem::replace(&mut built.bearer, true)),
                Kind::Cookie(cookie) => {
                    ("cookie", built.cookie.replace(cookie.build(ring)?).is_some())
                }
                Kind::WebSocketProtocol(name) => {
                    let protocol = WebSocketProtocol::parse(&name)?;
                    ("web_socket_protocol", built.web_socket.replace(protocol).is_some())
                }
                Kind::Header(name) => {
                    ("header", built.header.replace(NamedHeader::parse(&name)?).is_some())
                }
            };
            if is_second {
                let value = format_args!("two of the kind {name}");
                return Err(BuildError::invalid("transports", value, "give each kind once"));
            }
        }
        Ok(built)
    }

    /// The scheme of a 401 (RFC 9110, section 11.6.1). Where only cookies are taken, no registered
    /// scheme fits.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.cookie.is_some() && !self.bearer { "Cookie" } else { "Bearer" }
    }

    /// Finds the one credential of a request.
    pub(crate) fn read<'r>(
        &self,
        headers: &'r HeaderMap,
    ) -> Result<Option<Credential<'r>>, RejectionKind> {
        let (protocol, header) = (self.web_socket.as_ref(), self.header.as_ref());
        let found = [
            (Place::Bearer, if self.bearer { bearer::read(headers)? } else { None }),
            (Place::Cookie, self.read_cookie(headers)?),
            (Place::WebSocketProtocol, protocol.map_or(Ok(None), |it| it.read(headers))?),
            (Place::Header, header.map_or(Ok(None), |it| it.read(headers))?),
        ];
        one(found
            .into_iter()
            .filter_map(|(place, token)| Some(Credential { token: token?, place })))
    }

    /// A rejection with what the request has in place of a credential, and nothing of its value.
    #[cold]
    pub(crate) fn describe(&self, rejection: Rejection, headers: &HeaderMap) -> Rejection {
        if rejection.is_missing()
            && let Some((found, expected)) = self.unread(headers)
        {
            return rejection.kind().about("credential", found, expected);
        }
        rejection
    }

    /// What a request has that these transports do not read, and what they would.
    fn unread(&self, headers: &HeaderMap) -> Option<(&'static str, String)> {
        let has_cookie = headers.contains_key(COOKIE);
        let (found, missing) = match bearer::read(headers) {
            Ok(Some(_)) => ("a bearer token", "the sessions have no bearer transport"),
            _ if self.bearer && headers.contains_key(AUTHORIZATION) => {
                ("Authorization without the scheme Bearer", "")
            }
            _ if has_cookie && self.cookie.is_some() => ("cookies of other names", ""),
            _ if has_cookie => ("a cookie", "the sessions have no cookie transport"),
            _ => return None,
        };
        let cookie = self.cookie.as_ref().map(|cookie| format!("the cookie {}", cookie.own_name()));
        let expected = match (self.bearer, cookie) {
            (true, Some(cookie)) => format!("{cookie}, or a bearer token"),
            (_, Some(cookie)) => cookie,
            (true, None) => "a bearer token".to_owned(),
            (false, None) => "the credential of the transports".to_owned(),
        };
        let separator = if missing.is_empty() { "" } else { ": " };
        Some((found, format!("{expected}{separator}{missing}")))
    }

    /// The rejection of a request with several credentials: where they are, and nothing of their values.
    #[cold]
    pub(crate) fn ambiguous(&self, headers: &HeaderMap) -> Rejection {
        let times = format!("{} times", headers.get_all(AUTHORIZATION).iter().count());
        let twice = "more than once";
        let (protocol, header) = (self.web_socket.as_ref(), self.header.as_ref());
        let read = [
            self.bearer.then(|| ("Authorization".to_owned(), bearer::read(headers), &*times)),
            self.cookie.as_ref().map(|cookie| {
                (format!("cookie {}", cookie.own_name()), cookie.read(headers), twice)
            }),
            protocol.map(|it| ("Sec-WebSocket-Protocol".to_owned(), it.read(headers), twice)),
            header.map(|it| (it.name().to_owned(), it.read(headers), twice)),
        ];
        let places = read.into_iter().flatten().filter_map(|(place, read, times)| match read {
            Ok(None) => None,
            Ok(Some(_)) => Some(place),
            Err(_) => Some(format!("{place}, {times}")),
        });
        let places = places.collect::<Vec<_>>().join("; ");
        RejectionKind::Ambiguous.about("credentials", places, "one")
    }

    pub(crate) fn read_cookie<'r>(&self, headers: &'r HeaderMap) -> Found<'r> {
        self.cookie.as_ref().map_or(Ok(None), |cookie| cookie.read(headers))
    }

    /// The field that carries the token in the cookie, which a token longer by `room` has to fit,
    /// too. With `max_age` it outlives the browser's session.
    pub(crate) fn cookie_of(
        &self,
        token: &str,
        room: usize,
        max_age: Option<Duration>,
    ) -> Result<HeaderValue, OperationError> {
        let cookie = self.cookie.as_ref().ok_or_else(|| OperationError::no_transport("cookie"))?;
        cookie.set(token, room, max_age)
    }

    /// The old cookies of a request, which its response replaces.
    pub(crate) fn old_cookies(&self, headers: &HeaderMap) -> Option<Box<OldCookies>> {
        self.cookie.as_ref()?.old_cookies(headers)
    }

    /// Replaces old cookies in a response's headers by the cookie, with the token of the request's valid
    /// session unless the response sets or clears it, with `max_age` if that is persistent. Old cookies that
    /// a replica may accept later stay.
    #[cold]
    pub(crate) fn replace_old_cookies(
        &self,
        headers: &mut HeaderMap,
        old: &OldCookies,
        is_valid: bool,
        max_age: Option<Duration>,
    ) {
        let Some(cookie) = &self.cookie else { return };
        if let Some(token) = &old.token
            && !self.has_set_cookie(headers)
        {
            match cookie.set(token, 0, max_age) {
                Ok(field) if is_valid => append_cookie(headers, field),
                _ => return,
            }
        }
        for field in cookie.clear_old(old) {
            append_cookie(headers, field);
        }
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

    /// Copies the cookies that a handler's response sets, but for this one and those that the headers set
    /// already.
    #[cold]
    pub(crate) fn keep_other_cookies(&self, handler: &HeaderMap, headers: &mut HeaderMap) {
        let set: SmallVec<[HeaderValue; 4]> = headers.get_all(SET_COOKIE).iter().cloned().collect();
        let others = handler.get_all(SET_COOKIE).iter().filter(|field| {
            !self.is_ours(field) && !set.iter().any(|set| name_of(set) == name_of(field))
        });
        let before = headers.len();
        headers.extend(others.map(|field| (SET_COOKIE, field.clone())));
        if headers.len() > before {
            forbid_storing(headers);
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

/// The name of the cookie that a field sets (RFC 6265, section 4.1.1).
fn name_of(field: &HeaderValue) -> &[u8] {
    field.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default()
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
