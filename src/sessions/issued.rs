//! [`IssuedToken`]: a token for the client.

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
