//! The settings for another issuer's tokens, checked, and the rules that they come to.

use serde_json::Value;

use crate::claims::issuer::{IssuerName, TENANT};
use crate::claims::names::{REFRESH_TOKEN_TYPE, REGISTERED, SESSION_TOKEN_TYPE};
use crate::claims::read::Dialect;
use crate::error::build::BuildError;
use crate::keyring::ring::KeyRing;
use crate::token::header_rules::{HeaderRules, TokenType, subtype};
use crate::token::names::{Issuers, Names};
use crate::token::other_rules::{OtherRules, RequiredClaim};
use crate::token::policy::Policy;
use crate::token::tenants::Tenants;

/// The settings for another issuer's tokens.
#[derive(Debug, Default)]
pub(crate) struct ExternalTokens {
    pub(crate) token_type: Option<String>,
    pub(crate) without_token_type: bool,
    pub(crate) without_key_id: bool,
    pub(crate) ignores_embedded_keys: bool,
    pub(crate) audience_claim: Option<String>,
    pub(crate) subject_claim: Option<String>,
    pub(crate) required: Vec<RequiredClaim>,
    pub(crate) tenants: Option<Tenants>,
    pub(crate) without_token_id: bool,
    pub(crate) without_issued_at: bool,
    pub(crate) requires_auth_time: bool,
    pub(crate) trusts_revocation_version: bool,
    pub(crate) takes_session_id: bool,
    pub(crate) revokes_by_issued_at: bool,
    pub(crate) ready_without_keys: bool,
}

impl ExternalTokens {
    /// The rules for the tokens of these keys, for which the settings are checked.
    pub(crate) fn policy(
        &self,
        keys: &KeyRing,
        issuers: Issuers,
        audiences: Names,
        roles: Box<[Box<str>]>,
        max_token_bytes: usize,
        has_revocations: bool,
    ) -> Result<Policy, BuildError> {
        let token_type = self.check(keys, &issuers)?;
        let others = (!keys.issues()).then(|| Box::new(self.rules()));
        let has_own_session_ids =
            self.trusts_revocation_version || !Self::are_others(keys, &token_type);
        let extra = others.as_ref().map(|others| others.names()).unwrap_or_default();
        Ok(Policy {
            extra: extra.into_iter().chain(roles.first().cloned()).collect(),
            others,
            roles,
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
            takes_session_id: self.takes_session_id || has_own_session_ids,
            has_own_session_ids,
            requires_auth_time: self.requires_auth_time,
            is_revocable: has_revocations,
            header: HeaderRules {
                token_type,
                without_key_id: self.without_key_id,
                ignores_embedded_keys: self.ignores_embedded_keys,
            },
        })
    }

    fn rules(&self) -> OtherRules {
        let claim = |name: &Option<String>| name.as_deref().map(Box::from);
        OtherRules {
            tenants: self.tenants.clone(),
            audience_claim: claim(&self.audience_claim),
            subject_claim: claim(&self.subject_claim),
            required: self.required.clone(),
        }
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
    fn check(&self, keys: &KeyRing, issuers: &Issuers) -> Result<TokenType, BuildError> {
        let issuer = &*issuers.first;
        if let Some(followed) = keys.followed_issuer().filter(|followed| *followed != issuer) {
            // Sessions may be of one tenant of the ring's issuer.
            if !IssuerName::new(followed).accepts(issuer) {
                let help = format!("the key ring follows the issuer {followed:?}: use that one");
                return Err(BuildError::invalid("issuer", format_args!("{issuer:?}"), help));
            }
        }
        let settings = [
            ("accept_token_type", self.token_type.is_some()),
            ("accept_without_token_type", self.without_token_type),
            ("accept_without_token_id", self.without_token_id),
            ("accept_without_key_id", self.without_key_id),
            ("dangerous_accept_without_issued_at", self.without_issued_at),
            ("trust_revocation_version", self.trusts_revocation_version),
            ("accept_issuer_session_id", self.takes_session_id),
            ("dangerous_revoke_by_issued_at", self.revokes_by_issued_at),
            ("ignore_embedded_keys", self.ignores_embedded_keys),
            ("audience_claim", self.audience_claim.is_some()),
            ("subject_claim", self.subject_claim.is_some()),
            ("require_claim", !self.required.is_empty()),
            ("tenants", self.tenants.is_some()),
        ];
        let set = settings.into_iter().find(|(_, set)| *set);
        if let Some((field, _)) = set.filter(|_| keys.issues()) {
            let help = match keys.issues_by_given_key() {
                true => {
                    "it applies only to tokens of another issuer, and this ring can sign: give it public keys, or \
                     `Key::verify_only` if these are another issuer's tokens, or else remove it"
                }
                false => "it applies only to tokens of another issuer: remove it",
            };
            return Err(BuildError::invalid(field, "set", help));
        }
        let is_followed = keys.followed_issuer().is_some();
        if self.ready_without_keys && keys.issues() {
            let help = "it applies only to a ring that follows another issuer: remove it";
            return Err(BuildError::invalid("ready_without_keys", "set", help));
        }
        if self.ready_without_keys && is_followed && !keys.starts_without_keys() {
            let help = "it needs a ring that may open without keys: set `start_without_keys` on the builder \
                        of the ring, or remove it";
            return Err(BuildError::invalid("ready_without_keys", "set", help));
        }
        self.check_tenants(keys, issuers)?;
        self.check_claims()?;
        self.check_type()
    }

    /// A multi-tenant issuer and its tenants belong together.
    fn check_tenants(&self, keys: &KeyRing, issuers: &Issuers) -> Result<(), BuildError> {
        match &self.tenants {
            None if issuers.has_template() => {
                let help = match keys.issues() {
                    true => "no token can be issued with it: give a name without `{tenantid}`",
                    false => {
                        "say whose tokens are accepted, with `tenants([..])` or `tenants_where(..)`"
                    }
                };
                Err(BuildError::invalid("issuer", issuers, help))
            }
            Some(_) if !issuers.has_template() => {
                let help = "it applies only to an issuer with `{tenantid}`: remove it";
                Err(BuildError::invalid("tenants", "set", help))
            }
            Some(Tenants::Listed(listed)) => {
                let is_one = |tenant: &str| IssuerName::new(TENANT).tenant(tenant).is_some();
                match listed.iter().find(|tenant| !is_one(tenant)) {
                    Some(tenant) => {
                        let help = "give what the `iss` has in the place of `{tenantid}`";
                        Err(BuildError::invalid("tenants", format_args!("{tenant:?}"), help))
                    }
                    None if listed.is_empty() => {
                        Err(BuildError::invalid("tenants", "empty", "give at least one tenant"))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Checks that a setting names no claim that is checked in any case.
    fn check_claims(&self) -> Result<(), BuildError> {
        let claims =
            [("audience_claim", &self.audience_claim), ("subject_claim", &self.subject_claim)];
        for (field, claim) in claims {
            if let Some(claim) =
                claim.as_deref().filter(|it| it.is_empty() || REGISTERED.contains(it))
            {
                let help =
                    "give a claim that is not a registered one, such as `client_id` or `azp`";
                return Err(BuildError::invalid(field, format_args!("{claim:?}"), help));
            }
        }
        for RequiredClaim { name, values } in &self.required {
            let may_be_present = values.is_empty() && ["nbf", "sid", "scope"].contains(&&**name);
            if name.is_empty() || (REGISTERED.contains(&&**name) && !may_be_present) {
                let help = "give a claim that is not a registered one: those are checked already";
                return Err(BuildError::invalid("require_claim", format_args!("{name:?}"), help));
            }
            if values.iter().any(Value::is_null) {
                let help = "`null` counts as absent: give another value";
                return Err(BuildError::invalid("require_claim", format_args!("{name:?}"), help));
            }
        }
        Ok(())
    }

    fn check_type(&self) -> Result<TokenType, BuildError> {
        let or_none = self.without_token_type;
        let Some(token_type) = &self.token_type else {
            return Ok(match or_none {
                true => TokenType::Other { name: None, or_none },
                false => TokenType::Session,
            });
        };
        let invalid = |help| {
            Err(BuildError::invalid("accept_token_type", format_args!("{token_type:?}"), help))
        };
        match subtype(token_type) {
            SESSION_TOKEN_TYPE if or_none => invalid(
                "tokens of this crate always have a type: remove `accept_without_token_type`",
            ),
            SESSION_TOKEN_TYPE => Ok(TokenType::Session),
            name if name.eq_ignore_ascii_case(REFRESH_TOKEN_TYPE) => invalid(
                "only their issuer accepts refresh tokens: set the type of its access tokens",
            ),
            name if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                invalid("set it to a media type, such as `at+jwt`")
            }
            name => Ok(TokenType::Other { name: Some(name.into()), or_none }),
        }
    }
}
