//! How a token travels: in the `Authorization` header, in a cookie, or to a WebSocket.

pub(crate) mod bearer;
pub(crate) mod caching;
#[cfg_attr(not(feature = "cookie"), path = "no_cookie.rs")]
pub(crate) mod cookie;
#[cfg(feature = "cookie")]
pub(crate) mod cross_site;
#[cfg(feature = "cookie")]
pub(crate) mod origin;
pub(crate) mod transports;
pub(crate) mod web_socket;
