//! The checks that a token passes, in their order, and the observer that sees each result.

/// The names of the checks of a token, in their order.
pub(crate) const CHECKS: [&str; 20] = [
    "length",
    "parts",
    "header",
    "algorithm",
    "type",
    "key",
    "key times",
    "signature",
    "payload",
    "issuer",
    "audience",
    "identity",
    "required claims",
    "times",
    "lifetime",
    "expiry",
    "issue time",
    "not before",
    "login time",
    "revocation",
];

/// Observes each check that a token passes. Requests have no observer, so that it costs them nothing.
pub(crate) trait Observer {
    /// One of the [`CHECKS`] was passed; `found` makes the text of the value found.
    fn passed(&mut self, check: &'static str, found: impl FnOnce() -> String);

    /// One of the [`CHECKS`] is not made, since no key is at hand.
    fn not_checked(&mut self, _check: &'static str) {}
}

/// The observer of requests.
pub(crate) struct Nobody;

impl Observer for Nobody {
    #[inline(always)]
    fn passed(&mut self, _: &'static str, _: impl FnOnce() -> String) {}
}
