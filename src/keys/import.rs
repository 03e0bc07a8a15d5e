//! Keys of the application's own, as they are usually written: PEM, JWK, and the text of a secret.

use crate::crypto::algorithm::Algorithm;

use super::jwk::Jwk;
use super::key::Key;
use super::pem;
use crate::crypto::error::KeyError;
use crate::crypto::material::key_type;

impl Key {
    /// A private or public key as PEM (RFC 7468): `PRIVATE KEY` (PKCS#8), `PUBLIC KEY`, and for RSA
    /// also `RSA PRIVATE KEY` and `RSA PUBLIC KEY`; not encrypted.
    ///
    /// Line breaks may be written `\n`, as environment variables often have them.
    ///
    /// # Errors
    ///
    /// If the text holds no such key, several, or one that is not for `algorithm`; for a kind that
    /// is not read here the error says how to convert it.
    pub fn from_pem(algorithm: Algorithm, pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let expected = key_type(algorithm).ok_or(KeyError::UnsupportedAlgorithm)?;
        let mut keys = pem::keys(pem.as_ref(), |found| match *found == expected {
            true => Ok(algorithm),
            false => Err(pem::wrong_type(found, format!("{} for {algorithm}", expected.name()))),
        })?;
        match (keys.len(), keys.pop()) {
            (1, Some(key)) => Ok(key),
            (several, _) => {
                Err(KeyError::Pem(format!("it holds {several} keys, expected 1: split it")))
            }
        }
    }

    /// A public key as the JSON text of a JWK (RFC 7517), with its own `kid` if it has one. It
    /// verifies.
    ///
    /// # Errors
    ///
    /// If it holds any private member, is not for verifying signatures (`use`, `key_ops`), names no
    /// algorithm though its type allows several (RSA), or its numbers are not a key.
    pub fn from_jwk(json: impl AsRef<str>) -> Result<Self, KeyError> {
        Jwk::parse(json.as_ref())?.public(None)
    }

    /// A private or shared key as the JSON text of a JWK (RFC 7517), with its own `kid` if it has
    /// one. It signs and verifies. With `alg` `Ed25519` (RFC 9864), so do the headers of its tokens.
    ///
    /// # Errors
    ///
    /// If a private member is missing or damaged, it is not for signing (`use`, `key_ops`), its
    /// private and public members do not match, it names no algorithm though its type allows
    /// several (RSA, `oct`), or a shared secret is not random.
    pub fn from_private_jwk(json: impl AsRef<str>) -> Result<Self, KeyError> {
        Jwk::parse(json.as_ref())?.private(None)
    }
}
