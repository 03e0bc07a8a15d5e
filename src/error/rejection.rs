//! [`Rejection`]: why a request, or a token of it, was refused.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::error::detail::{Detail, Finding, shown};

/// Why a request was refused, or why it is anonymous.
///
/// Clients see one generic answer for every reason. The kind, the value found and the value expected go
/// to the response's extensions and, at debug, to `tracing`.
///
/// # Security
///
/// The value found may be chosen by a sender, such as a key's ID or an issuer: it is bounded and escaped
/// for logs. It is never a token, a signature or a secret. Show it to no client.
#[derive(Clone, Debug)]
pub struct Rejection {
    kind: RejectionKind,
    detail: Option<Arc<Detail>>,
    /// The ring of the issuer's sessions that have refused it, where several issuers are accepted.
    ring: Option<Arc<str>>,
}

/// By the reason, whichever ring it is counted for, and whichever session it is of.
impl PartialEq for Rejection {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, self.finding()) == (other.kind, other.finding())
    }
}

impl Eq for Rejection {}

/// The kinds of [`Rejection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "401")]
pub enum RejectionKind {
    /// The request has no credential.
    Missing,
    /// The request has more than one credential (RFC 6750, section 2).
    Ambiguous,
    /// The text is not a token: not three canonical base64url segments of JSON objects, or the header has
    /// a member that this crate refuses (`crit`, `b64`, `enc`, `zip`, a key).
    Malformed,
    /// The token is longer than the limit.
    TooLong,
    /// No key of the ring has the token's key ID.
    UnknownKey,
    /// The header's algorithm is not the key's.
    WrongAlgorithm,
    /// The header's type is not that of a session token.
    WrongType,
    /// The signature is invalid.
    BadSignature,
    /// A required claim is missing.
    MissingClaim(&'static str),
    /// A registered claim has a wrong type or an impossible value.
    InvalidClaim(&'static str),
    /// The application's type cannot be read from the claims.
    InvalidApplicationClaims,
    /// The token is of another issuer.
    WrongIssuer,
    /// The token's audience does not contain this service.
    WrongAudience,
    /// A claim that the application [requires](crate::SessionsBuilder::require_claim) is missing, or has
    /// another value: the token is of another kind, such as an ID token.
    WrongClaim,
    /// The token has expired.
    Expired,
    /// The token is not valid yet (`nbf`).
    NotYetValid,
    /// The token was issued in the future.
    IssuedInFuture,
    /// The token's lifetime is longer than any that the issuer gives.
    LifetimeTooLong,
    /// The session is valid, but not authorized for this.
    Forbidden,
    /// The session is valid, but lacks a scope (RFC 6750, section 3.1).
    InsufficientScope,
    /// The session is valid, but its login was too long ago for this (RFC 9470, section 3).
    InsufficientUserAuthentication {
        /// The maximum age of the login.
        max_age: Duration,
    },
    /// The session was revoked.
    Revoked,
    /// The session may be revoked: this replica has not read the revocations for too long. Answered 503.
    StaleRevocations {
        /// When the client may try again.
        retry_after: Duration,
    },
    /// The issuer's keys could not be fetched for too long, or never, so that the token may be valid.
    /// Answered 503.
    KeysUnavailable,
    /// The claims of the bearer token are to be [reloaded](crate::Sessions::reload_claims): its client gets a
    /// new one for its refresh token.
    StaleClaims,
    /// A refresh token was reused after its successor was redeemed, or long after it was redeemed.
    Reused,
    /// The request comes from another site, and could carry a cookie.
    CrossSite,
}

/// Gives each kind its stable name, which metrics use, and its text for people.
macro_rules! texts {
    ($($kind:pat => $name:literal, $text:literal;)+) => {
        impl RejectionKind {
            /// Each kind's stable name, once.
            pub(crate) const NAMES: &[&str] = &[$($name),+];

            /// Returns the kind as a short, stable text without the kind's values. It is the
            /// `outcome` in [metrics](crate::telemetry).
            pub fn as_str(&self) -> &'static str {
                match self {
                    $($kind => $name,)+
                }
            }

            fn text(&self) -> &'static str {
                match self {
                    $($kind => $text,)+
                }
            }
        }
    };
}

texts! {
    Self::Missing => "missing", "no credential";
    Self::Ambiguous => "ambiguous", "more than one credential";
    Self::Malformed => "malformed", "malformed token";
    Self::TooLong => "too_long", "token too long";
    Self::UnknownKey => "unknown_key", "unknown key";
    Self::WrongAlgorithm => "wrong_algorithm", "wrong algorithm";
    Self::WrongType => "wrong_type", "not a session token";
    Self::BadSignature => "bad_signature", "bad signature";
    Self::MissingClaim(_) => "missing_claim", "claim is missing";
    Self::InvalidClaim(_) => "invalid_claim", "claim is invalid";
    Self::InvalidApplicationClaims => "invalid_application_claims", "invalid application claims";
    Self::WrongIssuer => "wrong_issuer", "wrong issuer";
    Self::WrongAudience => "wrong_audience", "wrong audience";
    Self::WrongClaim => "wrong_claim", "wrong claim";
    Self::Expired => "expired", "expired";
    Self::NotYetValid => "not_yet_valid", "not yet valid";
    Self::IssuedInFuture => "issued_in_future", "issued in the future";
    Self::LifetimeTooLong => "lifetime_too_long", "lifetime too long";
    Self::Revoked => "revoked", "session revoked";
    Self::StaleRevocations { .. } => "stale_revocations", "revocation state is stale";
    Self::KeysUnavailable => "keys_unavailable", "keys of the issuer are unavailable";
    Self::StaleClaims => "stale_claims", "claims are stale";
    Self::Forbidden => "forbidden", "forbidden";
    Self::InsufficientScope => "insufficient_scope", "insufficient scope";
    Self::InsufficientUserAuthentication { .. } =>
        "insufficient_user_authentication", "the login was too long ago";
    Self::Reused => "reused", "refresh token reused";
    Self::CrossSite => "cross_site", "cross-site request";
}

impl Rejection {
    /// The same, of a token or a session of that ring's issuer.
    pub(crate) fn of_ring(self, ring: &Arc<str>) -> Self {
        Self { ring: Some(ring.clone()), ..self }
    }

    pub(crate) fn ring(&self) -> Option<&str> {
        self.ring.as_deref()
    }

    /// A rejection whose kind says it all.
    pub(crate) fn new(kind: RejectionKind) -> Self {
        Self { kind, detail: None, ring: None }
    }

    /// The kind.
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// Returns the part of the token that was refused: `token`, `header`, `header kid` or another member
    /// of the header, `signature`, `payload`, `application claims`, `claims`, `roles`, or a registered claim's name;
    /// `revocations` if they are stale. `None` if the kind says it all.
    pub fn about(&self) -> Option<&'static str> {
        self.finding().map(|finding| finding.about)
    }

    /// Returns the value found, if it adds to the kind.
    pub fn found(&self) -> Option<&str> {
        self.finding().map(|finding| &*finding.found)
    }

    /// Returns the value expected, if it adds to the kind.
    pub fn expected(&self) -> Option<&str> {
        self.finding().map(|finding| &*finding.expected)
    }

    /// Returns the ID of the token's session as [audit events](crate::audit) have it, by which a refusal is
    /// tied to its login and to its revocation; `None` if the signature was not verified, or the token has
    /// none.
    pub fn session_id(&self) -> Option<&str> {
        self.detail.as_ref()?.session_id.as_deref()
    }

    fn finding(&self) -> Option<&Finding> {
        self.detail.as_ref()?.finding.as_ref()
    }

    /// The same, of the token of this session.
    #[cold]
    #[inline(never)]
    pub(crate) fn of_session(self, session_id: String) -> Self {
        let finding = self.finding().cloned();
        let detail = Detail { finding, session_id: Some(session_id.into()) };
        Self { detail: Some(Arc::new(detail)), ..self }
    }

    /// Returns whether the request has no credential.
    pub fn is_missing(&self) -> bool {
        self.kind == RejectionKind::Missing
    }

    /// Returns whether an otherwise valid token has expired.
    pub fn is_expired(&self) -> bool {
        self.kind == RejectionKind::Expired
    }

    /// Returns whether the service is at fault, and the credential may be valid.
    pub fn is_temporary(&self) -> bool {
        self.kind.is_temporary()
    }

    /// Returns the status of the answer: 400, 401, 403 or 503.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            RejectionKind::Ambiguous => StatusCode::BAD_REQUEST,
            RejectionKind::Forbidden
            | RejectionKind::InsufficientScope
            | RejectionKind::CrossSite => StatusCode::FORBIDDEN,
            kind if kind.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }
}

impl RejectionKind {
    /// Whether the service is at fault, and the credential may be valid.
    pub(crate) fn is_temporary(self) -> bool {
        matches!(self, Self::StaleRevocations { .. } | Self::KeysUnavailable)
    }

    /// A rejection of this kind that says what was found and what was expected.
    #[cold]
    #[inline(never)]
    pub(crate) fn about(
        self,
        about: &'static str,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Rejection {
        let finding = Finding { about, found: shown(found), expected: shown(expected) };
        let detail = Detail { finding: Some(finding), session_id: None };
        Rejection { kind: self, detail: Some(Arc::new(detail)), ring: None }
    }
}

/// The kind alone, so that an application's own answer shows a client no more than that; the
/// alternate form (`{:#}`) adds what was found and expected, for logs.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match self.finding() {
            Some(Finding { about, found, expected }) if f.alternate() => {
                write!(f, ": {about}: found {found}, expected {expected}")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for RejectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingClaim(name) => write!(f, "claim {name} is missing"),
            Self::InvalidClaim(name) => write!(f, "claim {name} is invalid"),
            _ => f.write_str(self.text()),
        }
    }
}

impl std::error::Error for Rejection {}
