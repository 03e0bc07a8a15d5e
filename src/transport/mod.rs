//! How a token travels: in the `Authorization` header, in a cookie, or to a WebSocket.

pub(crate) mod bearer;
pub(crate) mod caching;
#[cfg_attr(not(feature = "cookie"), path = "no_cookie.rs")]
pub(crate) mod cookie;
#[cfg(feature = "cookie")]
pub(crate) mod cookie_field;
pub(crate) mod cookie_use;
pub(crate) mod credential;
#[cfg(feature = "cookie")]
pub(crate) mod cross_site;
pub(crate) mod grammar;
pub(crate) mod local_path;
pub(crate) mod named_header;
pub(crate) mod navigation;
pub(crate) mod old_cookies;
#[cfg(feature = "cookie")]
pub(crate) mod origin;
#[cfg(feature = "cookie")]
pub(crate) mod origins_seen;
#[expect(clippy::module_inception, reason = "the file of `Transport`")]
pub(crate) mod transport;
pub(crate) mod transports;
pub(crate) mod web_socket;
