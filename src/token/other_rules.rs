//! The rules for claims of another issuer's tokens that ours need not: tenants, claims in place of others, and
//! claims that have to be there.

use serde_json::Value;

use super::names::Issuers;
use super::tenants::Tenants;
use crate::claims::extra::Extra;
use crate::claims::issuer::IssuerName;
use crate::claims::read::Registered;
use crate::claims::strict::Text;
use crate::claims::values::Scope;
use crate::error::detail::shown;
use crate::error::rejection::{Rejection, RejectionKind};

/// The claims of scopes in tokens of Entra ID, Okta and others.
pub(crate) const SCP: &str = "scp";
/// The claim of the tenant in tokens of Entra ID.
pub(crate) const TID: &str = "tid";

/// The rules for another issuer's tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct OtherRules {
    pub(crate) tenants: Option<Tenants>,
    /// The claim that is checked if there is no `aud`.
    pub(crate) audience_claim: Option<Box<str>>,
    /// The claim that is the subject if there is no `sub`.
    pub(crate) subject_claim: Option<Box<str>>,
    pub(crate) required: Vec<RequiredClaim>,
}

/// A claim that has to be there.
#[derive(Clone, Debug)]
pub(crate) struct RequiredClaim {
    pub(crate) name: Box<str>,
    /// One of these values; any, if there are none.
    pub(crate) values: Vec<Value>,
}

impl OtherRules {
    /// The claims that the rules need beside the registered ones.
    pub(crate) fn names(&self) -> Vec<Box<str>> {
        let claims = [&self.audience_claim, &self.subject_claim].into_iter().flatten().cloned();
        let required = self.required.iter().map(|claim| claim.name.clone());
        let tenant = self.tenants.as_ref().map(|_| TID.into());
        [SCP.into()].into_iter().chain(tenant).chain(claims).chain(required).collect()
    }

    /// Fills in what the token says elsewhere. A registered claim that is there counts.
    pub(crate) fn fill<'de>(&self, claims: &mut Registered<'de>, extra: &Extra<'_, 'de>) {
        if let (None, Some(name)) = (&claims.aud, &self.audience_claim) {
            claims.aud = extra.texts(name);
        }
        // An empty one names nobody: Cloudflare Access writes it for services.
        let has_subject = claims.sub.as_deref().is_some_and(|subject| !subject.is_empty());
        if let Some(name) = self.subject_claim.as_ref().filter(|_| !has_subject) {
            claims.sub = extra.text(name).map(Text);
        }
        if claims.scope.is_none() {
            // Of another shape it is the issuer's own claim, and no scope.
            let scope =
                extra.json(SCP).and_then(|json| serde_json::from_str::<Scope<'_>>(json).ok());
            claims.scope = scope.map(|Scope(text)| text);
        }
    }

    /// Checks that the tenant of a token may be one, and that the key is bound to no other issuer.
    pub(crate) fn check_issuer(
        &self,
        issuers: &Issuers,
        iss: &str,
        key_issuer: Option<&IssuerName>,
        extra: &Extra<'_, '_>,
    ) -> Result<(), Rejection> {
        if self.tenants.is_some() {
            let kind = RejectionKind::WrongIssuer;
            let Some(tenant) = issuers.tenant(iss) else {
                // The template itself is nobody's `iss`.
                return match issuers.is_exact(iss) {
                    true => Ok(()),
                    false => Err(kind.about("iss", format_args!("{iss:?}"), issuers)),
                };
            };
            if let Some(json) = extra.json(TID)
                && extra.text(TID).as_deref() != Some(tenant)
            {
                let expected = format_args!("the tenant of iss, {tenant:?}");
                return Err(kind.about(
                    "iss",
                    format_args!("the claim tid {}", shown(json)),
                    expected,
                ));
            }
        }
        self.check_tenant(issuers, iss)?;
        match key_issuer {
            Some(bound) if !bound.accepts(iss) => {
                let expected = format_args!("the issuer that the key is bound to, \"{bound}\"");
                Err(RejectionKind::WrongIssuer.about("iss", format_args!("{iss:?}"), expected))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the tenant in an `iss` is allowed.
    pub(crate) fn check_tenant(&self, issuers: &Issuers, iss: &str) -> Result<(), Rejection> {
        match self.tenants.as_ref().zip(issuers.tenant(iss)) {
            Some((tenants, tenant)) if !tenants.allow(tenant) => {
                let found = format_args!("the tenant {tenant:?}");
                Err(RejectionKind::WrongIssuer.about("iss", found, tenants))
            }
            _ => Ok(()),
        }
    }

    /// Checks the claims that have to be there.
    pub(crate) fn check_required(
        &self,
        claims: &Registered<'_>,
        extra: &Extra<'_, '_>,
    ) -> Result<(), Rejection> {
        for RequiredClaim { name, values } in &self.required {
            let json = extra.json(name);
            let is_there = json.is_some()
                || match &**name {
                    "nbf" => claims.nbf.is_some(),
                    "sid" => claims.sid.is_some(),
                    "scope" => claims.scope.is_some(),
                    _ => false,
                };
            let value = json.and_then(|json| serde_json::from_str::<Value>(json).ok());
            let is_right = match values.is_empty() {
                true => is_there,
                false => value.is_some_and(|value| values.contains(&value)),
            };
            if !is_right {
                let found = match json {
                    Some(json) => format!("{name} {}", shown(json)),
                    None => format!("no {name}"),
                };
                let expected = match &values[..] {
                    [] => format!("{name} with any value"),
                    [value] => format!("{name} {value}"),
                    values => format!("{name}, one of {}", Value::from(values)),
                };
                return Err(RejectionKind::WrongClaim.about("claims", found, expected));
            }
        }
        Ok(())
    }
}
