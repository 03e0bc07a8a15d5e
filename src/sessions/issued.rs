//! [`IssuedToken`] and [`IssuedTokens`]: what is issued to a client, and [`TokenResponse`]: as its JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

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

impl IssuedTokens {
    /// Returns the members of the token endpoint's answer (RFC 6749, section 5.1), to serialize.
    pub fn response(&self) -> TokenResponse<'_> {
        TokenResponse::new(&self.access_token, Some(&self.refresh_token), self.scope.as_deref())
    }
}

/// The tokens as the members of an answer (RFC 6749, section 5.1): `access_token`, `token_type`, `expires_in`,
/// `refresh_token` and, if there is one, `scope`. Serialize it into the answer to the client alone, with
/// `Cache-Control: no-store`; with `#[serde(flatten)]` beside members of yours. `Debug` shows no token.
#[derive(Clone, Copy, Serialize)]
pub struct TokenResponse<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

impl<'a> TokenResponse<'a> {
    pub(crate) fn new(
        access_token: &'a IssuedToken,
        refresh_token: Option<&'a IssuedToken>,
        scope: Option<&'a str>,
    ) -> Self {
        Self {
            access_token: access_token.as_str(),
            token_type: "Bearer",
            expires_in: access_token.lifetime().as_secs(),
            refresh_token: refresh_token.map(IssuedToken::as_str),
            scope,
        }
    }
}

impl fmt::Debug for TokenResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expires_in, scope, .. } = self;
        let mut shown = f.debug_struct("TokenResponse");
        shown.field("expires_in", expires_in).field("scope", scope).finish_non_exhaustive()
    }
}
