//! The checks that a token passes, in their order, and the observer that sees each result.

/// The checks of a token, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Length,
    Parts,
    Header,
    Algorithm,
    Type,
    Key,
    KeyTimes,
    Signature,
    Payload,
    Issuer,
    Audience,
    Identity,
    Times,
    Lifetime,
    Expiry,
    IssueTime,
    NotBefore,
    LoginTime,
    Revocation,
}

impl Check {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 19] = [
        Self::Length,
        Self::Parts,
        Self::Header,
        Self::Algorithm,
        Self::Type,
        Self::Key,
        Self::KeyTimes,
        Self::Signature,
        Self::Payload,
        Self::Issuer,
        Self::Audience,
        Self::Identity,
        Self::Times,
        Self::Lifetime,
        Self::Expiry,
        Self::IssueTime,
        Self::NotBefore,
        Self::LoginTime,
        Self::Revocation,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Parts => "parts",
            Self::Header => "header",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::Key => "key",
            Self::KeyTimes => "key times",
            Self::Signature => "signature",
            Self::Payload => "payload",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Identity => "identity",
            Self::Times => "times",
            Self::Lifetime => "lifetime",
            Self::Expiry => "expiry",
            Self::IssueTime => "issue time",
            Self::NotBefore => "not before",
            Self::LoginTime => "login time",
            Self::Revocation => "revocation",
        }
    }
}

/// Observes each check that a token passes. Requests have no observer, so that it costs them nothing.
pub(crate) trait Observer {
    /// A check was passed; `found` makes the text of the value found.
    fn passed(&mut self, check: Check, found: impl FnOnce() -> String);
}

/// The observer of requests.
pub(crate) struct Nobody;

impl Observer for Nobody {
    #[inline(always)]
    fn passed(&mut self, _: Check, _: impl FnOnce() -> String) {}
}
