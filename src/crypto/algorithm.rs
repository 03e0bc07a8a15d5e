//! What each algorithm does to bytes: the one place where signatures meet the `ring` crate.

use crate::crypto::material;
use jsonwebtoken::Algorithm;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use ring::{digest, hkdf, hmac, rsa};
use zeroize::Zeroizing;

pub(crate) use crate::crypto::der;
pub(crate) use crate::crypto::error::KeyError;

/// What an [`Algorithm`] is made of.
pub(crate) struct Specification {
    pub(crate) algorithm: Algorithm,
    /// The header's `alg`.
    pub(crate) name: &'static str,
    pub(crate) primitive: Primitive,
}

pub(crate) enum Primitive {
    Hmac(hmac::Algorithm),
    Ed25519,
    Ecdsa(&'static Ecdsa),
    Rsa(&'static signature::RsaParameters, &'static dyn signature::RsaEncoding),
}

pub(crate) struct Ecdsa {
    pub(crate) curve: jsonwebtoken::jwk::EllipticCurve,
    /// Bytes of one coordinate.
    pub(crate) coordinate: usize,
    signing: &'static signature::EcdsaSigningAlgorithm,
    verification: &'static signature::EcdsaVerificationAlgorithm,
    pub(crate) agreement: &'static ring::agreement::Algorithm,
}

/// Finds what `algorithm` is made of.
pub(crate) fn specification(algorithm: Algorithm) -> Result<&'static Specification, KeyError> {
    SPECIFICATIONS
        .iter()
        .find(|known| known.algorithm == algorithm)
        .ok_or(KeyError::UnsupportedAlgorithm)
}

/// Finds an algorithm by a header's `alg`. Ed25519 has two names: the polymorphic one of RFC 8037
/// and the fully specified one of RFC 9864, section 2.2.
pub(crate) fn named(name: &str) -> Option<Algorithm> {
    let name = if name == FULLY_SPECIFIED_ED25519 { "EdDSA" } else { name };
    let known = SPECIFICATIONS.iter().find(|known| known.name == name)?;
    Some(known.algorithm)
}

/// RFC 9864's name for EdDSA with Ed25519.
pub(crate) const FULLY_SPECIFIED_ED25519: &str = "Ed25519";

const ED25519_SEED_BYTES: usize = 32;

/// The longest signature: that of an RSA key of 8192 bits.
pub(crate) const MAX_SIGNATURE_BYTES: usize = 1024;

/// A private or shared key, ready to sign.
pub(crate) enum Signer {
    Hmac(hmac::Key),
    Ed25519(Box<Ed25519KeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Rsa(Box<rsa::KeyPair>, &'static dyn signature::RsaEncoding),
}

impl Signer {
    /// From a shared secret (HMAC), or else a PKCS#8 document; for RSA also a PKCS#1 one.
    pub(crate) fn new(specification: &Specification, material: &[u8]) -> Result<Self, KeyError> {
        let rejected = |error| material::rejected(specification.name, error);
        if !matches!(specification.primitive, Primitive::Hmac(_)) {
            material::check_private(specification, material)?;
        }
        Ok(match specification.primitive {
            Primitive::Hmac(algorithm) => {
                let least = algorithm.digest_algorithm().output_len();
                if material.len() < least {
                    return Err(KeyError::ShortSecret { least, bytes: material.len() });
                }
                Self::Hmac(hmac::Key::new(algorithm, material))
            }
            Primitive::Ed25519 => Self::Ed25519(Box::new(
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(material).map_err(rejected)?,
            )),
            Primitive::Ecdsa(ecdsa) => Self::Ecdsa(Box::new(
                EcdsaKeyPair::from_pkcs8(ecdsa.signing, material, &SystemRandom::new())
                    .map_err(rejected)?,
            )),
            // `ring` refuses a key whose numbers do not match.
            Primitive::Rsa(_, encoding) => Self::Rsa(
                Box::new(
                    rsa::KeyPair::from_pkcs8(material)
                        .or_else(|_| rsa::KeyPair::from_der(material))
                        .map_err(rejected)?,
                ),
                encoding,
            ),
        })
    }

    /// From a private scalar, or seed, and its public key.
    pub(crate) fn of_scalar(
        specification: &Specification,
        private: &[u8],
        public: &[u8],
    ) -> Result<Self, KeyError> {
        let rejected = |error| material::rejected(specification.name, error);
        match specification.primitive {
            Primitive::Ed25519 => Ed25519KeyPair::from_seed_and_public_key(private, public)
                .map(|pair| Self::Ed25519(Box::new(pair)))
                .map_err(rejected),
            Primitive::Ecdsa(ecdsa) => EcdsaKeyPair::from_private_key_and_public_key(
                ecdsa.signing,
                private,
                public,
                &SystemRandom::new(),
            )
            .map(|pair| Self::Ecdsa(Box::new(pair)))
            .map_err(rejected),
            _ => Err(KeyError::UnsupportedAlgorithm),
        }
    }

    /// From an RSA key's numbers.
    pub(crate) fn rsa(
        specification: &Specification,
        components: &rsa::KeyPairComponents<&[u8]>,
    ) -> Result<Self, KeyError> {
        let Primitive::Rsa(_, encoding) = specification.primitive else {
            return Err(KeyError::UnsupportedAlgorithm);
        };
        let public = &components.public_key;
        material::check_private_exponent(public.e)?;
        let pair = rsa::KeyPair::from_components(components)
            .map_err(|error| material::rejected(specification.name, error))?;
        Ok(Self::Rsa(Box::new(pair), encoding))
    }

    /// The public part as the bytes that [`Verifier::new`] takes; `None` for a shared secret.
    pub(crate) fn public(&self) -> Option<PublicKey> {
        Some(match self {
            Self::Hmac(_) => return None,
            Self::Ed25519(pair) => PublicKey::Bytes(pair.public_key().as_ref().into()),
            Self::Ecdsa(pair) => PublicKey::Bytes(pair.public_key().as_ref().into()),
            Self::Rsa(pair, _) => PublicKey::Rsa(pair.public().into()),
        })
    }

    /// How many bytes a signature has.
    pub(crate) fn signature_length(&self) -> usize {
        match self {
            Self::Hmac(key) => key.algorithm().digest_algorithm().output_len(),
            Self::Ed25519(_) => 64,
            // r and s: as long as the two coordinates of the uncompressed point.
            Self::Ecdsa(pair) => pair.public_key().as_ref().len() - 1,
            Self::Rsa(pair, _) => pair.public().modulus_len(),
        }
    }

    /// Signs, and hands the signature to `with`. Fails only where the system's random generator
    /// does (ECDSA, RSA-PSS).
    pub(crate) fn sign<T>(
        &self,
        message: &[u8],
        with: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, ring::error::Unspecified> {
        Ok(match self {
            Self::Hmac(key) => with(hmac::sign(key, message).as_ref()),
            Self::Ed25519(pair) => with(pair.sign(message).as_ref()),
            Self::Ecdsa(pair) => with(pair.sign(&SystemRandom::new(), message)?.as_ref()),
            Self::Rsa(pair, encoding) => {
                let mut signature = [0; MAX_SIGNATURE_BYTES];
                let signature = &mut signature[..pair.public().modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), message, signature)?;
                with(signature)
            }
        })
    }

    /// The verifier for what this signs.
    pub(crate) fn verifier(&self, specification: &Specification) -> Result<Verifier, KeyError> {
        match self.public() {
            Some(public) => Verifier::new(specification, public),
            None => match self {
                Self::Hmac(key) => Ok(Verifier::Hmac(key.clone())),
                _ => Err(KeyError::UnsupportedAlgorithm),
            },
        }
    }
}

/// A public key's numbers.
#[derive(Clone)]
pub(crate) enum PublicKey {
    /// Ed25519: 32 bytes. ECDSA: the uncompressed point.
    Bytes(Box<[u8]>),
    Rsa(rsa::PublicKeyComponents<Vec<u8>>),
}

impl PublicKey {
    /// All its numbers.
    pub(crate) fn numbers(&self) -> [&[u8]; 2] {
        match self {
            Self::Bytes(bytes) => [bytes, &[]],
            Self::Rsa(components) => [&components.n, &components.e],
        }
    }
}

/// A public or shared key, ready to verify.
pub(crate) enum Verifier {
    Hmac(hmac::Key),
    Public(UnparsedPublicKey<Box<[u8]>>),
    Rsa(rsa::PublicKeyComponents<Vec<u8>>, &'static signature::RsaParameters),
}

impl Verifier {
    /// Checks the numbers as far as it can be done without a signature.
    pub(crate) fn new(specification: &Specification, public: PublicKey) -> Result<Self, KeyError> {
        match (&specification.primitive, public) {
            (Primitive::Ed25519, PublicKey::Bytes(point)) => {
                material::check_ed25519(&point)?;
                Ok(Self::Public(UnparsedPublicKey::new(&signature::ED25519, point)))
            }
            (Primitive::Ecdsa(ecdsa), PublicKey::Bytes(point)) => {
                material::check_curve_point(specification.name, ecdsa, &point)?;
                Ok(Self::Public(UnparsedPublicKey::new(ecdsa.verification, point)))
            }
            (Primitive::Rsa(parameters, _), PublicKey::Rsa(components)) => {
                material::check_rsa(specification.name, &components)?;
                Ok(Self::Rsa(components, parameters))
            }
            _ => Err(KeyError::UnsupportedAlgorithm),
        }
    }

    /// Whether `signature` is this key's over `message`. HMACs are compared in constant time.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Self::Public(key) => key.verify(message, signature).is_ok(),
            Self::Rsa(components, parameters) => {
                components.verify(parameters, message, signature).is_ok()
            }
        }
    }
}

/// Makes new key material: a secret as long as the hash (RFC 7518, section 3.2), or PKCS#8.
/// RSA keys are brought by the application.
pub(crate) fn generate(specification: &Specification) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let generated = |_| KeyError::RandomGenerator;
    let random = SystemRandom::new();
    Ok(Zeroizing::new(match specification.primitive {
        Primitive::Hmac(algorithm) => {
            let mut secret = vec![0; algorithm.digest_algorithm().output_len()];
            fill_random(&mut secret)?;
            secret
        }
        Primitive::Ed25519 => {
            let document = Ed25519KeyPair::generate_pkcs8(&random).map_err(generated)?;
            document.as_ref().to_vec()
        }
        Primitive::Ecdsa(ecdsa) => {
            let document =
                EcdsaKeyPair::generate_pkcs8(ecdsa.signing, &random).map_err(generated)?;
            document.as_ref().to_vec()
        }
        Primitive::Rsa(..) => return Err(KeyError::RsaNotGenerated),
    }))
}

/// Derives key material from a root secret by HKDF-SHA-256 (RFC 5869): a secret as long as the
/// hash, or an Ed25519 seed as PKCS#8.
pub(crate) fn derive(
    specification: &Specification,
    root: &[u8],
    info: &[&[u8]],
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let length = match specification.primitive {
        Primitive::Hmac(algorithm) => algorithm.digest_algorithm().output_len(),
        Primitive::Ed25519 => ED25519_SEED_BYTES,
        _ => return Err(KeyError::UnsupportedAlgorithm),
    };
    let secret = hkdf_sha256(b"tower-jwt-session derived ring 1", root, info, length)
        .map_err(|_| KeyError::UnsupportedAlgorithm)?;
    Ok(match specification.primitive {
        Primitive::Ed25519 => ed25519_pkcs8(&secret),
        _ => secret,
    })
}

/// HKDF-SHA-256 (RFC 5869). Fails only where more than 255 hashes are asked for.
pub(crate) fn hkdf_sha256(
    salt: &[u8],
    secret: &[u8],
    info: &[&[u8]],
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, ring::error::Unspecified> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let output = extracted.expand(info, Length(length))?;
    let mut derived = Zeroizing::new(vec![0; length]);
    output.fill(&mut derived)?;
    Ok(derived)
}

/// An Ed25519 seed as a PKCS#8 document (RFC 8410, section 7).
fn ed25519_pkcs8(seed: &[u8]) -> Zeroizing<Vec<u8>> {
    const PREFIX: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let mut document = Zeroizing::new(Vec::with_capacity(PREFIX.len() + seed.len()));
    document.extend_from_slice(&PREFIX);
    document.extend_from_slice(seed);
    document
}

/// Fills `bytes` from the system's random generator.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), KeyError> {
    ring::rand::SecureRandom::fill(&SystemRandom::new(), bytes)
        .map_err(|_| KeyError::RandomGenerator)
}

/// The SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// A value that names `secret` and reveals nothing of it.
pub(crate) fn commitment(secret: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut commitment = [0; 32];
    commitment.copy_from_slice(hmac::sign(&key, b"tower-jwt-session key ID").as_ref());
    commitment
}

static P256: Ecdsa = Ecdsa {
    curve: jsonwebtoken::jwk::EllipticCurve::P256,
    coordinate: 32,
    signing: &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
    verification: &signature::ECDSA_P256_SHA256_FIXED,
    agreement: &ring::agreement::ECDH_P256,
};

static P384: Ecdsa = Ecdsa {
    curve: jsonwebtoken::jwk::EllipticCurve::P384,
    coordinate: 48,
    signing: &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
    verification: &signature::ECDSA_P384_SHA384_FIXED,
    agreement: &ring::agreement::ECDH_P384,
};

#[rustfmt::skip]
static SPECIFICATIONS: [Specification; 12] = {
    use Primitive::{Ecdsa, Ed25519, Hmac, Rsa};
    use signature::*;
    const fn of(algorithm: Algorithm, name: &'static str, primitive: Primitive) -> Specification {
        Specification { algorithm, name, primitive }
    }
    [
        of(Algorithm::EdDSA, "EdDSA", Ed25519),
        of(Algorithm::HS256, "HS256", Hmac(hmac::HMAC_SHA256)),
        of(Algorithm::HS384, "HS384", Hmac(hmac::HMAC_SHA384)),
        of(Algorithm::HS512, "HS512", Hmac(hmac::HMAC_SHA512)),
        of(Algorithm::ES256, "ES256", Ecdsa(&P256)),
        of(Algorithm::ES384, "ES384", Ecdsa(&P384)),
        of(Algorithm::RS256, "RS256", Rsa(&RSA_PKCS1_2048_8192_SHA256, &RSA_PKCS1_SHA256)),
        of(Algorithm::RS384, "RS384", Rsa(&RSA_PKCS1_2048_8192_SHA384, &RSA_PKCS1_SHA384)),
        of(Algorithm::RS512, "RS512", Rsa(&RSA_PKCS1_2048_8192_SHA512, &RSA_PKCS1_SHA512)),
        of(Algorithm::PS256, "PS256", Rsa(&RSA_PSS_2048_8192_SHA256, &RSA_PSS_SHA256)),
        of(Algorithm::PS384, "PS384", Rsa(&RSA_PSS_2048_8192_SHA384, &RSA_PSS_SHA384)),
        of(Algorithm::PS512, "PS512", Rsa(&RSA_PSS_2048_8192_SHA512, &RSA_PSS_SHA512)),
    ]
};
