//! [`OperationError`]: why an operation on sessions, keys or revocations failed.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use crate::error::macros::debug_as_display;
use crate::error::rejection::{Rejection, RejectionKind};

/// Why an operation on [`Sessions`](crate::Sessions), a [`KeyRing`](crate::KeyRing) or
/// [`Revocations`](crate::Revocations) failed.
///
/// `Debug` shows the same text as `Display`, so that a `main` that returns the error prints it.
#[derive(Clone)]
pub struct OperationError {
    kind: OperationErrorKind,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// The kinds of [`OperationError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationErrorKind {
    /// No key of the ring may sign now, or the ring holds only public keys.
    NoSigningKey,
    /// The application's claims cannot be written as members of the token's payload.
    InvalidClaims,
    /// The subject is empty (RFC 7519, section 4.1.2).
    EmptySubject,
    /// The session has reached its absolute lifetime.
    LifetimeReached,
    /// The session's token has no `auth_time`, from which its absolute lifetime is counted.
    NoLoginTime,
    /// The session or the refresh token was refused; the source is a [`Rejection`].
    Rejected,
    /// The clock shows a time that no token can carry: before 1970 or after 9999.
    ClockOutOfRange {
        /// The clock's time in seconds since 1970-01-01T00:00:00Z.
        seconds: i64,
    },
    /// The token is longer than validation accepts, or a later token of its session may be.
    TokenTooLong {
        /// The longest that a token of this session may become, in bytes.
        bytes: usize,
        /// The setting `max_token_bytes`.
        limit: usize,
    },
    /// The cookie's name and value are longer than browsers must accept (RFC 6265, section 6.1), or
    /// those of a later token of the session may be.
    CookieTooLong {
        /// The longest that name and value may become, in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The sessions have no transport of this name.
    NoTransport(&'static str),
    /// The sessions have no refresh tokens.
    NoRefreshTokens,
    /// The sessions have no revocations.
    NoRevocations,
    /// The operating system's random generator failed.
    RandomGenerator,
    /// The store could not be read or written; the source is a
    /// [`StoreError`](crate::store::StoreError).
    Store,
    /// The ring's keys could not be read from their source: an issuer or a directory.
    KeySource,
    /// A key could not be made or used; the source is a [`KeyError`](crate::KeyError).
    InvalidKey,
    /// The ring holds no key of this ID.
    UnknownKey,
    /// The ring is not ready for this operation.
    KeyRingNotReady,
    /// No successor of the signing key could be made, so that nothing was retired.
    NoSuccessor,
    /// The keys of this ring are not rotated in a store.
    NotRotated,
}

impl OperationError {
    /// Returns the kind.
    pub fn kind(&self) -> OperationErrorKind {
        self.kind
    }

    /// Returns whether no key may sign now. Validation is not affected.
    pub fn is_no_signing_key(&self) -> bool {
        self.kind == OperationErrorKind::NoSigningKey
    }

    /// Returns whether the store could not be read or written.
    pub fn is_store_unavailable(&self) -> bool {
        self.kind == OperationErrorKind::Store
    }

    /// Returns whether the session was revoked.
    pub fn is_revoked(&self) -> bool {
        self.rejection().is_some_and(|rejection| rejection.kind() == RejectionKind::Revoked)
    }

    /// Returns why the session or the refresh token was refused, if it was.
    pub fn rejection(&self) -> Option<&Rejection> {
        self.source.as_deref()?.downcast_ref()
    }

    /// Returns whether the same call may succeed later, or on another replica, without a change of
    /// the application: 503 rather than 500.
    pub fn is_temporary(&self) -> bool {
        match self.kind {
            OperationErrorKind::NoSigningKey
            | OperationErrorKind::RandomGenerator
            // Another replica's clock may be right.
            | OperationErrorKind::ClockOutOfRange { .. }
            | OperationErrorKind::Store
            | OperationErrorKind::KeySource
            | OperationErrorKind::KeyRingNotReady
            | OperationErrorKind::NoSuccessor => true,
            OperationErrorKind::Rejected => self.rejection().is_some_and(Rejection::is_temporary),
            _ => false,
        }
    }

    /// Returns the status of the answer: that of the [`rejection`](Self::rejection), else 503 or
    /// 500.
    pub fn status(&self) -> StatusCode {
        match self.rejection() {
            Some(rejection) => rejection.status(),
            None if self.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
            None => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl OperationErrorKind {
    /// Returns the kind as a short, stable text without the kind's values. It is the `outcome` in
    /// [metrics](crate::telemetry).
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoSigningKey => "no_signing_key",
            Self::InvalidClaims => "invalid_claims",
            Self::EmptySubject => "empty_subject",
            Self::LifetimeReached => "lifetime_reached",
            Self::NoLoginTime => "no_login_time",
            Self::Rejected => "rejected",
            Self::ClockOutOfRange { .. } => "clock_out_of_range",
            Self::TokenTooLong { .. } => "token_too_long",
            Self::CookieTooLong { .. } => "cookie_too_long",
            Self::NoTransport(_) => "no_transport",
            Self::NoRefreshTokens => "no_refresh_tokens",
            Self::NoRevocations => "no_revocations",
            Self::RandomGenerator => "random_generator",
            Self::Store => "store",
            Self::KeySource => "key_source",
            Self::InvalidKey => "invalid_key",
            Self::UnknownKey => "unknown_key",
            Self::KeyRingNotReady => "not_ready",
            Self::NoSuccessor => "no_successor",
            Self::NotRotated => "not_rotated",
        }
    }

    /// Makes an error of this kind with a source that others share.
    pub(crate) fn with_shared(self, source: Arc<dyn Error + Send + Sync>) -> OperationError {
        OperationError { kind: self, source: Some(source) }
    }

    /// Makes an error of this kind with its source.
    pub(crate) fn with(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> OperationError {
        OperationError { kind: self, source: Some(source.into().into()) }
    }
}

impl From<OperationErrorKind> for OperationError {
    fn from(kind: OperationErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<Rejection> for OperationError {
    fn from(rejection: Rejection) -> Self {
        OperationErrorKind::Rejected.with(rejection)
    }
}

/// With the source: the text goes to logs, where nobody asks for the source.
impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for OperationErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let later = "the room for later tokens of its session included";
        f.write_str(match self {
            Self::NoSigningKey => "no key of the ring may sign now",
            Self::InvalidClaims => "the claims cannot be written",
            Self::EmptySubject => "the subject is empty",
            Self::LifetimeReached => "the session has reached its absolute lifetime",
            Self::NoLoginTime => {
                "the session's token has no `auth_time`, so it cannot be issued again: log in anew"
            }
            Self::Rejected => "the session or the refresh token is refused",
            Self::ClockOutOfRange { seconds } => {
                return write!(
                    f,
                    "the clock shows {seconds} seconds since 1970, expected 0 to 253402300799 (the \
                     end of the year 9999): set the clock of this machine"
                );
            }
            Self::TokenTooLong { bytes, limit } => {
                return write!(
                    f,
                    "a token of {bytes} bytes, {later}, is longer than max_token_bytes ({limit}): \
                     put less into the claims"
                );
            }
            Self::CookieTooLong { bytes, limit } => {
                return write!(
                    f,
                    "a cookie of {bytes} bytes, {later}, is longer than {limit}: put less into the \
                     claims"
                );
            }
            Self::NoTransport(name) => {
                return write!(f, "the sessions have no {name} transport: add it to their builder");
            }
            Self::NoRefreshTokens => {
                "the sessions have no refresh tokens: add `.refresh_tokens(..)` to their builder"
            }
            Self::NoRevocations => {
                "the sessions have no revocations: add `.revocations(..)` to their builder"
            }
            Self::RandomGenerator => "the operating system's random generator failed",
            Self::Store => "the store failed",
            Self::KeySource => "the keys could not be read from their source",
            Self::InvalidKey => "a key could not be made or used",
            Self::UnknownKey => "the ring holds no key of this ID",
            Self::KeyRingNotReady => "the ring is not ready for this",
            Self::NoSuccessor => {
                "no successor of the signing key could be made; nothing was retired: try again"
            }
            Self::NotRotated => "the keys of this ring are not rotated in a store",
        })
    }
}

impl Error for OperationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

debug_as_display!(OperationError);
