//! [`RefreshTokens`]: their settings, and the pair of tokens that is issued.

use std::fmt;
use std::time::Duration;

use crate::sessions::issued::IssuedToken;

/// Refresh tokens for clients that are no browsers: a short access token, and a long refresh token
/// with which the client gets the next two. Given to
/// [`SessionsBuilder::refresh_tokens`](crate::SessionsBuilder::refresh_tokens).
///
/// 1. A login with [`Login::bearer`](crate::Login::bearer) is then answered with both;
///    [`Sessions::token_router`](crate::Sessions::token_router), or
///    [`Sessions::refresh`](crate::Sessions::refresh), redeems a refresh token for the next two.
/// 2. Neither is ever taken for the other: a refresh token has a `typ` of its own, `refresh+jwt`.
/// 3. A session's refresh tokens are numbered. With a store, each is redeemed once: one that comes
///    again within the [`grace`](Self::grace) gets the same successor, for two tabs, a retry, or two
///    replicas at once. Later, or when its successor was redeemed too, someone has a copy that they
///    should not have: the session is ended, at every replica (RFC 9700, section 4.14.2).
/// 4. However often it is renewed, a session ends with its
///    [`absolute_lifetime`](crate::SessionsBuilder::absolute_lifetime).
#[derive(Clone, Debug)]
#[must_use]
pub struct RefreshTokens {
    pub(crate) access_token_lifetime: Duration,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) grace: Duration,
}

impl RefreshTokens {
    /// With the defaults.
    pub fn new() -> Self {
        Self {
            access_token_lifetime: Duration::from_secs(5 * 60),
            lifetime: None,
            grace: Duration::from_secs(30),
        }
    }

    /// How long an access token is valid; up to a twentieth less, so that clients which logged in
    /// together don't come back together. At least 10 seconds. Default: 5 minutes.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token_lifetime = lifetime;
        self
    }

    /// How long a refresh token is valid, and so how long a client may stay away. At least the
    /// access token's lifetime. Default and upper bound: the ring's
    /// [`max_token_lifetime`](crate::RotationPolicy::max_token_lifetime).
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// How long after it was redeemed a refresh token is answered with the same successor, rather
    /// than taken for stolen. At most half of the access token's lifetime. Default: 30 seconds.
    ///
    /// The time is told by the clock of the replica that redeemed it; so that clocks which differ
    /// end no session, the ring's [`clock_skew`](crate::RotationPolicy::clock_skew) is added.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl Default for RefreshTokens {
    fn default() -> Self {
        Self::new()
    }
}

/// An access token, and the refresh token with which the next two are got.
pub struct IssuedTokens {
    pub(crate) access_token: IssuedToken,
    pub(crate) refresh_token: IssuedToken,
    pub(crate) scope: Option<Box<str>>,
}

impl IssuedTokens {
    /// The session token, for requests.
    pub fn access_token(&self) -> &IssuedToken {
        &self.access_token
    }

    /// The refresh token, for the token endpoint alone.
    pub fn refresh_token(&self) -> &IssuedToken {
        &self.refresh_token
    }

    /// The scopes of both, separated by spaces.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }
}

/// Shows no token.
impl fmt::Debug for IssuedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedTokens")
            .field("access_token", &self.access_token)
            .field("refresh_token", &self.refresh_token)
            .field("scope", &self.scope)
            .finish()
    }
}
