//! A bearer token among a WebSocket's subprotocols (RFC 6455, section 1.9): a browser's script can
//! set no other header of the request that opens one.

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue};

use crate::error::build::BuildError;
use crate::transport::credential::{Found, one};
use crate::transport::grammar::is_token;

/// Finds `name.<token>`, and takes it out.
#[derive(Clone, Debug)]
pub(crate) struct WebSocketProtocol {
    /// The name and a dot.
    prefix: Box<str>,
}

impl WebSocketProtocol {
    pub(crate) fn parse(name: &str) -> Result<Self, BuildError> {
        if !is_token(name) {
            let (name, help) = (format_args!("{name:?}"), "use letters, digits and - _");
            return Err(BuildError::invalid("web_socket_protocol", name, help));
        }
        Ok(Self { prefix: format!("{name}.").into() })
    }

    /// Finds the one token.
    pub(crate) fn read<'r>(&self, headers: &'r HeaderMap) -> Found<'r> {
        one(protocols(headers).filter_map(|protocol| self.token(protocol)))
    }

    /// Takes every token out, so that no handler agrees to it as a protocol and no log shows it.
    pub(crate) fn remove(&self, headers: &mut HeaderMap) {
        let others = protocols(headers).filter(|protocol| self.token(protocol).is_none());
        let others = others.collect::<Vec<_>>().join(&b", "[..]);
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        if let Ok(others) = HeaderValue::from_bytes(&others)
            && !others.is_empty()
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
        }
    }

    fn token<'r>(&self, protocol: &'r [u8]) -> Option<&'r [u8]> {
        protocol.strip_prefix(self.prefix.as_bytes())
    }
}

/// The protocols that are offered, in all header fields.
fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let listed = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
    listed.map(|protocol| protocol.trim_ascii()).filter(|protocol| !protocol.is_empty())
}
