//! [`IssuedToken`] and [`IssuedTokens`]: what is issued to a client.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::token::encode::Compact;

/// An issued token. `Debug` does not show it; it is wiped when dropped.
pub struct IssuedToken {
    pub(crate) token: Compact,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// The number of characters by which later tokens of the session may be longer.
    pub(crate) room: usize,
    /// Whether its cookie outlives the browser's session.
    pub(crate) is_persistent: bool,
}

impl IssuedToken {
    /// Returns the compact token.
    pub fn as_str(&self) -> &str {
        &self.token
    }

    /// Returns when it expires.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Returns its lifetime, in whole seconds.
    pub fn lifetime(&self) -> Duration {
        self.expires_at - self.issued_at
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// An access token, and the refresh token with which the next two are got. `Debug` shows neither.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedTokens {
    /// The session token, for requests.
    pub access_token: IssuedToken,
    /// The refresh token, for the token endpoint alone.
    pub refresh_token: IssuedToken,
    /// The scopes of both, separated by spaces.
    pub scope: Option<Box<str>>,
}
