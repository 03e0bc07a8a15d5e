//! Settings for another issuer's tokens: their type, and claims that they lack.

use crate::claims::names::{REFRESH_TOKEN_TYPE, SESSION_TOKEN_TYPE};
use crate::claims::read::Dialect;
use crate::error::build::BuildError;
use crate::keyring::ring::KeyRing;
use crate::token::names::Names;
use crate::token::policy::{Policy, TokenType, subtype};

/// The settings for another issuer's tokens.
#[derive(Debug, Default)]
pub(crate) struct ExternalTokens {
    pub(crate) token_type: Option<String>,
    pub(crate) untyped: bool,
    pub(crate) without_token_id: bool,
    pub(crate) without_issued_at: bool,
    pub(crate) requires_auth_time: bool,
    pub(crate) trusts_revocation_version: bool,
    pub(crate) takes_session_id: bool,
    pub(crate) revokes_by_issued_at: bool,
}

impl ExternalTokens {
    /// The rules for the tokens of these keys, for which the settings are checked.
    pub(crate) fn policy(
        &self,
        keys: &KeyRing,
        issuers: Names,
        audiences: Names,
        max_token_bytes: usize,
        has_revocations: bool,
    ) -> Result<Policy, BuildError> {
        let token_type = self.check(keys, &issuers.first)?;
        Ok(Policy {
            issuers,
            audiences,
            dialect: match keys.issues() {
                true => Dialect::Own,
                false => Dialect::Other { versions: self.trusts_revocation_version },
            },
            leeway: keys.policy().clock_skew,
            max_lifetime: keys.policy().max_token_lifetime,
            max_token_bytes,
            without_token_id: self.without_token_id,
            without_issued_at: self.without_issued_at,
            takes_session_id: self.takes_session_id
                || self.trusts_revocation_version
                || !Self::are_others(keys, &token_type),
            requires_auth_time: self.requires_auth_time,
            is_revocable: has_revocations,
            token_type,
        })
    }

    /// Whether the tokens are of an issuer that need not know this crate.
    fn are_others(keys: &KeyRing, token_type: &TokenType) -> bool {
        keys.followed_issuer().is_some() || *token_type != TokenType::Session
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
    fn check(&self, keys: &KeyRing, issuer: &str) -> Result<TokenType, BuildError> {
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
