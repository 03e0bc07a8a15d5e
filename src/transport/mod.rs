//! How a token travels: in the `Authorization` header, in a cookie, or to a WebSocket.

pub(crate) mod bearer;
pub(crate) mod caching;
#[cfg_attr(not(feature = "cookie"), path = "no_cookie.rs")]
pub(crate) mod cookie;
pub(crate) mod credential;
#[cfg(feature = "cookie")]
pub(crate) mod cross_site;
pub(crate) mod grammar;
pub(crate) mod local_path;
pub(crate) mod named_header;
pub(crate) mod navigation;
#[cfg(feature = "cookie")]
pub(crate) mod origin;
#[expect(clippy::module_inception, reason = "the file of `Transport`")]
pub(crate) mod transport;
pub(crate) mod transports;
pub(crate) mod web_socket;
