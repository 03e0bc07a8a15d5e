//! [`Algorithm`]: the signature algorithms, and the operation behind each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::crypto::error::KeyError;

/// A signature algorithm, by its name in JOSE (RFC 7518, section 3.1; RFC 9864, section 2.2).
///
/// `Display`, `FromStr` and serde use that name.
///
/// ```
/// use tower_jwt_session::Algorithm;
///
/// assert_eq!("ES256".parse(), Ok(Algorithm::ES256));
/// assert_eq!(Algorithm::EdDSA.to_string(), "EdDSA");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519 under the name of RFC 8037, which every library for Ed25519 knows.
    EdDSA,
    /// Ed25519 under the fully specified name of RFC 9864, which few libraries know.
    ///
    /// It is the same algorithm as [`EdDSA`](Self::EdDSA): tokens with either name are accepted for
    /// a key of either.
    Ed25519,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 13] = [
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
        Self::Ed25519,
    ];

    /// Returns the name in JOSE: the `alg` of a token's header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
            Self::Ed25519 => "Ed25519",
        }
    }

    /// Returns the first name of an algorithm that has two.
    pub(crate) fn canonical(self) -> Self {
        match self {
            Self::Ed25519 => Self::EdDSA,
            other => other,
        }
    }

    /// Returns the operation behind the algorithm.
    pub(crate) fn primitive(self) -> Primitive {
        use Primitive::{Ecdsa, Ed25519, Hmac, Pkcs1, Pss};
        match self {
            Self::HS256 => Hmac(Hash::Sha256),
            Self::HS384 => Hmac(Hash::Sha384),
            Self::HS512 => Hmac(Hash::Sha512),
            Self::RS256 => Pkcs1(Hash::Sha256),
            Self::RS384 => Pkcs1(Hash::Sha384),
            Self::RS512 => Pkcs1(Hash::Sha512),
            Self::PS256 => Pss(Hash::Sha256),
            Self::PS384 => Pss(Hash::Sha384),
            Self::PS512 => Pss(Hash::Sha512),
            Self::ES256 => Ecdsa(Curve::P256),
            Self::ES384 => Ecdsa(Curve::P384),
            Self::EdDSA | Self::Ed25519 => Ed25519,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        let mut known = Self::ALL.into_iter();
        known.find(|known| known.as_str() == name).ok_or_else(KeyError::unsupported_algorithm)
    }
}

/// The operation behind an [`Algorithm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Primitive {
    Hmac(Hash),
    Ed25519,
    /// With the hash that is as long as the curve's numbers.
    Ecdsa(Curve),
    /// RSASSA-PKCS1-v1_5.
    Pkcs1(Hash),
    /// RSASSA-PSS.
    Pss(Hash),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// The length in bytes.
    pub(crate) fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
}

impl Curve {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }

    /// The length of one coordinate in bytes.
    pub(crate) fn coordinate(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// The longest signature in bytes: that of an RSA key of 8192 bits.
pub(crate) const MAX_SIGNATURE_BYTES: usize = 1024;
