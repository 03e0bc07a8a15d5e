//! The crypto backend `ring`: the only file that names that crate.

use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, Ed25519KeyPair,
    KeyPair as _, RsaEncoding, RsaParameters, UnparsedPublicKey, VerificationAlgorithm,
};
use ring::{agreement, digest, hkdf, hmac, rsa};
use zeroize::Zeroizing;

use crate::crypto::algorithm::{Algorithm, Curve, Hash, Primitive};
use crate::crypto::error::KeyError;
use crate::crypto::material::{not_a_point, rejected};
use crate::crypto::numbers::{PrivateKey, PublicKey, RsaPublic};
use crate::crypto::operations::{Pair, Sign, Signature, Verify};

/// Makes both halves of a private or shared key.
pub(crate) fn pair(algorithm: Algorithm, private: &PrivateKey) -> Result<Pair, KeyError> {
    let rejected = |error: ring::error::KeyRejected| rejected(algorithm, &error.to_string());
    let random = SystemRandom::new();
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
                PrivateKey::Document(pkcs8) => Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8),
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
                PrivateKey::Document(pkcs8) => EcdsaKeyPair::from_pkcs8(signing, pkcs8, &random),
                PrivateKey::Scalar(scalar, public) => {
                    EcdsaKeyPair::from_private_key_and_public_key(signing, scalar, public, &random)
                }
                PrivateKey::Rsa(..) => return Err(KeyError::unsupported_algorithm()),
            };
            let pair = pair.map_err(rejected)?;
            let public = PublicKey::Bytes(pair.public_key().as_ref().into());
            (Arc::new(Ecdsa(pair)), public)
        }
        (primitive @ (Primitive::Pkcs1(_) | Primitive::Pss(_)), private) => {
            // `ring` refuses a key whose numbers do not match.
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
            let rsa::PublicKeyComponents { n, e } = pair.public().into();
            (Arc::new(Rsa(pair, rsa_of(primitive)?.1)), PublicKey::Rsa(RsaPublic { n, e }))
        }
        (Primitive::Hmac(_), _) => return Err(KeyError::unsupported_algorithm()),
    };
    Ok(Pair { signer, verifier: verifier(algorithm, &public)?, public: Some(public) })
}

/// Makes a verifier; checks the numbers as far as possible without a signature.
pub(crate) fn verifier(
    algorithm: Algorithm,
    public: &PublicKey,
) -> Result<Box<dyn Verify>, KeyError> {
    let (verification, point): (&'static dyn VerificationAlgorithm, _) =
        match (algorithm.primitive(), public) {
            (Primitive::Ed25519, PublicKey::Bytes(point)) => (&signature::ED25519, point),
            (Primitive::Ecdsa(curve), PublicKey::Bytes(point)) => {
                check_curve_point(algorithm, curve, point)?;
                (verification_of(curve), point)
            }
            (primitive, PublicKey::Rsa(RsaPublic { n, e })) => {
                let components = rsa::PublicKeyComponents { n: n.clone(), e: e.clone() };
                return Ok(Box::new(RsaPublicKey(components, rsa_of(primitive)?.0)));
            }
            _ => return Err(KeyError::unsupported_algorithm()),
        };
    Ok(Box::new(Point(UnparsedPublicKey::new(verification, point.clone()))))
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
        Ok(Signature::from_slice(self.0.sign(message).as_ref()))
    }

    fn signature_length(&self) -> usize {
        64
    }
}

struct Ecdsa(EcdsaKeyPair);

impl Sign for Ecdsa {
    fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        Ok(Signature::from_slice(signature.map_err(|_| KeyError::random_generator())?.as_ref()))
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
        self.0.public().modulus_len()
    }
}

/// The public key of Ed25519 or ECDSA.
struct Point(UnparsedPublicKey<Box<[u8]>>);

impl Verify for Point {
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify(message, signature).is_ok()
    }
}

struct RsaPublicKey(rsa::PublicKeyComponents<Vec<u8>>, &'static RsaParameters);

impl Verify for RsaPublicKey {
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify(self.1, message, signature).is_ok()
    }
}

/// An AES-256-GCM key.
pub(crate) struct SealingCipher(LessSafeKey);

impl SealingCipher {
    /// The length of a key in bytes.
    pub(crate) const KEY_BYTES: usize = 32;

    pub(crate) fn new(secret: &[u8]) -> Result<Self, KeyError> {
        let key = UnboundKey::new(&AES_256_GCM, secret)
            .map_err(|_| KeyError::sealing_key_length(secret.len()))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Encrypts `material` in place, bound to `associated`; returns the random nonce and the
    /// ciphertext with its tag.
    pub(crate) fn seal(
        &self,
        mut material: Vec<u8>,
        associated: &[u8],
    ) -> Result<([u8; NONCE_LEN], Vec<u8>), KeyError> {
        let mut nonce = [0; NONCE_LEN];
        fill_random(&mut nonce)?;
        let unique = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(unique, Aad::from(associated), &mut material)
            .map_err(|_| KeyError::random_generator())?;
        Ok((nonce, material))
    }

    /// Decrypts; `None` if anything was changed.
    pub(crate) fn open(
        &self,
        nonce: &[u8],
        ciphertext: Vec<u8>,
        associated: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(ciphertext);
        let length = self.0.open_in_place(nonce, Aad::from(associated), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

/// Makes a new private key as a PKCS#8 document.
pub(crate) fn generate_pkcs8(primitive: Primitive) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let random = SystemRandom::new();
    let document = match primitive {
        Primitive::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
        Primitive::Ecdsa(curve) => EcdsaKeyPair::generate_pkcs8(signing_of(curve), &random),
        Primitive::Pkcs1(_) | Primitive::Pss(_) => return Err(KeyError::rsa_not_generated()),
        Primitive::Hmac(_) => return Err(KeyError::unsupported_algorithm()),
    };
    let document = document.map_err(|_| KeyError::random_generator())?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

/// HKDF-SHA-256 (RFC 5869); `None` if `length` exceeds 255 hashes.
pub(crate) fn hkdf_sha256(
    salt: &[u8],
    secret: &[u8],
    info: &[&[u8]],
    length: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let output = extracted.expand(info, Length(length)).ok()?;
    let mut derived = Zeroizing::new(vec![0; length]);
    output.fill(&mut derived).ok()?;
    Some(derived)
}

/// HMAC-SHA-256 (RFC 2104).
pub(crate) fn hmac_sha256(secret: &[u8], message: &[u8]) -> [u8; 32] {
    let mut code = [0; 32];
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    code.copy_from_slice(hmac::sign(&key, message).as_ref());
    code
}

/// SHA-256 (FIPS 180-4) of the parts, one behind the other.
pub(crate) fn sha256<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Fills `bytes` from the operating system's random generator.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), KeyError> {
    SystemRandom::new().fill(bytes).map_err(|_| KeyError::random_generator())
}

/// Refuses bytes that are not a point of the curve. Verifying a signature would refuse them too, but
/// only at the first token; a key agreement with them shows it now.
fn check_curve_point(algorithm: Algorithm, curve: Curve, point: &[u8]) -> Result<(), KeyError> {
    let agreement = match curve {
        Curve::P256 => &agreement::ECDH_P256,
        Curve::P384 => &agreement::ECDH_P384,
    };
    let ephemeral = agreement::EphemeralPrivateKey::generate(agreement, &SystemRandom::new())
        .map_err(|_| KeyError::random_generator())?;
    let public = agreement::UnparsedPublicKey::new(agreement, point);
    agreement::agree_ephemeral(ephemeral, &public, |_| ())
        .map_err(|_| not_a_point(algorithm, point))
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
