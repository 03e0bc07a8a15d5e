//! The tenants of a multi-tenant issuer whose tokens are accepted.

use std::fmt;
use std::sync::Arc;

/// A list of tenants, or the application's answer.
#[derive(Clone)]
pub(crate) enum Tenants {
    Listed(Arc<[Box<str>]>),
    Where(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl Tenants {
    pub(crate) fn allow(&self, tenant: &str) -> bool {
        match self {
            Self::Listed(listed) => listed.iter().any(|allowed| **allowed == *tenant),
            Self::Where(allows) => allows(tenant),
        }
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(listed) => listed.fmt(f),
            Self::Where(_) => f.write_str("a predicate"),
        }
    }
}

/// As what a tenant is expected.
impl fmt::Display for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(listed) => write!(f, "one of `tenants`: {listed:?}"),
            Self::Where(_) => f.write_str("a tenant that `tenants_where` allows"),
        }
    }
}
