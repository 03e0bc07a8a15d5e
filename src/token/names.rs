//! The names that tokens may carry as their issuer or audience: one that is issued, and those that are accepted
//! beside it.

use std::fmt;

/// The name that tokens are issued with, and other names that are accepted.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) first: Box<str>,
    others: Box<[Box<str>]>,
}

impl Names {
    pub(crate) fn new(first: &str, others: &[String]) -> Self {
        Self {
            first: first.into(),
            others: others.iter().map(|other| &**other).map(Box::from).collect(),
        }
    }

    /// Whether any of the other names is one of these. The first name is compared by the caller, for speed.
    #[cold]
    #[inline(never)]
    pub(crate) fn has_other(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.others.iter().any(|other| is_it(other))
    }

    /// All names, the issued one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        [&*self.first].into_iter().chain(self.others.iter().map(|other| &**other))
    }
}

/// As what a name is expected.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.first)?;
        self.others.iter().try_for_each(|other| write!(f, " or {other:?}"))
    }
}
