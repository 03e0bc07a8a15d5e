//! Why key material is refused: the member or input, the value found, the value expected, the fix.

use crate::error::macros::debug_as_display;
use crate::error::operation::{OperationError, OperationErrorKind};

/// Why key material was refused. Never holds or shows a secret; `Debug` shows the same text as
/// `Display`, so that a `main` that returns the error prints the reason.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The algorithm is unknown, or not for this kind of key.
    #[error(
        "the algorithm is unknown, or not for this kind of key: use the algorithm that the key was made for"
    )]
    UnsupportedAlgorithm,
    /// The document holds another kind of key than expected.
    #[error("found {found}, expected {expected}")]
    WrongKind {
        /// The kind found.
        found: String,
        /// The value expected.
        expected: String,
    },
    /// A member of a JWK is missing or cannot be used.
    #[error("JWK member `{member}` is {found}, expected {expected}")]
    Member {
        /// The member's name.
        member: &'static str,
        /// The value found; never that of a private member.
        found: String,
        /// The value expected.
        expected: String,
    },
    /// A private JWK lacks private members (RFC 7518, section 6.3.2).
    #[error(
        "JWK members {members:?} are missing, expected all of p, q, dp, dq and qi beside d: export the key with them, or as PKCS#8 PEM"
    )]
    MissingMembers {
        /// The missing members.
        members: Vec<&'static str>,
    },
    /// A private member where only a public key belongs.
    #[error(
        "JWK member `{member}` is private, expected a public key: a private key that was published must be replaced; read your own with `Key::from_private_jwk`"
    )]
    PrivateMember {
        /// The first private member found.
        member: &'static str,
    },
    /// The JWK has no `alg`, and its type leaves several to choose from.
    #[error("JWK member `alg` is missing, expected because the key's type allows several")]
    AmbiguousAlgorithm,
    /// A shared secret where only a public key belongs.
    #[error(
        "JWK member `kty` is \"oct\", a shared secret, expected a public key: read your own with `Key::from_private_jwk`"
    )]
    Symmetric,
    /// A secret is too short; for HMAC shorter than the hash (RFC 7518, section 3.2).
    #[error("the secret has {bytes} bytes, expected at least {least} random bytes")]
    ShortSecret {
        /// The least length, in bytes.
        least: usize,
        /// The length that was given, in bytes.
        bytes: usize,
    },
    /// A secret is text where random bytes are expected.
    #[error("the secret is {found}, expected random bytes: {fix}")]
    SecretIsText {
        /// The kind of text.
        found: &'static str,
        /// The constructor to use.
        fix: String,
    },
    /// A secret repeats itself.
    #[error(
        "the secret has only {values} different byte values, expected random bytes: make one with `openssl rand -base64 32`"
    )]
    NotRandom {
        /// How many different byte values it has.
        values: usize,
    },
    /// A secret is not the text that its constructor reads.
    #[error("the secret is not {encoding}: {reason}")]
    SecretEncoding {
        /// The encoding expected.
        encoding: &'static str,
        /// The fault, without the text.
        reason: &'static str,
    },
    /// A sealing key does not have 32 bytes.
    #[error("the sealing key has {bytes} bytes, expected exactly 32")]
    SealingKeyLength {
        /// The length that was given, in bytes.
        bytes: usize,
    },
    /// An RSA modulus outside 2048 to 8192 bits (RFC 7518, section 3.3).
    #[error("the RSA key has {bits} bits, expected 2048 to 8192")]
    RsaModulus {
        /// The modulus' length, in bits.
        bits: usize,
    },
    /// An RSA public exponent that is refused.
    #[error("the RSA public exponent is {found}, expected {expected}")]
    RsaExponent {
        /// The exponent, or why it is none.
        found: String,
        /// The value expected.
        expected: &'static str,
    },
    /// The public key's numbers are not a key of its algorithm.
    #[error("invalid {algorithm} public key: {reason}")]
    InvalidPublicKey {
        /// The algorithm, as JOSE writes it.
        algorithm: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The private key cannot be read or used.
    #[error("invalid {algorithm} private key: {reason}")]
    InvalidPrivateKey {
        /// The algorithm, as JOSE writes it.
        algorithm: &'static str,
        /// Why.
        reason: String,
    },
    /// The text is not one usable PEM key.
    #[error("cannot read the PEM text: {0}")]
    Pem(String),
    /// The text is not JSON.
    #[error("the text is not a JWK: no JSON object at line {line}, column {column}")]
    NoJson {
        /// The line of the first fault.
        line: usize,
        /// The column of the first fault.
        column: usize,
    },
    /// RSA keys are not generated here.
    #[error("a ring generates no RSA keys: give your own, or use EdDSA, ES256, ES384 or HMAC")]
    RsaNotGenerated,
    /// The operating system's random generator failed.
    #[error("the operating system's random generator failed")]
    RandomGenerator,
}

impl KeyError {
    pub(crate) fn member(
        member: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Member { member, found: found.into(), expected: expected.into() }
    }
}

impl From<KeyError> for OperationError {
    fn from(error: KeyError) -> Self {
        OperationErrorKind::InvalidKey.with(error)
    }
}

debug_as_display!(KeyError);
