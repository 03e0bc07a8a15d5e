//! How a token travels: the header, the cookie, a WebSocket's subprotocol.

mod callbacks;
mod clearing;
mod cookie_kinds;
mod credentials;
mod cross_site;
mod no_store;
mod old_cookies;
mod web_sockets;
