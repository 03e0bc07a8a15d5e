//! The names and types of registered claims and tokens.

/// The `typ` of a session token (RFC 8725, section 3.11: explicit typing).
pub(crate) const SESSION_TOKEN_TYPE: &str = "session+jwt";

/// The `typ` of a refresh token, so that neither is ever taken for the other.
pub(crate) const REFRESH_TOKEN_TYPE: &str = "refresh+jwt";

/// How many characters the IDs of sessions and tokens have that are made here: 128 random bits.
pub(crate) const ID_LENGTH: usize = 22;

/// The claims that are the crate's to read and write; an application's claims can't have their
/// names. RFC 7519, section 4.1; `auth_time` and `sid` of OpenID Connect; `scope` of RFC 8693,
/// section 4.2; `rv` and `rg`, the versions of the subject's cutoff and of everyone's under which the
/// login was made; `rc`, that of the subject's stale claims after which the token's claims were read; `pu`,
/// until when a persistent login's session lasts; `seq`, which of a session's refresh tokens it is.
pub(crate) const REGISTERED: [&str; 15] = [
    "iss",
    "sub",
    "aud",
    "iat",
    "nbf",
    "exp",
    "jti",
    "sid",
    "auth_time",
    "scope",
    "rv",
    "rg",
    "rc",
    "pu",
    "seq",
];
