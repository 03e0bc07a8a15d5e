//! The session cookie (RFC 6265): read exactly, set and cleared by one builder.

use std::borrow::Cow;

use cookie::{Cookie, SameSite};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Request};

use super::cross_site::{CrossSiteCheck, may_change};
use crate::error::build::BuildError;
use crate::error::operation::OperationError;
use crate::error::rejection::RejectionKind;
use crate::transport::credential::Found;
use crate::transport::grammar::{is_token, is_token_byte};

/// The cookie that carries a session, and the guard that comes with it.
///
/// 1. It is named `__Host-` and the ring's name, and is `Secure; HttpOnly; SameSite=Lax; Path=/`: no script reads it, no
///    other host sets it, no plain connection carries it. Services of different rings on one host,
///    also on different ports, do not overwrite each other's cookie.
/// 2. It has no `Max-Age`: it ends with the browser's session, or when its token expires.
/// 3. Requests that change something and come from another site are answered 403 (tower-http's
///    CSRF guard), and so are upgrades that carry the cookie, since browsers let any site open a
///    WebSocket. What counts is `Sec-Fetch-Site`. Only of browsers that do not send it, `Origin` is
///    compared with `Host`, without case and default ports; the scheme counts where it is known,
///    which is where the request carries the `Secure` cookie. A proxy in front has to pass all
///    three on unchanged. What was found is in the debug log.
/// 4. Name and token have 4,096 bytes: a name, issuer or audience that leaves no room for any token
///    is refused when the sessions are built.
///
/// ```
/// use tower_jwt_session::CookieTransport;
///
/// let cookie = CookieTransport::new()
///     .name("__Host-app")
///     .same_site_strict()
///     .trusted_origin("https://admin.example");
/// ```
#[derive(Clone, Debug, Default)]
pub struct CookieTransport {
    /// `None` for the ring's, until the sessions are built.
    name: Option<Cow<'static, str>>,
    is_strict: bool,
    is_insecure: bool,
    trusted_origins: Vec<String>,
    /// Made when the sessions are built.
    cross_site: Option<CrossSiteCheck>,
}

impl CookieTransport {
    /// Browsers keep at least this much of name and value (RFC 6265, section 6.1), and no more.
    pub(crate) const MOST_BYTES: usize = 4096;

    /// The defaults, to be changed by the methods below.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cookie's name, which has to begin with `__Host-`. Default: `__Host-` and the name of the
    /// ring, in which `-` replaces characters that a cookie's name cannot hold.
    ///
    /// Services that share a host and a ring's name need different names: [fixed](crate::KeyRing::fixed)
    /// rings are all named `fixed`.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sends the cookie with no request that another site began, links included
    /// (`SameSite=Strict`).
    #[must_use]
    pub fn same_site_strict(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// Lets requests of another origin pass the guard: `https://host` or `https://host:port`. Case
    /// and a default port do not matter. What no browser sends as its `Origin` is refused when the
    /// sessions are built: another scheme, a wildcard, a path, a host that is not in Punycode.
    #[must_use]
    pub fn trusted_origin(mut self, origin: impl Into<String>) -> Self {
        self.trusted_origins.push(origin.into());
        self
    }

    /// A cookie without `Secure` and of any name, for plain http on a developer's machine where
    /// the browser does not take `Secure` cookies from localhost.
    ///
    /// # Security
    ///
    /// Whoever listens on the network reads the cookie and is logged in; any host of the same
    /// domain can set it. Never use it in production.
    #[must_use]
    pub fn dangerous_without_secure(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self.is_insecure = true;
        self
    }

    /// Checks the settings. `ring` names the cookie unless it has a name.
    pub(crate) fn build(mut self, ring: &str) -> Result<Self, BuildError> {
        let name = self.name.take().unwrap_or_else(|| named_by(ring).into());
        let help = if !is_token(&name) {
            "use letters, digits and - _ ."
        } else if !self.is_insecure && !name.starts_with("__Host-") {
            "begin it with `__Host-`, which makes browsers refuse it from other hosts"
        } else if self.is_insecure && is_prefixed(&name) {
            "give it another name: browsers refuse this prefix without `Secure`"
        } else {
            self.cross_site = Some(CrossSiteCheck::new(&self.trusted_origins)?);
            return Ok(Self { name: Some(name), ..self });
        };
        Err(BuildError::invalid("cookie name", format_args!("{name:?}"), help))
    }

    /// Whether the request does not come from another site, as far as that matters.
    pub(crate) fn passes<B>(&self, request: &Request<B>, has_cookie: bool) -> bool {
        let check = self.cross_site.as_ref().filter(|_| may_change(request));
        check.is_none_or(|check| check.passes(request, has_cookie, !self.is_insecure))
    }

    pub(crate) fn own_name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Finds the cookie's value. Names are compared byte by byte; cookies may come in several
    /// header fields (RFC 9113, section 8.2.3).
    pub(crate) fn read<'r>(&self, headers: &'r HeaderMap) -> Found<'r> {
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

    /// The `Set-Cookie` field that carries `token`, with room for so many characters more.
    pub(crate) fn set(&self, token: &str, room: usize) -> Result<HeaderValue, OperationError> {
        let bytes = self.own_name().len() + token.len() + room;
        if bytes > Self::MOST_BYTES {
            return Err(OperationError::too_long("cookie", bytes, Self::MOST_BYTES));
        }
        Ok(field(&self.cookie(token)))
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
        Cookie::build((self.own_name(), value))
            .path("/")
            .http_only(true)
            .secure(!self.is_insecure)
            .same_site(if self.is_strict { SameSite::Strict } else { SameSite::Lax })
            .build()
    }
}

/// The cookie's name where it is the ring's.
fn named_by(ring: &str) -> String {
    let fitting = ring.bytes().map(|byte| if is_token_byte(byte) { byte.into() } else { '-' });
    format!("__Host-{}", fitting.collect::<String>())
}

/// Whether browsers put conditions to a cookie of this name (RFC 6265bis, section 4.1.3).
fn is_prefixed(name: &str) -> bool {
    let begins = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    begins("__Host-") || begins("__Secure-")
}

fn field(cookie: &Cookie<'_>) -> HeaderValue {
    // A token name and base64url are visible ASCII.
    let mut field =
        HeaderValue::try_from(cookie.to_string()).unwrap_or(HeaderValue::from_static(""));
    field.set_sensitive(true);
    field
}
