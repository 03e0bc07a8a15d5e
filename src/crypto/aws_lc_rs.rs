//! The crypto backend `aws-lc-rs`: the only file that names that crate.
//!
//! Unlike `ring` it accepts compressed points and what follows a document: [`material`](crate::crypto::material)
//! refuses both before.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, Ed25519KeyPair,
    KeyPair as _, ParsedPublicKey, RsaEncoding, RsaParameters,
};
use aws_lc_rs::{error, hmac};

use crate::crypto::algorithm::{Algorithm, Curve, Hash, Primitive};
use crate::crypto::der;
use crate::crypto::error::KeyError;
use crate::crypto::material::{not_a_point, rejected};
use crate::crypto::numbers::{PrivateKey, PublicKey, RsaPublic};
use crate::crypto::operations::{Pair, Sign, Signature, Verify};

/// Makes both halves of a private or shared key.
pub(crate) fn pair(algorithm: Algorithm, private: &PrivateKey) -> Result<Pair, KeyError> {
    let rejected = |error: error::KeyRejected| rejected(algorithm, &error.to_string());
    let (signer, public): (Arc<dyn Sign>, _) = match (algorithm.primitive(), private) {
        (Primitive::Hmac(hash), PrivateKey::Document(secret)) => {
            let key = hmac::Key::new(hmac_of(hash), secret);
            return Ok(Pair {
                signer: Arc::new(Hmac(key.clone())),
                verifier: Box::new(Hmac(key)),
                public: None,
            });
        }
        (Primitive::Ed25519, private) => {
            let pair = match private {
                PrivateKey::Document(pkcs8) => Ed25519KeyPair::from_pkcs8(pkcs8),
                PrivateKey::Scalar(seed, public) => {
                    Ed25519KeyPair::from_seed_and_public_key(seed, public)
                }
                PrivateKey::Rsa(..) => return Err(KeyError::unsupported_algorithm()),
            };
            let pair = pair.map_err(rejected)?;
            let public = PublicKey::Bytes(pair.public_key().as_ref().into());
            (Arc::new(Ed25519(pair)), public)
        }
        (Primitive::Ecdsa(curve), private) => {
            let signing = signing_of(curve);
            let pair = match private {
                PrivateKey::Document(pkcs8) => EcdsaKeyPair::from_pkcs8(signing, pkcs8),
                PrivateKey::Scalar(scalar, public) => {
                    EcdsaKeyPair::from_private_key_and_public_key(signing, scalar, public)
                }
                PrivateKey::Rsa(..) => return Err(KeyError::unsupported_algorithm()),
            };
            let pair = pair.map_err(rejected)?;
            let public = PublicKey::Bytes(pair.public_key().as_ref().into());
            (Arc::new(Ecdsa(pair)), public)
        }
        (primitive @ (Primitive::Pkcs1(_) | Primitive::Pss(_)), private) => {
            let pair = match private {
                PrivateKey::Document(document) => {
                    rsa::KeyPair::from_pkcs8(document).or_else(|_| rsa::KeyPair::from_der(document))
                }
                PrivateKey::Rsa(public, private) => {
                    rsa::KeyPair::from_components(&rsa::KeyPairComponents {
                        public_key: rsa::PublicKeyComponents { n: &*public.n, e: &*public.e },
                        d: &*private.d,
                        p: &*private.p,
                        q: &*private.q,
                        dP: &*private.dp,
                        dQ: &*private.dq,
                        qInv: &*private.qi,
                    })
                }
                PrivateKey::Scalar(..) => return Err(KeyError::unsupported_algorithm()),
            };
            let pair = pair.map_err(rejected)?;
            let public = der::rsa_public_key(pair.public_key().as_ref())
                .ok_or_else(KeyError::unsupported_algorithm)?;
            (Arc::new(Rsa(pair, rsa_of(primitive)?.1)), PublicKey::Rsa(public))
        }
        (Primitive::Hmac(_), _) => return Err(KeyError::unsupported_algorithm()),
    };
    Ok(Pair { signer, verifier: verifier(algorithm, &public)?, public: Some(public) })
}

/// Makes a verifier.
pub(crate) fn verifier(
    algorithm: Algorithm,
    public: &PublicKey,
) -> Result<Box<dyn Verify>, KeyError> {
    let parsed = match (algorithm.primitive(), public) {
        (Primitive::Ed25519, PublicKey::Bytes(point)) => {
            ParsedPublicKey::new(&signature::ED25519, point)
        }
        (Primitive::Ecdsa(curve), PublicKey::Bytes(point)) => {
            Ok(ParsedPublicKey::new(verification_of(curve), point)
                .map_err(|_| not_a_point(algorithm, point))?)
        }
        (primitive, PublicKey::Rsa(RsaPublic { n, e })) => {
            rsa::PublicKeyComponents { n, e }.to_parsed_public_key(rsa_of(primitive)?.0)
        }
        _ => return Err(KeyError::unsupported_algorithm()),
    };
    let invalid = |error| KeyError::invalid_public_key(algorithm.as_str(), error);
    let parsed = parsed.map_err(invalid)?;
    Ok(Box::new(Public(parsed)))
}

struct Hmac(hmac::Key);

impl Sign for Hmac {
    fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        Ok(Signature::from_slice(hmac::sign(&self.0, message).as_ref()))
    }

    fn signature_length(&self) -> usize {
        self.0.algorithm().digest_algorithm().output_len()
    }
}

impl Verify for Hmac {
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.0, message, signature).is_ok()
    }
}

struct Ed25519(Ed25519KeyPair);

impl Sign for Ed25519 {
    fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        signed(self.0.try_sign(message))
    }

    fn signature_length(&self) -> usize {
        64
    }
}

struct Ecdsa(EcdsaKeyPair);

impl Sign for Ecdsa {
    fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        signed(self.0.sign(&SystemRandom::new(), message))
    }

    fn signature_length(&self) -> usize {
        // r and s: as long as the two coordinates of the uncompressed point.
        self.0.public_key().as_ref().len() - 1
    }
}

struct Rsa(rsa::KeyPair, &'static dyn RsaEncoding);

impl Sign for Rsa {
    fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        let mut signature = Signature::from_elem(0, self.signature_length());
        self.0
            .sign(self.1, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| KeyError::random_generator())?;
        Ok(signature)
    }

    fn signature_length(&self) -> usize {
        self.0.public_modulus_len()
    }
}

struct Public(ParsedPublicKey);

impl Verify for Public {
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

fn signed(
    signature: Result<signature::Signature, error::Unspecified>,
) -> Result<Signature, KeyError> {
    let signature = signature.map_err(|_| KeyError::random_generator())?;
    Ok(Signature::from_slice(signature.as_ref()))
}

fn hmac_of(hash: Hash) -> hmac::Algorithm {
    match hash {
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
        Hash::Sha512 => hmac::HMAC_SHA512,
    }
}

fn signing_of(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
    }
}

fn verification_of(curve: Curve) -> &'static EcdsaVerificationAlgorithm {
    match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED,
    }
}

fn rsa_of(
    primitive: Primitive,
) -> Result<(&'static RsaParameters, &'static dyn RsaEncoding), KeyError> {
    use signature::*;
    Ok(match primitive {
        Primitive::Pkcs1(Hash::Sha256) => (&RSA_PKCS1_2048_8192_SHA256, &RSA_PKCS1_SHA256),
        Primitive::Pkcs1(Hash::Sha384) => (&RSA_PKCS1_2048_8192_SHA384, &RSA_PKCS1_SHA384),
        Primitive::Pkcs1(Hash::Sha512) => (&RSA_PKCS1_2048_8192_SHA512, &RSA_PKCS1_SHA512),
        Primitive::Pss(Hash::Sha256) => (&RSA_PSS_2048_8192_SHA256, &RSA_PSS_SHA256),
        Primitive::Pss(Hash::Sha384) => (&RSA_PSS_2048_8192_SHA384, &RSA_PSS_SHA384),
        Primitive::Pss(Hash::Sha512) => (&RSA_PSS_2048_8192_SHA512, &RSA_PSS_SHA512),
        _ => return Err(KeyError::unsupported_algorithm()),
    })
}
