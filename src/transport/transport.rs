//! [`Transport`]: one way in which a session token travels.

use crate::transport::cookie::CookieTransport;

/// One way in which a session token travels. Given to
/// [`SessionsBuilder::transports`](crate::SessionsBuilder::transports) as a list.
///
/// ```
/// use tower_jwt_session::{CookieTransport, KeyRing, Sessions, Transport};
///
/// # fn sessions(keys: KeyRing) -> Result<Sessions<()>, tower_jwt_session::BuildError> {
/// Sessions::builder(keys, "https://app.example", "app")
///     .transports([
///         Transport::cookie(CookieTransport::new().same_site_strict()),
///         Transport::bearer(),
///         Transport::web_socket_protocol("session"),
///     ])
///     .build()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Transport(pub(crate) Kind);

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Bearer,
    #[cfg_attr(not(feature = "cookie"), allow(dead_code))]
    Cookie(CookieTransport),
    WebSocketProtocol(Box<str>),
    Header(Box<str>),
}

impl Transport {
    /// The `Authorization` header with the scheme `Bearer` (RFC 6750, section 2.1).
    pub fn bearer() -> Self {
        Self(Kind::Bearer)
    }

    /// A cookie, with its guard against cross-site requests.
    #[cfg(feature = "cookie")]
    #[doc(alias = "csrf")]
    pub fn cookie(cookie: CookieTransport) -> Self {
        Self(Kind::Cookie(cookie))
    }

    /// A bearer token as `name.<token>` among the protocols that a WebSocket's opening request offers
    /// (RFC 6455, section 1.9), for scripts in browsers, which can set no other header:
    /// `new WebSocket(url, ["chat", "session." + token])`. Handlers do not see it among the protocols;
    /// accept another one, as browsers require.
    ///
    /// A token never comes in a URL, which logs and histories keep.
    pub fn web_socket_protocol(name: impl Into<String>) -> Self {
        Self(Kind::WebSocketProtocol(name.into().into()))
    }

    /// A token that is the whole value of the header `name`, such as the assertion of an access proxy.
    ///
    /// # Security
    ///
    /// A proxy that adds the header because of its own cookie adds it to cross-site requests, too. The
    /// guard against them is the cookie's alone: let the proxy refuse them.
    pub fn header(name: impl Into<String>) -> Self {
        Self(Kind::Header(name.into().into()))
    }
}
