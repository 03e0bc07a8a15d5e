//! The names that tokens may carry as their issuer or audience: one that is issued, and those that are accepted
//! beside it.

use std::fmt;

use crate::claims::issuer::IssuerName;

/// The audience that tokens are issued for, and others that are accepted.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) first: Box<str>,
    others: Box<[Box<str>]>,
}

impl Names {
    pub(crate) fn new(first: &str, others: &[String]) -> Self {
        let others = others.iter().map(|other| &**other).map(Box::from);
        Self { first: first.into(), others: others.collect() }
    }

    /// All names, that one first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        [&*self.first].into_iter().chain(self.others.iter().map(|other| &**other))
    }

    /// Whether any of the other names is one of these. The first name is compared by the caller, for speed.
    #[cold]
    #[inline(never)]
    pub(crate) fn has_other(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.others.iter().any(|other| is_it(other))
    }
}

/// As what a name is expected.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().enumerate().try_for_each(|(number, name)| match number {
            0 => write!(f, "{name:?}"),
            _ => write!(f, " or {name:?}"),
        })
    }
}

/// The issuer whose name is issued, and its other names that are accepted.
#[derive(Clone, Debug)]
pub(crate) struct Issuers {
    pub(crate) first: Box<str>,
    /// All, that one too.
    names: Box<[IssuerName]>,
}

impl Issuers {
    pub(crate) fn new(first: &str, others: &[String]) -> Self {
        let names = [first].into_iter().chain(others.iter().map(|other| &**other));
        Self { first: first.into(), names: names.map(IssuerName::new).collect() }
    }

    /// All names, that one first.
    #[cfg(feature = "axum")]
    pub(crate) fn all(&self) -> impl Iterator<Item = String> {
        self.names.iter().map(IssuerName::to_string)
    }

    /// Whether a token with this `iss` is of the issuer. The first name is compared by the caller, for speed.
    #[cold]
    #[inline(never)]
    pub(crate) fn accept(&self, iss: &str) -> bool {
        self.names.iter().any(|name| name.accepts(iss))
    }

    /// Whether that is one of the names, as it was given.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.names.contains(&IssuerName::new(name))
    }

    /// Whether an `iss` is one of the names that are no templates.
    pub(crate) fn is_exact(&self, iss: &str) -> bool {
        self.names.iter().any(|name| !name.is_template() && name.accepts(iss))
    }

    /// The tenant in an `iss`; `None` if it is one of the names, or of no template.
    pub(crate) fn tenant<'i>(&self, iss: &'i str) -> Option<&'i str> {
        match self.is_exact(iss) {
            true => None,
            false => self.names.iter().find_map(|name| name.tenant(iss)),
        }
    }

    /// A name of this issuer that an `iss` of the other one may have, too.
    pub(crate) fn shared_with(&self, other: &Self) -> Option<String> {
        let is_shared = |name: &&IssuerName| other.names.iter().any(|it| it.overlaps(name));
        self.names.iter().find(is_shared).map(IssuerName::to_string)
    }

    pub(crate) fn has_template(&self) -> bool {
        self.names.iter().any(IssuerName::is_template)
    }

    /// The names of the issuer of that tenant; without one, the names that are no templates.
    pub(crate) fn of_tenant(&self, tenant: Option<&str>) -> Vec<String> {
        let of = |name: &IssuerName| match tenant {
            Some(tenant) => name.is_template().then(|| name.of_tenant(tenant)),
            None => (!name.is_template()).then(|| name.to_string()),
        };
        self.names.iter().filter_map(of).collect()
    }
}

/// As what an issuer is expected.
impl fmt::Display for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.first)?;
        self.names.iter().skip(1).try_for_each(|other| write!(f, " or \"{other}\""))
    }
}
