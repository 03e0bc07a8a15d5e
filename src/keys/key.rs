//! A [`Key`]: what signs or verifies, bound to one algorithm and one key ID.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, Jwk,
    OctetKeyPairParameters, PublicKeyUse, RSAKeyParameters,
};

use super::algorithm::{
    self, FULLY_SPECIFIED_ED25519, Primitive, PublicKey, Signer, Specification, Verifier,
};
use crate::base64url::BASE64URL;

/// A key with its algorithm and key ID. It can verify; whether it can sign depends on what it was
/// made from. `Debug` shows no secret; clones share the material.
///
/// ```
/// use tower_jwt_session::{Algorithm, Key};
///
/// let error = Key::hmac(Algorithm::HS256, b"too short").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "a secret of 9 bytes is too short for this algorithm: give at least 32 random bytes"
/// );
/// ```
#[derive(Clone)]
pub struct Key {
    key_id: Arc<str>,
    specification: &'static Specification,
    /// Whether the header says `Ed25519` (RFC 9864) where it would say `EdDSA`.
    fully_specified: bool,
    material: Arc<Material>,
}

struct Material {
    signer: Option<Signer>,
    verifier: Verifier,
    /// `None` for a shared secret.
    public: Option<PublicKey>,
}

impl Key {
    /// A shared secret, for one of the HMAC algorithms. It signs and verifies.
    ///
    /// # Errors
    ///
    /// If the secret is shorter than the hash (RFC 7518, section 3.2: 32, 48 or 64 bytes), or the
    /// algorithm is not HMAC.
    pub fn hmac(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        let specification = algorithm::specification(algorithm)?;
        match specification.primitive {
            Primitive::Hmac(_) => Self::from_material(algorithm, secret),
            _ => Err(KeyError::UnsupportedAlgorithm),
        }
    }

    /// A private key as an unencrypted PKCS#8 document (DER), for Ed25519, ECDSA or RSA. It signs
    /// and verifies.
    ///
    /// # Errors
    ///
    /// If the document is not a key for `algorithm`; for RSA, if it has less than 2048 bits.
    pub fn from_pkcs8_der(algorithm: Algorithm, document: &[u8]) -> Result<Self, KeyError> {
        let specification = algorithm::specification(algorithm)?;
        match specification.primitive {
            Primitive::Hmac(_) => Err(KeyError::UnsupportedAlgorithm),
            _ => Self::from_material(algorithm, document),
        }
    }

    /// A public key as a JWK, with its own `kid` if it has one. It verifies.
    ///
    /// # Errors
    ///
    /// If the JWK names no algorithm of its own and its type allows several (RSA), is not for
    /// signatures (`use`, `key_ops`), is symmetric, or its numbers are no good key.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        let common = &jwk.common;
        let signatures = !matches!(&common.public_key_use, Some(usage) if *usage != PublicKeyUse::Signature)
            && !matches!(&common.key_operations, Some(operations)
                if !operations.contains(&jsonwebtoken::jwk::KeyOperations::Verify));
        if !signatures {
            return Err(KeyError::NotForSignatures);
        }
        let (implied, public) = public_key(&jwk.algorithm)?;
        let algorithm = match (common.key_algorithm, implied) {
            (Some(named), _) => {
                Algorithm::try_from(named).map_err(|_| KeyError::UnsupportedAlgorithm)?
            }
            (None, Some(implied)) => implied,
            (None, None) => return Err(KeyError::AmbiguousAlgorithm),
        };
        if implied.is_some_and(|implied| implied != algorithm) {
            return Err(KeyError::InvalidPublicKey);
        }
        let specification = algorithm::specification(algorithm)?;
        Self::from_public(specification, public, common.key_id.as_deref())
    }

    /// From a public key's numbers, by default under their thumbprint.
    pub(super) fn from_public(
        specification: &'static Specification,
        public: PublicKey,
        key_id: Option<&str>,
    ) -> Result<Self, KeyError> {
        let verifier = Verifier::new(specification, public.clone())?;
        let key_id = match key_id {
            Some(key_id) => key_id.into(),
            None => thumbprint(specification, &public).into(),
        };
        let public = Some(public);
        Ok(Self::new(key_id, specification, Material { signer: None, verifier, public }))
    }

    /// The same key with its private part.
    pub(super) fn with_signer(self, signer: Signer) -> Result<Self, KeyError> {
        let public = signer.public();
        let verifier = signer.verifier(self.specification)?;
        let material = Material { signer: Some(signer), verifier, public };
        Ok(Self::new(self.key_id, self.specification, material))
    }

    pub(super) fn public(&self) -> Option<&PublicKey> {
        self.material.public.as_ref()
    }

    /// The same key under another key ID.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<Arc<str>>) -> Self {
        self.key_id = key_id.into();
        self
    }

    /// The same key, with `Ed25519` (RFC 9864) for `EdDSA` in the headers of what it signs.
    pub(crate) fn fully_specified(mut self) -> Self {
        self.fully_specified = true;
        self
    }

    fn new(key_id: Arc<str>, specification: &'static Specification, material: Material) -> Self {
        let material = Arc::new(material);
        Self { key_id, specification, fully_specified: false, material }
    }

    /// From what a record holds: a shared secret or a PKCS#8 document.
    pub(crate) fn from_material(algorithm: Algorithm, material: &[u8]) -> Result<Self, KeyError> {
        let specification = algorithm::specification(algorithm)?;
        let signer = Signer::new(specification, material)?;
        let verifier = signer.verifier(specification)?;
        let public = signer.public();
        let key_id = match &public {
            Some(public) => thumbprint(specification, public),
            None => BASE64URL.encode_to_string(algorithm::commitment(material)),
        };
        let signer = Some(signer);
        Ok(Self::new(key_id.into(), specification, Material { signer, verifier, public }))
    }

    /// The algorithm that this key signs or verifies with, whatever a token says.
    pub fn algorithm(&self) -> Algorithm {
        self.specification.algorithm
    }

    /// The key ID, a token's `kid`: by default the RFC 7638 thumbprint, and for a shared secret a
    /// hash that reveals nothing of it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Whether this key can sign.
    pub fn can_sign(&self) -> bool {
        self.material.signer.is_some()
    }

    /// The public key as a JWK (RFC 7517); `None` for a shared secret.
    pub fn to_jwk(&self) -> Option<Jwk> {
        let algorithm = jwk_parameters(self.specification, self.material.public.as_ref()?);
        Some(Jwk {
            common: CommonParameters {
                public_key_use: Some(PublicKeyUse::Signature),
                // The JWK type has no name for `Ed25519`; the curve says it.
                key_algorithm: (!self.fully_specified).then(|| self.algorithm().into()),
                key_id: Some(self.key_id.to_string()),
                ..CommonParameters::default()
            },
            algorithm,
        })
    }

    pub(crate) fn shared_key_id(&self) -> &Arc<str> {
        &self.key_id
    }

    pub(crate) fn signer(&self) -> Option<&Signer> {
        self.material.signer.as_ref()
    }

    pub(crate) fn verifier(&self) -> &Verifier {
        &self.material.verifier
    }

    /// The encoded headers that a token of this key and type may begin with, as this crate writes
    /// them; the first is the one it writes.
    pub(crate) fn encoded_headers(&self, token_type: &str) -> Vec<String> {
        let mut names = vec![self.specification.name];
        if matches!(self.specification.primitive, Primitive::Ed25519) {
            names.insert(usize::from(!self.fully_specified), FULLY_SPECIFIED_ED25519);
        }
        let header = |name| {
            let members = HeaderMembers { alg: name, typ: token_type, kid: &self.key_id };
            // A struct of strings always serialises.
            BASE64URL.encode_to_string(serde_json::to_vec(&members).unwrap_or_default())
        };
        names.into_iter().map(header).collect()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("key_id", &self.key_id)
            .field("algorithm", &self.algorithm())
            .field("can_sign", &self.can_sign())
            .finish_non_exhaustive()
    }
}

/// Why key material was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The algorithm is not known here, or not for this kind of key.
    #[error(
        "this algorithm is not known, or not for this kind of key: use the algorithm that the key was made for"
    )]
    UnsupportedAlgorithm,
    /// The JWK has no `alg`, and its type leaves several to choose from.
    #[error("the JWK names no algorithm: give it an `alg`")]
    AmbiguousAlgorithm,
    /// The JWK's `use` or `key_ops` are not for verifying signatures.
    #[error("the JWK is not for verifying signatures: look at its `use` and `key_ops`")]
    NotForSignatures,
    /// A shared secret as a JWK.
    #[error("a JWK of type `oct` is a shared secret: give its bytes to `Key::hmac`")]
    Symmetric,
    /// A shared secret is shorter than the algorithm's hash (RFC 7518, section 3.2).
    #[error(
        "a secret of {bytes} bytes is too short for this algorithm: give at least {least} random bytes"
    )]
    ShortSecret {
        /// The least length, in bytes.
        least: usize,
        /// The length that was given, in bytes.
        bytes: usize,
    },
    /// An RSA modulus outside 2048 to 8192 bits (RFC 7518, section 3.3).
    #[error("an RSA modulus of {bits} bits is refused: use 2048 to 8192 bits")]
    RsaModulus {
        /// The modulus' length, in bits.
        bits: usize,
    },
    /// The public key is malformed, not on its curve, of small order, or has a bad exponent.
    #[error("the public key is no good key for its algorithm")]
    InvalidPublicKey,
    /// The private key could not be read.
    #[error(
        "the private key was refused ({0}): give an unencrypted PKCS#8 document (DER) for this algorithm"
    )]
    Rejected(String),
    /// A root secret looks like text, or repeats itself.
    #[error(
        "the secret does not look random: give random bytes, decoded from base64 or hex where they are written so"
    )]
    NotRandom,
    /// A key-encryption key is not 32 bytes long.
    #[error("a sealing key has exactly 32 bytes")]
    SealingKeyLength,
    /// The text is no JWK with the private members of its type.
    #[error("the text is no JWK with all private members of its type")]
    NoPrivateJwk,
    /// RSA keys are not generated here.
    #[error(
        "RSA keys are not made by a ring: bring your own, or choose EdDSA, ES256, ES384 or HMAC"
    )]
    RsaNotGenerated,
    /// The operating system's random generator failed.
    #[error("the operating system's random generator failed")]
    RandomGenerator,
}

/// The JOSE header's members, in the order in which they are written.
#[derive(serde::Serialize)]
struct HeaderMembers<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

/// The RFC 7638 thumbprint: the SHA-256 of the required members, in order, without white space.
fn thumbprint(specification: &Specification, public: &PublicKey) -> String {
    let curve = |curve: &EllipticCurve| match curve {
        EllipticCurve::P256 => "P-256",
        EllipticCurve::P384 => "P-384",
        _ => "Ed25519",
    };
    let members = match jwk_parameters(specification, public) {
        AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
            curve: crv, x, y, ..
        }) => {
            format!(r#"{{"crv":"{}","kty":"EC","x":"{x}","y":"{y}"}}"#, curve(&crv))
        }
        AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters { curve: crv, x, .. }) => {
            format!(r#"{{"crv":"{}","kty":"OKP","x":"{x}"}}"#, curve(&crv))
        }
        AlgorithmParameters::RSA(RSAKeyParameters { n, e, .. }) => {
            format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
        }
        _ => String::new(),
    };
    BASE64URL.encode_to_string(algorithm::sha256(members.as_bytes()))
}

fn jwk_parameters(specification: &Specification, public: &PublicKey) -> AlgorithmParameters {
    let text = |bytes: &[u8]| BASE64URL.encode_to_string(bytes);
    match (&specification.primitive, public) {
        (Primitive::Ecdsa(ecdsa), PublicKey::Bytes(point)) => {
            // An uncompressed point: 4, x, y (SEC 1, section 2.3.3).
            let (x, y) = point[1..].split_at(ecdsa.coordinate);
            AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
                key_type: Default::default(),
                curve: ecdsa.curve.clone(),
                x: text(x),
                y: text(y),
            })
        }
        (_, PublicKey::Bytes(point)) => AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: Default::default(),
            curve: EllipticCurve::Ed25519,
            x: text(point),
        }),
        (_, PublicKey::Rsa(components)) => AlgorithmParameters::RSA(RSAKeyParameters {
            key_type: Default::default(),
            n: text(&components.n),
            e: text(&components.e),
        }),
    }
}

/// A JWK's numbers, and the algorithm where the type leaves only one.
fn public_key(
    parameters: &AlgorithmParameters,
) -> Result<(Option<Algorithm>, PublicKey), KeyError> {
    let bytes = |text: &str| BASE64URL.decode_to_vec(text).map_err(|_| KeyError::InvalidPublicKey);
    match parameters {
        AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters { curve, x, y, .. }) => {
            let (algorithm, coordinate) = match curve {
                EllipticCurve::P256 => (Algorithm::ES256, 32),
                EllipticCurve::P384 => (Algorithm::ES384, 48),
                _ => return Err(KeyError::UnsupportedAlgorithm),
            };
            let (x, y) = (bytes(x)?, bytes(y)?);
            // RFC 7518, section 6.2.1.2: the full length, leading zeros included.
            if x.len() != coordinate || y.len() != coordinate {
                return Err(KeyError::InvalidPublicKey);
            }
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            Ok((Some(algorithm), PublicKey::Bytes(point.into())))
        }
        AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            curve: EllipticCurve::Ed25519,
            x,
            ..
        }) => Ok((Some(Algorithm::EdDSA), PublicKey::Bytes(bytes(x)?.into()))),
        AlgorithmParameters::RSA(RSAKeyParameters { n, e, .. }) => {
            let components = ring::rsa::PublicKeyComponents { n: bytes(n)?, e: bytes(e)? };
            Ok((None, PublicKey::Rsa(components)))
        }
        AlgorithmParameters::OctetKey(_) => Err(KeyError::Symmetric),
        _ => Err(KeyError::UnsupportedAlgorithm),
    }
}
