//! How a token travels: the header, the cookie, a WebSocket's subprotocol.

mod clearing;
mod credentials;
mod cross_site;
mod no_store;
mod web_sockets;
