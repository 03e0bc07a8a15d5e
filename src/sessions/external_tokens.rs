//! Settings for another issuer's tokens: their type, and claims that they lack.

use crate::claims::names::{REFRESH_TOKEN_TYPE, SESSION_TOKEN_TYPE};
use crate::claims::read::Dialect;
use crate::error::build::BuildError;
use crate::keyring::ring::KeyRing;
use crate::sessions::builder::SessionsBuilder;
use crate::sessions::handle::SessionClaims;
use crate::token::policy::{TokenType, subtype};

/// The settings for another issuer's tokens.
#[derive(Debug, Default)]
pub(crate) struct ExternalTokens {
    token_type: Option<String>,
    untyped: bool,
    pub(crate) without_token_id: bool,
    pub(crate) without_issued_at: bool,
    pub(crate) requires_auth_time: bool,
    trusts_revocation_version: bool,
    takes_session_id: bool,
    pub(crate) revokes_by_issued_at: bool,
}

impl<C: SessionClaims> SessionsBuilder<C> {
    /// Accepts another issuer's tokens of this type in place of `session+jwt`, for example `at+jwt` for
    /// the access tokens of RFC 9068. Only for sessions that are validated and not issued.
    ///
    /// The type is compared as a media type: without the prefix `application/`, and ignoring case (RFC
    /// 9068, section 4; RFC 7515, section 4.1.9). The default, `session+jwt`, is compared exactly.
    pub fn accept_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.foreign.token_type = Some(token_type.into());
        self
    }

    /// Accepts another issuer's tokens that have no type, or the type `JWT`, in place of
    /// `session+jwt`. Only for sessions that are validated and not issued.
    ///
    /// # Security
    ///
    /// Then any other JWT of that issuer for the same audience is accepted as a session, such as an ID
    /// token in place of an access token (RFC 8725, section 2.8). Configure the issuer to write a type,
    /// or give each kind of token its own audience.
    pub fn dangerous_accept_untyped(mut self) -> Self {
        self.foreign.untyped = true;
        self
    }

    /// Accepts another issuer's tokens without `jti`. Their [ID](crate::Session::token_id) is then a
    /// hash of the signed bytes.
    pub fn accept_without_token_id(mut self) -> Self {
        self.foreign.without_token_id = true;
        self
    }

    /// Accepts another issuer's tokens without `iat`. They count as issued at the earliest possible time:
    /// the ring's longest lifetime before they expire.
    ///
    /// # Security
    ///
    /// The age of such a token is unknown: a token with a longer lifetime than the ring's is not refused
    /// for good, but becomes valid when the ring's longest lifetime is left of it.
    pub fn dangerous_accept_without_issued_at(mut self) -> Self {
        self.foreign.without_issued_at = true;
        self
    }

    /// Reads the claim `rv` of another issuer's tokens as the version of the revocations, as this
    /// crate writes it: for a service that validates the tokens of one that uses this crate, and
    /// shares its [`Revocations`](crate::Revocations). Its `sid` is taken, too. Without this, `rv` is the issuer's own claim,
    /// left to the application's type, and a login right after its subject was ended is refused
    /// until the clocks' difference is over.
    pub fn trust_revocation_version(mut self) -> Self {
        self.foreign.trusts_revocation_version = true;
        self
    }

    /// Refuses tokens without `auth_time` (OpenID Connect Core, section 2). Every token that is
    /// issued here has it; another issuer may have to be configured to write it.
    ///
    /// Without this, such a token is accepted, its
    /// [`authenticated_at`](crate::Session::authenticated_at) is `None`, and
    /// [`max_auth_age`](crate::layer::ValidateLayer::max_auth_age) refuses it.
    pub fn require_auth_time(mut self) -> Self {
        self.foreign.requires_auth_time = true;
        self
    }
}

impl<C: SessionClaims> SessionsBuilder<C> {
    /// Uses the `sid` of another issuer's tokens as the [session's ID](crate::Session::session_id),
    /// as OpenID Connect Front-Channel and Back-Channel Logout define it. Default: it is ignored, and
    /// each token is a session of its own, so that [`logout`](crate::Sessions::logout) refuses that token
    /// alone.
    pub fn accept_issuer_session_id(mut self) -> Self {
        self.foreign.takes_session_id = true;
        self
    }

    /// Revokes the sessions of a subject by `iat` where another issuer's tokens lack `auth_time`.
    ///
    /// # Security
    ///
    /// A revoked session comes back as soon as the issuer refreshes its token, which has a later
    /// `iat`: [`revoke_subject`](crate::Sessions::revoke_subject) then holds only until the next refresh.
    /// Prefer [`require_auth_time`](Self::require_auth_time), or have the issuer revoke its sessions.
    pub fn dangerous_revoke_by_issued_at(mut self) -> Self {
        self.foreign.revokes_by_issued_at = true;
        self
    }
}

impl ExternalTokens {
    /// The dialect in which the claims of these keys' tokens are read.
    pub(crate) fn dialect(&self, keys: &KeyRing) -> Dialect {
        match keys.issues() {
            true => Dialect::Own,
            false => Dialect::Other { rv: self.trusts_revocation_version },
        }
    }

    /// Whether the tokens are of an issuer that need not know this crate.
    fn are_others(keys: &KeyRing, token_type: &TokenType) -> bool {
        keys.followed_issuer().is_some() || *token_type != TokenType::Session
    }

    /// Whether `sid` is the session's ID.
    pub(crate) fn takes_session_id(&self, keys: &KeyRing, token_type: &TokenType) -> bool {
        let is_asked_for = self.takes_session_id || self.trusts_revocation_version;
        is_asked_for || !Self::are_others(keys, token_type)
    }

    /// Checks that a revocation holds: without a login time it would be undone by the issuer's next
    /// refresh.
    pub(crate) fn check_revocations(
        &self,
        keys: &KeyRing,
        token_type: &TokenType,
    ) -> Result<(), BuildError> {
        // An issuer that uses this crate writes `auth_time` into every token.
        let is_known =
            self.requires_auth_time || self.trusts_revocation_version || self.revokes_by_issued_at;
        if is_known || !Self::are_others(keys, token_type) {
            return Ok(());
        }
        let help = "another issuer's tokens may lack `auth_time`, and its next refresh would undo the \
                    revocation of a subject: add `.require_auth_time()`, or accept that with \
                    `.dangerous_revoke_by_issued_at()`";
        Err(BuildError::invalid("revocations", "set without a login time", help))
    }

    /// Checks these settings, and that the issuer is the one whose keys these are; the type that
    /// tokens must have.
    pub(crate) fn check(&self, keys: &KeyRing, issuer: &str) -> Result<TokenType, BuildError> {
        if let Some(followed) = keys.followed_issuer().filter(|followed| *followed != issuer) {
            let help = format!("the key ring follows the issuer {followed:?}: use that one");
            return Err(BuildError::invalid("issuer", format_args!("{issuer:?}"), help));
        }
        let settings = [
            ("accept_token_type", self.token_type.is_some()),
            ("dangerous_accept_untyped", self.untyped),
            ("accept_without_token_id", self.without_token_id),
            ("dangerous_accept_without_issued_at", self.without_issued_at),
            ("trust_revocation_version", self.trusts_revocation_version),
            ("accept_issuer_session_id", self.takes_session_id),
            ("dangerous_revoke_by_issued_at", self.revokes_by_issued_at),
        ];
        let set = settings.into_iter().find(|(_, set)| *set);
        if let Some((field, _)) = set.filter(|_| keys.issues()) {
            let help = "it applies only to tokens of another issuer: remove it";
            return Err(BuildError::invalid(field, "set", help));
        }
        let Some(token_type) = &self.token_type else {
            return Ok(if self.untyped { TokenType::Untyped } else { TokenType::Session });
        };
        let value = || format!("{token_type:?}");
        if self.untyped {
            let help = "accept tokens of this type or untyped ones, not both";
            return Err(BuildError::invalid("accept_token_type", value(), help));
        }
        match subtype(token_type) {
            SESSION_TOKEN_TYPE => Ok(TokenType::Session),
            name if name.eq_ignore_ascii_case(REFRESH_TOKEN_TYPE) => {
                let help =
                    "only their issuer accepts refresh tokens: set the type of its access tokens";
                Err(BuildError::invalid("accept_token_type", value(), help))
            }
            name if name.eq_ignore_ascii_case("JWT") => {
                let help = "every kind of token may have that type: see `dangerous_accept_untyped`";
                Err(BuildError::invalid("accept_token_type", value(), help))
            }
            name if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                let help = "set it to a media type, such as `at+jwt`";
                Err(BuildError::invalid("accept_token_type", value(), help))
            }
            name => Ok(TokenType::Named(name.into())),
        }
    }
}
