//! A [`Session`]: the proof that a request carries a valid token. Only the verifier makes one.

use std::fmt;

use crate::clock::Timestamp;
use crate::token::cache::entry::Shared;
use crate::token::verified::Verified;

/// A verified session, with the application's claims `C`. Cheap to clone; `C` need not be.
///
/// As an axum extractor (feature `axum`) it answers 401 without a valid session;
/// `Option<Session<C>>` reads a request without a credential as anonymous. See
/// [the layers](crate::layer).
#[doc(alias = "principal")]
#[doc(alias = "ticket")]
#[doc(alias = "current user")]
#[doc(alias = "AuthSession")]
pub struct Session<C>(Shared<C>);

impl<C> Session<C> {
    pub(crate) fn new(verified: Shared<C>) -> Self {
        Self(verified)
    }

    /// Returns the subject, usually the user's ID: the `sub` claim.
    pub fn subject(&self) -> &str {
        self.0.texts.subject()
    }

    /// Returns the issuer: the `iss` claim. A subject is unique only together with its issuer, where
    /// [several](crate::SessionsBuilder::also_accept_issuer) are accepted.
    pub fn issuer(&self) -> &str {
        self.0.texts.issuer()
    }

    /// Returns the application's claims.
    pub fn claims(&self) -> &C {
        &self.0.claims
    }

    /// Returns the session's ID, the `sid` claim: the same from login to logout, through every renewal.
    pub fn session_id(&self) -> &str {
        self.0.texts.session_id()
    }

    /// Returns the token's ID, the `jti` claim: different for every token.
    pub fn token_id(&self) -> &str {
        self.0.texts.token_id()
    }

    /// Returns the ID of the key that signed the token.
    pub fn key_id(&self) -> &str {
        self.0.texts.key_id()
    }

    /// Returns when the token was issued: the `iat` claim.
    pub fn issued_at(&self) -> Timestamp {
        self.0.issued_at
    }

    /// Returns when the token expires, without leeway: the `exp` claim.
    #[doc(alias = "expiry")]
    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    /// Returns when the user logged in: the `auth_time` claim. Every token that this crate issues has it.
    ///
    /// `None` if another issuer's token lacks it: `iat` is no substitute, since it is later in every new
    /// token of the same session. See [`require_auth_time`](crate::SessionsBuilder::require_auth_time).
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.0.authenticated_at
    }

    /// Returns when the session of a [persistent login](crate::Login::persistent) ends; `None` for any
    /// other login.
    #[doc(alias = "remember me")]
    pub fn persistent_until(&self) -> Option<Timestamp> {
        self.0.persistent_until
    }

    /// Returns the scopes of the session: the `scope` claim (RFC 8693, section 4.2), or `scp`
    /// of another issuer's token without `scope`.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scope().unwrap_or_default().split(' ').filter(|scope| !scope.is_empty())
    }

    /// Returns the roles of the session: the texts of the
    /// [`roles_claim`](crate::SessionsBuilder::roles_claim). None if that is not set.
    #[doc(alias = "groups")]
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.roles.iter().flatten().map(|role| &**role)
    }

    pub(crate) fn verified(&self) -> &Verified<C> {
        &self.0
    }

    pub(crate) fn scope(&self) -> Option<&str> {
        self.0.texts.scope()
    }
}

impl<C> Clone for Session<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Shows subject and IDs, not the application's claims.
impl<C> fmt::Debug for Session<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("subject", &self.subject())
            .field("session_id", &self.session_id())
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}
