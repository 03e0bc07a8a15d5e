//! Errors: what a build can get wrong says how to mend it; what a request can get wrong is one
//! opaque [`Rejection`] with a [kind](RejectionKind).

pub(crate) mod detail;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::crypto::error::KeyError;
use crate::error::detail::Detail;
use crate::keyring::issuer::fetch::FetchError;
use crate::store::contract::StoreError;

/// Gives an enum the stable text of each of its kinds, and the list of them.
macro_rules! texts {
    ($type:ident { $($kind:pat => $text:literal,)+ }) => {
        impl $type {
            /// Each kind's text, once.
            pub(crate) const TEXTS: &[&str] = &[$($text),+];

            /// A short text that stays the same: the kind, without what it holds. It is the
            /// `outcome` in [metrics](crate::telemetry).
            pub fn as_str(&self) -> &'static str {
                match self {
                    $($kind => $text,)+
                }
            }
        }
    };
}

/// Gives errors a `Debug` that is their `Display`: it is what a `main` prints that returns one, and
/// what `unwrap` and `expect` print.
macro_rules! debug_as_display {
    ($($error:ty),+ $(,)?) => {
        $(
            impl std::fmt::Debug for $error {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    std::fmt::Display::fmt(self, f)
                }
            }
        )+
    };
}
pub(crate) use debug_as_display;

debug_as_display!(BuildError, IssueError);

/// Why a ring or its sessions could not be built: the field, its value and the mend.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting's value can't be used.
    #[error("{field} is {value}: {mend}")]
    Invalid {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// What to do about it.
        mend: String,
    },
    /// Key material was refused.
    #[error("{field}: {source}")]
    Key {
        /// The setting.
        field: &'static str,
        /// Why.
        source: KeyError,
    },
    /// The store could not be opened or read, or a first key could not be written.
    #[error("the store of ring {ring:?} failed: {source}")]
    Store {
        /// The ring's name.
        ring: String,
        /// What failed.
        source: StoreError,
    },
    /// The store holds keys of which none can be used; a fresh key would log everyone out.
    #[error("the store of ring {ring:?} holds entries, but no usable key: {reason}")]
    Unreadable {
        /// The ring's name.
        ring: String,
        /// What was found.
        reason: String,
    },
    /// The store holds no key of the ring, and this replica must not found it.
    #[error(
        "the store holds no key of ring {ring:?}, and `never_found` is set: check that it is the \
         right store and the right name; or start one replica without `never_found`, which founds \
         the ring"
    )]
    NoRing {
        /// The ring's name.
        ring: String,
    },
    /// The first keys of an issuer that is to be followed could not be fetched.
    #[error("the keys of {issuer} could not be fetched: {source}")]
    Fetch {
        /// The issuer.
        issuer: String,
        /// From where, and the cause.
        source: FetchError,
    },
}

impl BuildError {
    pub(crate) fn invalid(
        field: &'static str,
        value: impl fmt::Display,
        mend: impl fmt::Display,
    ) -> Self {
        Self::Invalid { field, value: value.to_string(), mend: mend.to_string() }
    }
}

/// Why a session could not be issued.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// No key may sign now: the ring holds none whose time it is, or only public ones.
    #[error("no key of the ring may sign now")]
    NoSigningKey,
    /// The application's claims can't be written as members of the token's payload.
    #[error("the claims can't be written: {0}")]
    Claims(#[from] serde_json::Error),
    /// The subject is empty (RFC 7519, section 4.1.2).
    #[error("the subject is empty")]
    EmptySubject,
    /// The session has reached its absolute lifetime.
    #[error("the session has reached its absolute lifetime")]
    LifetimeReached,
    /// The session's token has no `auth_time`, from which its absolute lifetime is counted.
    #[error("the session's token has no `auth_time`, so it cannot be issued again: log in anew")]
    NoLoginTime,
    /// The session was ended, or has to be taken for it.
    #[error("the session can't be renewed: {0}")]
    Ended(Rejection),
    /// The clock shows a time that no token can carry: before 1970 or after 9999.
    #[error(
        "the clock shows {seconds} seconds since 1970, expected 0 to 253402300799 (the end of the \
         year 9999): set the clock of this machine"
    )]
    ClockOutOfRange {
        /// The seconds since 1970-01-01T00:00:00Z.
        seconds: i64,
    },
    /// The token is longer than what validation accepts, or a later one of its session may be.
    #[error(
        "a token of {bytes} bytes, the room for later tokens of its session included, is longer \
         than max_token_bytes ({limit}): put less into the claims"
    )]
    TokenTooLong {
        /// The token's length, with what later tokens of the session may have more.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The cookie's name and value are longer than what browsers must accept (RFC 6265, section
    /// 6.1), or those of a later token of the session may be.
    #[error(
        "a cookie of {bytes} bytes, the room for later tokens of its session included, is longer \
         than {limit}: put less into the claims"
    )]
    CookieTooLong {
        /// The length of name and value, with what later tokens of the session may have more.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The sessions have no cookie transport, or none for bearer tokens.
    #[error("the sessions have no {0} transport: add it to their builder")]
    NoTransport(&'static str),
    /// The sessions have no refresh tokens.
    #[error("the sessions have no refresh tokens: add `.refresh_tokens(..)` to their builder")]
    NoRefreshTokens,
    /// The operating system's random generator failed.
    #[error("the operating system's random generator failed")]
    RandomGenerator,
}

texts!(IssueError {
    IssueError::NoSigningKey => "no_signing_key",
    IssueError::Claims(_) => "claims",
    IssueError::EmptySubject => "empty_subject",
    IssueError::LifetimeReached => "lifetime_reached",
    IssueError::NoLoginTime => "no_login_time",
    IssueError::ClockOutOfRange { .. } => "clock_out_of_range",
    IssueError::TokenTooLong { .. } => "token_too_long",
    IssueError::CookieTooLong { .. } => "cookie_too_long",
    IssueError::NoTransport(_) => "no_transport",
    IssueError::NoRefreshTokens => "no_refresh_tokens",
    IssueError::RandomGenerator => "random_generator",
    IssueError::Ended(_) => "ended",
});

impl IssueError {
    /// Whether it passes by itself: 503 rather than 500.
    pub fn is_temporary(&self) -> bool {
        // Another replica's clock may be right.
        matches!(self, Self::NoSigningKey | Self::RandomGenerator | Self::ClockOutOfRange { .. })
    }
}

/// Why a request was refused, or why it is anonymous.
///
/// Clients see one generic answer for every reason; the kind, what was found and what was expected go
/// to the response's extensions and to `tracing`, at debug.
///
/// # Security
///
/// What was found may be what a sender wrote, such as a key's ID or an issuer: it is bounded and
/// escaped for logs. It never is a token, a signature or a secret. Show it to no client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    kind: RejectionKind,
    detail: Option<Arc<Detail>>,
}

/// The kinds of [`Rejection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// There is no credential.
    Missing,
    /// There is more than one credential, or it came in two places (RFC 6750, section 2).
    Ambiguous,
    /// It is no token: not three canonical base64url segments of JSON objects, or a header with
    /// what this crate does not take (`crit`, `b64`, `enc`, `zip`, a key).
    Malformed,
    /// The token is longer than the limit.
    TooLong,
    /// No key of the ring has the token's key ID.
    UnknownKey,
    /// The header names another algorithm than the key's.
    WrongAlgorithm,
    /// The header names another type than a session token's.
    WrongType,
    /// The signature is not the key's.
    BadSignature,
    /// A required claim is not there.
    MissingClaim(&'static str),
    /// A registered claim has a wrong type or an impossible value.
    InvalidClaim(&'static str),
    /// The application's own claims don't fit its type.
    InvalidApplicationClaims,
    /// The issuer is another.
    WrongIssuer,
    /// The audience does not contain this service.
    WrongAudience,
    /// The token has expired.
    Expired,
    /// The token is not valid yet (`nbf`).
    NotYetValid,
    /// The token was issued in the future.
    IssuedInFuture,
    /// The token's lifetime is longer than any that the issuer gives.
    LifetimeTooLong,
    /// The session is valid, and may not do this.
    Forbidden,
    /// The session is valid, and lacks a scope (RFC 6750, section 3.1).
    InsufficientScope,
    /// The session is valid, but its login was too long ago for this (RFC 9470, section 3).
    InsufficientUserAuthentication {
        /// How long ago it may have been.
        max_age: Duration,
    },
    /// The session was ended before its time.
    Revoked,
    /// The session is valid as far as is known; but whether it was ended can't be told, since the
    /// store of what was ended has not been read for too long. It is answered 503.
    StaleRevocations {
        /// After how long it may be worth another try.
        retry_after: Duration,
    },
    /// A refresh token came again when its successor was in use, or long after it was redeemed.
    Reused,
    /// The request comes from another site, and could carry a cookie.
    CrossSite,
}

texts!(RejectionKind {
    RejectionKind::Missing => "missing",
    RejectionKind::Ambiguous => "ambiguous",
    RejectionKind::Malformed => "malformed",
    RejectionKind::TooLong => "too_long",
    RejectionKind::UnknownKey => "unknown_key",
    RejectionKind::WrongAlgorithm => "wrong_algorithm",
    RejectionKind::WrongType => "wrong_type",
    RejectionKind::BadSignature => "bad_signature",
    RejectionKind::MissingClaim(_) => "missing_claim",
    RejectionKind::InvalidClaim(_) => "invalid_claim",
    RejectionKind::InvalidApplicationClaims => "invalid_application_claims",
    RejectionKind::WrongIssuer => "wrong_issuer",
    RejectionKind::WrongAudience => "wrong_audience",
    RejectionKind::Expired => "expired",
    RejectionKind::NotYetValid => "not_yet_valid",
    RejectionKind::IssuedInFuture => "issued_in_future",
    RejectionKind::LifetimeTooLong => "lifetime_too_long",
    RejectionKind::Revoked => "revoked",
    RejectionKind::StaleRevocations { .. } => "stale_revocations",
    RejectionKind::Forbidden => "forbidden",
    RejectionKind::InsufficientScope => "insufficient_scope",
    RejectionKind::InsufficientUserAuthentication { .. } => "insufficient_user_authentication",
    RejectionKind::Reused => "reused",
    RejectionKind::CrossSite => "cross_site",
});

impl Rejection {
    /// The kind.
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// What it is about: `token`, `header`, `header kid` or another member of the header, `signature`,
    /// `payload`, `application claims`, or a registered claim's name. `None` where the kind says all.
    pub fn about(&self) -> Option<&'static str> {
        self.detail.as_ref().map(|detail| detail.about)
    }

    /// What was found, if there is more to say than the kind.
    pub fn found(&self) -> Option<&str> {
        self.detail.as_ref().map(|detail| &*detail.found)
    }

    /// What was expected, if there is more to say than the kind.
    pub fn expected(&self) -> Option<&str> {
        self.detail.as_ref().map(|detail| &*detail.expected)
    }

    /// Whether there simply was no credential.
    pub fn is_missing(&self) -> bool {
        self.kind == RejectionKind::Missing
    }

    /// Whether a good token has expired.
    pub fn is_expired(&self) -> bool {
        self.kind == RejectionKind::Expired
    }

    /// Whether the service is at fault, and the credential may be good.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, RejectionKind::StaleRevocations { .. })
    }

    /// The status with which it is answered: 400, 401, 403 or 503.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            RejectionKind::Ambiguous => StatusCode::BAD_REQUEST,
            RejectionKind::Forbidden
            | RejectionKind::InsufficientScope
            | RejectionKind::CrossSite => StatusCode::FORBIDDEN,
            RejectionKind::StaleRevocations { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }
}

impl From<RejectionKind> for Rejection {
    fn from(kind: RejectionKind) -> Self {
        Self { kind, detail: None }
    }
}

/// The kind alone, so that an application's own answer shows a client no more than that; the
/// alternate form (`{:#}`) adds what was found and expected, for logs.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match self.detail.as_deref() {
            Some(Detail { about, found, expected }) if f.alternate() => {
                write!(f, ": {about}: found {found}, expected {expected}")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for RejectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RejectionKind::Missing => "no credential",
            RejectionKind::Ambiguous => "more than one credential",
            RejectionKind::Malformed => "malformed token",
            RejectionKind::TooLong => "token too long",
            RejectionKind::UnknownKey => "unknown key",
            RejectionKind::WrongAlgorithm => "not the key's algorithm",
            RejectionKind::WrongType => "not a session token",
            RejectionKind::BadSignature => "bad signature",
            RejectionKind::MissingClaim(name) => return write!(f, "claim {name} is missing"),
            RejectionKind::InvalidClaim(name) => return write!(f, "claim {name} is invalid"),
            RejectionKind::InvalidApplicationClaims => "the application's claims don't fit",
            RejectionKind::WrongIssuer => "another issuer",
            RejectionKind::WrongAudience => "another audience",
            RejectionKind::Expired => "expired",
            RejectionKind::NotYetValid => "not yet valid",
            RejectionKind::IssuedInFuture => "issued in the future",
            RejectionKind::LifetimeTooLong => "lifetime too long",
            RejectionKind::Forbidden => "forbidden",
            RejectionKind::InsufficientScope => "insufficient scope",
            RejectionKind::InsufficientUserAuthentication { .. } => "the login was too long ago",
            RejectionKind::Revoked => "ended before its time",
            RejectionKind::StaleRevocations { .. } => "what was ended is not known",
            RejectionKind::Reused => "a refresh token was used again",
            RejectionKind::CrossSite => "cross-site request",
        })
    }
}

impl std::error::Error for Rejection {}
