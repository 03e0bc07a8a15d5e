//! The cookies of former settings in a request, which the response replaces.

use smallvec::SmallVec;

/// Those of a request.
pub(crate) struct OldCookies {
    /// Their places in the list of the settings.
    #[cfg_attr(not(feature = "cookie"), expect(dead_code, reason = "there is no cookie"))]
    pub(crate) present: SmallVec<[usize; 1]>,
    /// The token of the first one, if the cookie itself is absent.
    pub(crate) token: Option<Box<str>>,
}
