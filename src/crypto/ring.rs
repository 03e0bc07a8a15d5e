//! The crypto backend `ring`: the only file that names that crate.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, Ed25519KeyPair,
    KeyPair as _, RsaEncoding, RsaParameters, UnparsedPublicKey, VerificationAlgorithm,
};
use ring::{agreement, digest, hkdf, hmac, rsa};
use zeroize::Zeroizing;

use crate::crypto::algorithm::{Algorithm, Curve, Hash, MAX_SIGNATURE_BYTES, Primitive};
use crate::crypto::error::KeyError;
use crate::crypto::material;
use crate::crypto::numbers::{PublicKey, RsaPrivate, RsaPublic};

/// A private or shared key, ready to sign.
pub(crate) struct Signer(Signing);

enum Signing {
    Hmac(hmac::Key),
    Ed25519(Box<Ed25519KeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Rsa(Box<rsa::KeyPair>, &'static dyn RsaEncoding),
}

impl Signer {
    /// Makes a signer from a shared secret (HMAC), or else from a PKCS#8 document; for RSA also from
    /// a PKCS#1 one.
    pub(crate) fn new(algorithm: Algorithm, material: &[u8]) -> Result<Self, KeyError> {
        material::check_private(algorithm, material)?;
        let rejected = |error| rejected(algorithm, error);
        Ok(Self(match algorithm.primitive() {
            Primitive::Hmac(hash) => Signing::Hmac(hmac::Key::new(hmac_of(hash), material)),
            Primitive::Ed25519 => Signing::Ed25519(Box::new(
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(material).map_err(rejected)?,
            )),
            Primitive::Ecdsa(curve) => Signing::Ecdsa(Box::new(
                EcdsaKeyPair::from_pkcs8(signing_of(curve), material, &SystemRandom::new())
                    .map_err(rejected)?,
            )),
            // `ring` refuses a key whose numbers do not match.
            primitive @ (Primitive::Pkcs1(_) | Primitive::Pss(_)) => Signing::Rsa(
                Box::new(
                    rsa::KeyPair::from_pkcs8(material)
                        .or_else(|_| rsa::KeyPair::from_der(material))
                        .map_err(rejected)?,
                ),
                rsa_of(primitive)?.1,
            ),
        }))
    }

    /// Makes a signer from a private scalar, or seed, and its public key.
    pub(crate) fn of_scalar(
        algorithm: Algorithm,
        private: &[u8],
        public: &[u8],
    ) -> Result<Self, KeyError> {
        let rejected = |error| rejected(algorithm, error);
        Ok(Self(match algorithm.primitive() {
            Primitive::Ed25519 => Signing::Ed25519(Box::new(
                Ed25519KeyPair::from_seed_and_public_key(private, public).map_err(rejected)?,
            )),
            Primitive::Ecdsa(curve) => Signing::Ecdsa(Box::new(
                EcdsaKeyPair::from_private_key_and_public_key(
                    signing_of(curve),
                    private,
                    public,
                    &SystemRandom::new(),
                )
                .map_err(rejected)?,
            )),
            _ => return Err(KeyError::unsupported_algorithm()),
        }))
    }

    /// Makes a signer from an RSA key's numbers.
    pub(crate) fn of_rsa(
        algorithm: Algorithm,
        public: &RsaPublic,
        private: &RsaPrivate<'_>,
    ) -> Result<Self, KeyError> {
        let (_, encoding) = rsa_of(algorithm.primitive())?;
        material::check_private_exponent(&public.e)?;
        let RsaPrivate { d, p, q, dp, dq, qi } = *private;
        let public_key = rsa::PublicKeyComponents { n: &*public.n, e: &*public.e };
        let components = rsa::KeyPairComponents { public_key, d, p, q, dP: dp, dQ: dq, qInv: qi };
        let pair = rsa::KeyPair::from_components(&components)
            .map_err(|error| rejected(algorithm, error))?;
        Ok(Self(Signing::Rsa(Box::new(pair), encoding)))
    }

    /// Returns the public part as [`Verifier::new`] takes it; `None` for a shared secret.
    pub(crate) fn public(&self) -> Option<PublicKey> {
        Some(match &self.0 {
            Signing::Hmac(_) => return None,
            Signing::Ed25519(pair) => PublicKey::Bytes(pair.public_key().as_ref().into()),
            Signing::Ecdsa(pair) => PublicKey::Bytes(pair.public_key().as_ref().into()),
            Signing::Rsa(pair, _) => {
                let rsa::PublicKeyComponents { n, e } = pair.public().into();
                PublicKey::Rsa(RsaPublic { n, e })
            }
        })
    }

    /// Returns the length of a signature in bytes.
    pub(crate) fn signature_length(&self) -> usize {
        match &self.0 {
            Signing::Hmac(key) => key.algorithm().digest_algorithm().output_len(),
            Signing::Ed25519(_) => 64,
            // r and s: as long as the two coordinates of the uncompressed point.
            Signing::Ecdsa(pair) => pair.public_key().as_ref().len() - 1,
            Signing::Rsa(pair, _) => pair.public().modulus_len(),
        }
    }

    /// Signs, and hands the signature to `with`. Fails only if the system's random generator fails
    /// (ECDSA, RSA-PSS).
    pub(crate) fn sign<T>(
        &self,
        message: &[u8],
        with: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, KeyError> {
        let random = SystemRandom::new();
        let failed = |_| KeyError::random_generator();
        Ok(match &self.0 {
            Signing::Hmac(key) => with(hmac::sign(key, message).as_ref()),
            Signing::Ed25519(pair) => with(pair.sign(message).as_ref()),
            Signing::Ecdsa(pair) => with(pair.sign(&random, message).map_err(failed)?.as_ref()),
            Signing::Rsa(pair, encoding) => {
                let mut signature = [0; MAX_SIGNATURE_BYTES];
                let signature = &mut signature[..pair.public().modulus_len()];
                pair.sign(*encoding, &random, message, signature).map_err(failed)?;
                with(signature)
            }
        })
    }

    /// Returns the verifier of this signer's signatures.
    pub(crate) fn verifier(&self, algorithm: Algorithm) -> Result<Verifier, KeyError> {
        match (&self.0, self.public()) {
            (Signing::Hmac(key), _) => Ok(Verifier(Verifying::Hmac(key.clone()))),
            (_, Some(public)) => Verifier::new(algorithm, public),
            (_, None) => Err(KeyError::unsupported_algorithm()),
        }
    }
}

/// A public or shared key, ready to verify.
pub(crate) struct Verifier(Verifying);

enum Verifying {
    Hmac(hmac::Key),
    Public(UnparsedPublicKey<Box<[u8]>>),
    Rsa(rsa::PublicKeyComponents<Vec<u8>>, &'static RsaParameters),
}

impl Verifier {
    /// Makes a verifier; checks the numbers as far as possible without a signature.
    pub(crate) fn new(algorithm: Algorithm, public: PublicKey) -> Result<Self, KeyError> {
        material::check_public(algorithm, &public)?;
        let (verification, point): (&'static dyn VerificationAlgorithm, _) =
            match (algorithm.primitive(), public) {
                (Primitive::Ed25519, PublicKey::Bytes(point)) => (&signature::ED25519, point),
                (Primitive::Ecdsa(curve), PublicKey::Bytes(point)) => {
                    check_curve_point(algorithm, curve, &point)?;
                    (verification_of(curve), point)
                }
                (primitive, PublicKey::Rsa(RsaPublic { n, e })) => {
                    let components = rsa::PublicKeyComponents { n, e };
                    return Ok(Self(Verifying::Rsa(components, rsa_of(primitive)?.0)));
                }
                _ => return Err(KeyError::unsupported_algorithm()),
            };
        Ok(Self(Verifying::Public(UnparsedPublicKey::new(verification, point))))
    }

    /// Returns whether `signature` is this key's over `message`. HMACs are compared in constant time.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Verifying::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Verifying::Public(key) => key.verify(message, signature).is_ok(),
            Verifying::Rsa(components, parameters) => {
                components.verify(parameters, message, signature).is_ok()
            }
        }
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

/// SHA-256 (FIPS 180-4).
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
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
    agreement::agree_ephemeral(ephemeral, &public, |_| ()).map_err(|_| {
        let reason = match point.first() {
            Some(2 | 3) => "its point is compressed, expected x and y",
            _ => "it is not a point on its curve",
        };
        KeyError::invalid_public_key(algorithm.as_str(), reason)
    })
}

/// Translates why `ring` refuses a private key.
fn rejected(algorithm: Algorithm, error: ring::error::KeyRejected) -> KeyError {
    let reason = match error.to_string().as_str() {
        "InconsistentComponents" => "its private and public parts do not match".to_owned(),
        "PublicKeyIsMissing" => {
            "it lacks its public half: add it with `openssl pkey -in old.pem -out new.pem`"
                .to_owned()
        }
        other => format!("{other}; expected an unencrypted PKCS#8 document"),
    };
    KeyError::invalid_private_key(algorithm.as_str(), reason)
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
