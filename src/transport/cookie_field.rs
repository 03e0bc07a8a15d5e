//! The session cookie in header fields: read exactly, set and cleared by one builder.

use std::time::Duration;

use cookie::{Cookie, SameSite};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;

use super::cookie::CookieTransport;
use crate::error::operation::OperationError;
use crate::error::rejection::RejectionKind;
use crate::transport::credential::Found;
use crate::transport::old_cookies::OldCookies;

impl CookieTransport {
    /// Finds the cookie's value, or else that of the first old cookie that is there.
    pub(crate) fn read<'r>(&self, headers: &'r HeaderMap) -> Found<'r> {
        let own = self.read_own(headers)?;
        if own.is_some() || self.old.is_empty() {
            return Ok(own);
        }
        self.old.iter().find_map(|old| old.read_own(headers).transpose()).transpose()
    }

    /// Names are compared byte by byte; cookies may come in several header fields (RFC 9113, section
    /// 8.2.3).
    fn read_own<'r>(&self, headers: &'r HeaderMap) -> Found<'r> {
        let (mut found, name) = (None, self.own_name().as_bytes());
        for field in headers.get_all(COOKIE) {
            let (field, mut start) = (field.as_bytes(), 0);
            for end in memchr::memchr_iter(b';', field).chain([field.len()]) {
                // White space may surround a pair (RFC 6265, section 5.2).
                let pair = field[start..end].trim_ascii();
                start = end + 1;
                let value = pair.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"="));
                if value.is_some() && found.is_some() {
                    return Err(RejectionKind::Ambiguous);
                }
                found = found.or(value);
            }
        }
        Ok(found)
    }

    /// The old cookies of a request, which are to be replaced.
    #[inline]
    pub(crate) fn old_cookies(&self, headers: &HeaderMap) -> Option<Box<OldCookies>> {
        if self.old.is_empty() { None } else { self.find_old_cookies(headers) }
    }

    #[cold]
    fn find_old_cookies(&self, headers: &HeaderMap) -> Option<Box<OldCookies>> {
        let is_absent = |it: &CookieTransport| it.read_own(headers).is_ok_and(|it| it.is_none());
        let places = self.old.iter().enumerate().filter(|(_, old)| !is_absent(old));
        let present: SmallVec<[usize; 1]> = places.map(|(place, _)| place).collect();
        if present.is_empty() {
            return None;
        }
        let token = is_absent(self).then(|| self.read(headers).ok().flatten()).flatten();
        let token = token.and_then(|token| str::from_utf8(token).ok()).map(Into::into);
        Some(OldCookies { present, token }.into())
    }

    /// The `Set-Cookie` fields that clear old cookies.
    pub(crate) fn clear_old(&self, cookies: &OldCookies) -> impl Iterator<Item = HeaderValue> {
        cookies.present.iter().filter_map(|place| self.old.get(*place)).map(Self::clear)
    }

    /// The `Set-Cookie` field that carries `token`, with room for so many characters more. With
    /// `max_age`, whole seconds, it outlives the browser's session.
    pub(crate) fn set(
        &self,
        token: &str,
        room: usize,
        max_age: Option<Duration>,
    ) -> Result<HeaderValue, OperationError> {
        let bytes = self.own_name().len() + token.len() + room;
        if bytes > Self::MOST_BYTES {
            return Err(OperationError::too_long("cookie", bytes, Self::MOST_BYTES));
        }
        let mut cookie = self.cookie(token);
        cookie.set_max_age(max_age.and_then(|age| cookie::time::Duration::try_from(age).ok()));
        Ok(field(&cookie))
    }

    /// The `Set-Cookie` field that takes the cookie away.
    pub(crate) fn clear(&self) -> HeaderValue {
        let mut cookie = self.cookie("");
        cookie.set_max_age(cookie::time::Duration::ZERO);
        field(&cookie)
    }

    /// Whether a `Set-Cookie` field is of this cookie.
    pub(crate) fn is_set_by(&self, field: &HeaderValue) -> bool {
        let rest = field.as_bytes().strip_prefix(self.own_name().as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"="))
    }

    /// The one builder: a cookie is cleared only by the same attributes that set it.
    fn cookie<'c>(&'c self, value: &'c str) -> Cookie<'c> {
        let mut cookie = Cookie::build((self.own_name(), value))
            .path("/")
            .http_only(true)
            .secure(!self.is_local)
            .same_site(match (self.is_framed, self.is_strict) {
                (true, _) => SameSite::None,
                (false, true) => SameSite::Strict,
                (false, false) => SameSite::Lax,
            })
            .build();
        if self.is_framed {
            cookie.set_partitioned(true);
        }
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain);
        }
        cookie
    }
}

fn field(cookie: &Cookie<'_>) -> HeaderValue {
    // A token name and base64url are visible ASCII.
    let mut field =
        HeaderValue::try_from(cookie.to_string()).unwrap_or(HeaderValue::from_static(""));
    field.set_sensitive(true);
    field
}
