//! [`OperationError`]: why an operation on sessions, keys or revocations failed.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use crate::error::macros::debug_as_display;
use crate::error::rejection::Rejection;

/// Why an operation on [`Sessions`](crate::Sessions), a [`KeyRing`](crate::KeyRing) or
/// [`Revocations`](crate::Revocations) failed.
///
/// `Debug` shows the same text as `Display`, so that a `main` that returns the error prints it.
#[derive(Clone)]
pub struct OperationError {
    kind: OperationErrorKind,
    text: Cow<'static, str>,
    source: Option<Source>,
}

type Source = Arc<dyn Error + Send + Sync>;

/// The kinds of [`OperationError`]. The error's text adds the values found and expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationErrorKind {
    /// No key of the ring may sign now, or the ring holds only public keys. Validation is not
    /// affected.
    NoSigningKey,
    /// The application's claims cannot be written as members of the token's payload, the subject is
    /// empty (RFC 7519, section 4.1.2), or a session of another issuer has no `auth_time`.
    InvalidClaims,
    /// The session has reached its absolute lifetime.
    LifetimeReached,
    /// The session or the refresh token was refused; the source is a [`Rejection`].
    Rejected,
    /// The clock shows a time that no token can carry: before 1970 or after 9999.
    ClockOutOfRange,
    /// The token is longer than `max_token_bytes`, or its cookie than browsers must accept (RFC
    /// 6265, section 6.1); or those of a later token of the session may be.
    TooLong,
    /// The sessions or the ring lack what the operation needs: a transport, refresh tokens,
    /// revocations, or keys that are rotated in a store.
    NotConfigured,
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
    /// The application's [audit sink](crate::audit::AuditSink) did not record a login, so that its session is
    /// not handed out.
    Audit,
    /// The ring is not ready for this operation, or could not make a successor of the signing key.
    KeyRingNotReady,
}

impl OperationError {
    pub(crate) fn new(kind: OperationErrorKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, text: text.into(), source: None }
    }

    pub(crate) fn with_source(
        kind: OperationErrorKind,
        text: &'static str,
        source: Source,
    ) -> Self {
        Self { kind, text: text.into(), source: Some(source) }
    }

    pub(crate) fn no_signing_key() -> Self {
        Self::new(OperationErrorKind::NoSigningKey, "no key of the ring may sign now")
    }

    pub(crate) fn lifetime_reached() -> Self {
        let text = "the session has reached its absolute lifetime";
        Self::new(OperationErrorKind::LifetimeReached, text)
    }

    pub(crate) fn rejected(rejection: Rejection) -> Self {
        let text = "the session or the refresh token is refused";
        Self::with_source(OperationErrorKind::Rejected, text, Arc::new(rejection))
    }

    /// `what` is a token or a cookie.
    pub(crate) fn too_long(what: &str, bytes: usize, limit: impl fmt::Display) -> Self {
        let text = format!(
            "a {what} of {bytes} bytes, the room for later tokens of its session included, is \
             longer than {limit}: put less into the claims"
        );
        Self::new(OperationErrorKind::TooLong, text)
    }

    pub(crate) fn no_transport(name: &str) -> Self {
        Self::not_configured(format!(
            "the sessions have no {name} transport: add it to their builder"
        ))
    }

    pub(crate) fn not_local() -> Self {
        Self::not_configured(
            "a login whose `Host` or `Origin` is other than localhost, 127.0.0.0/8 and [::1]: the cookie of \
             `CookieTransport::for_local_development` is for these only; use `CookieTransport::new` and https",
        )
    }

    pub(crate) fn not_configured(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(OperationErrorKind::NotConfigured, text)
    }

    pub(crate) fn random_generator() -> Self {
        let text = "the operating system's random generator failed";
        Self::new(OperationErrorKind::RandomGenerator, text)
    }

    pub(crate) fn store(source: Source) -> Self {
        Self::with_source(OperationErrorKind::Store, "the store failed", source)
    }

    pub(crate) fn key_source(source: Source) -> Self {
        let text = "the keys could not be read from their source";
        Self::with_source(OperationErrorKind::KeySource, text, source)
    }

    /// Returns the kind.
    pub fn kind(&self) -> OperationErrorKind {
        self.kind
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
            | OperationErrorKind::ClockOutOfRange
            | OperationErrorKind::Store
            | OperationErrorKind::Audit
            | OperationErrorKind::KeySource
            | OperationErrorKind::KeyRingNotReady => true,
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
    /// Returns the kind as a short, stable text. It is the `outcome` in
    /// [metrics](crate::telemetry).
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoSigningKey => "no_signing_key",
            Self::InvalidClaims => "invalid_claims",
            Self::LifetimeReached => "lifetime_reached",
            Self::Rejected => "rejected",
            Self::ClockOutOfRange => "clock_out_of_range",
            Self::TooLong => "too_long",
            Self::NotConfigured => "not_configured",
            Self::RandomGenerator => "random_generator",
            Self::Store => "store",
            Self::KeySource => "key_source",
            Self::InvalidKey => "invalid_key",
            Self::UnknownKey => "unknown_key",
            Self::Audit => "audit",
            Self::KeyRingNotReady => "not_ready",
        }
    }
}

/// With the source: the text goes to logs, where nobody asks for the source.
impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for OperationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

debug_as_display!(OperationError);
