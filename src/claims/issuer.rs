//! The name of an issuer, of which a part may be the tenant: `https://login.example/{tenantid}/v2.0`.

use std::fmt;

/// An issuer's name: one, or one for each tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IssuerName {
    Exact(Box<str>),
    Template { prefix: Box<str>, suffix: Box<str> },
}

/// The part of a template that a tenant takes the place of, as Entra ID writes it.
pub(crate) const TENANT: &str = "{tenantid}";

impl IssuerName {
    /// Reads a name: a template, if it has a place for the tenant.
    pub(crate) fn new(name: &str) -> Self {
        match name.split_once(TENANT) {
            Some((prefix, suffix)) => {
                Self::Template { prefix: prefix.into(), suffix: suffix.into() }
            }
            None => Self::Exact(name.into()),
        }
    }

    pub(crate) fn is_template(&self) -> bool {
        matches!(self, Self::Template { .. })
    }

    /// Whether a token with this `iss` is of an issuer of this name, whatever its tenant.
    pub(crate) fn accepts(&self, iss: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *iss,
            Self::Template { .. } => self.tenant(iss).is_some(),
        }
    }

    /// The tenant in an `iss`, if that is this template with a tenant in its place.
    ///
    /// SECURITY: it is one segment of a path, so that no tenant's name can be that of another URL.
    pub(crate) fn tenant<'i>(&self, iss: &'i str) -> Option<&'i str> {
        let Self::Template { prefix, suffix } = self else { return None };
        let tenant = iss.strip_prefix(&**prefix)?.strip_suffix(&**suffix)?;
        let is_tenant = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        (!tenant.is_empty() && tenant.bytes().all(is_tenant)).then_some(tenant)
    }

    /// Whether one `iss` may be of both names. Two templates may be said to overlap that no tenant has in
    /// common.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(name), other) | (other, Self::Exact(name)) => other.accepts(name),
            (
                Self::Template { prefix, suffix },
                Self::Template { prefix: other_prefix, suffix: other_suffix },
            ) => {
                let begins =
                    prefix.starts_with(&**other_prefix) || other_prefix.starts_with(&**prefix);
                let ends = suffix.ends_with(&**other_suffix) || other_suffix.ends_with(&**suffix);
                begins && ends
            }
        }
    }

    /// The name of a tenant's issuer.
    pub(crate) fn of_tenant(&self, tenant: &str) -> String {
        match self {
            Self::Exact(name) => (**name).to_owned(),
            Self::Template { prefix, suffix } => format!("{prefix}{tenant}{suffix}"),
        }
    }
}

/// As it was given.
impl fmt::Display for IssuerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Template { prefix, suffix } => write!(f, "{prefix}{TENANT}{suffix}"),
        }
    }
}
