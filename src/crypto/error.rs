//! Why key material is refused: the member or input, the value found, the value expected, the fix.

use std::borrow::Cow;
use std::fmt;

use crate::error::macros::debug_as_display;

/// Why key material was refused: the input, the value found, the value expected, the fix. Never holds or
/// shows a secret; `Debug` shows the same text as `Display`, so that a `main` that returns the error
/// prints it.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct KeyError {
    kind: KeyErrorKind,
    text: Cow<'static, str>,
}

/// The kinds of [`KeyError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyErrorKind {
    /// The algorithm is unknown, not for this kind of key, or one whose keys are not generated here
    /// (RSA).
    UnsupportedAlgorithm,
    /// The JWK has no `alg`, and its type leaves several to choose from.
    AmbiguousAlgorithm,
    /// The document holds another kind of key than expected, such as a private one for a public one.
    UnexpectedKey,
    /// A shared secret where only a public key belongs.
    SharedSecret,
    /// A member of a JWK is missing or cannot be used.
    InvalidMember,
    /// The text is not PEM, JSON, base64 or hex, as its constructor reads it.
    InvalidEncoding,
    /// A secret or sealing key of the wrong length, or that is not random (RFC 7518, section 3.2).
    WeakSecret,
    /// The numbers of the key are none of its algorithm, or less than this crate accepts (RFC 7518,
    /// section 3.3).
    InvalidKey,
    /// The operating system's random generator failed.
    RandomGenerator,
}

impl KeyError {
    /// Returns the kind.
    pub fn kind(&self) -> KeyErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: KeyErrorKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(crate) fn unsupported_algorithm() -> Self {
        Self::new(
            KeyErrorKind::UnsupportedAlgorithm,
            "the algorithm is unknown, or not for this kind of key: use the algorithm that the key was made for",
        )
    }

    pub(crate) fn wrong_kind(found: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self::new(KeyErrorKind::UnexpectedKey, format!("found {found}, expected {expected}"))
    }

    /// `found` never shows the value of a private member.
    pub(crate) fn member(
        member: &str,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::new(
            KeyErrorKind::InvalidMember,
            format!("JWK member `{member}` is {found}, expected {expected}"),
        )
    }

    pub(crate) fn short_secret(least: usize, bytes: usize) -> Self {
        Self::new(
            KeyErrorKind::WeakSecret,
            format!("the secret has {bytes} bytes, expected at least {least} random bytes"),
        )
    }

    pub(crate) fn sealing_key_length(bytes: usize) -> Self {
        Self::new(
            KeyErrorKind::WeakSecret,
            format!("the sealing key has {bytes} bytes, expected exactly 32"),
        )
    }

    pub(crate) fn rsa_modulus(bits: usize) -> Self {
        Self::new(
            KeyErrorKind::InvalidKey,
            format!("the RSA key has {bits} bits, expected 2048 to 8192"),
        )
    }

    pub(crate) fn rsa_exponent(found: impl fmt::Display, expected: &str) -> Self {
        Self::new(
            KeyErrorKind::InvalidKey,
            format!("the RSA public exponent is {found}, expected {expected}"),
        )
    }

    pub(crate) fn invalid_public_key(algorithm: &str, reason: impl fmt::Display) -> Self {
        Self::new(KeyErrorKind::InvalidKey, format!("invalid {algorithm} public key: {reason}"))
    }

    pub(crate) fn invalid_private_key(algorithm: &str, reason: impl fmt::Display) -> Self {
        Self::new(KeyErrorKind::InvalidKey, format!("invalid {algorithm} private key: {reason}"))
    }

    pub(crate) fn rsa_not_generated() -> Self {
        Self::new(
            KeyErrorKind::UnsupportedAlgorithm,
            "a ring generates no RSA keys: give your own, or use EdDSA, ES256, ES384 or HMAC",
        )
    }

    pub(crate) fn random_generator() -> Self {
        Self::new(KeyErrorKind::RandomGenerator, "the operating system's random generator failed")
    }
}

debug_as_display!(KeyError);
