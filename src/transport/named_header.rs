//! A token as the whole value of a named header, such as an access proxy's.

use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE};
use http::{HeaderMap, HeaderName};

use crate::error::build::BuildError;
use crate::transport::credential::{Found, one};

/// Finds the token in one header field.
#[derive(Clone, Debug)]
pub(crate) struct NamedHeader(HeaderName);

impl NamedHeader {
    pub(crate) fn parse(name: &str) -> Result<Self, BuildError> {
        let invalid =
            |help| Err(BuildError::invalid("header transport", format_args!("{name:?}"), help));
        match HeaderName::try_from(name) {
            Err(_) => invalid("use the name of a header field"),
            Ok(name)
                if [AUTHORIZATION, COOKIE, SET_COOKIE, SEC_WEBSOCKET_PROTOCOL].contains(&name) =>
            {
                invalid("use the transport of that header")
            }
            Ok(name) => Ok(Self(name)),
        }
    }

    /// Finds the one token. A field that comes twice is ambiguous.
    pub(crate) fn read<'r>(&self, headers: &'r HeaderMap) -> Found<'r> {
        Ok(one(headers.get_all(&self.0))?.map(|value| value.as_bytes().trim_ascii()))
    }

    pub(crate) fn name(&self) -> &str {
        self.0.as_str()
    }
}
