//! Reads the application's own keys from PEM and JWK.

use super::jwk::Jwk;
use super::key::Key;
use super::pem;
use crate::crypto::algorithm::Algorithm;
use crate::crypto::error::KeyError;
use crate::crypto::material::key_type;

impl Key {
    /// Reads an unencrypted private or public key from PEM (RFC 7468): `PRIVATE KEY` (PKCS#8),
    /// `PUBLIC KEY`, and for RSA also `RSA PRIVATE KEY` and `RSA PUBLIC KEY`.
    ///
    /// Line breaks may be written as `\n`, as is common in environment variables.
    ///
    /// # Errors
    ///
    /// Fails if the text holds no such key, several keys, or a key that is not for `algorithm`. For
    /// other kinds of PEM the error says how to convert them.
    pub fn from_pem(algorithm: Algorithm, pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let expected = key_type(algorithm).ok_or_else(KeyError::unsupported_algorithm)?;
        let mut keys = pem::keys(pem.as_ref(), |found| match *found == expected {
            true => Ok(algorithm),
            false => {
                let expected = format_args!("{} for {algorithm}", expected.name());
                Err(KeyError::wrong_kind(found.name(), expected))
            }
        })?;
        match (keys.len(), keys.pop()) {
            (1, Some(key)) => Ok(key),
            (several, _) => {
                Err(pem::refused(format_args!("it holds {several} keys, expected 1: split it")))
            }
        }
    }

    /// Reads a public key from the JSON text of a JWK (RFC 7517), with its `kid` if it has one.
    ///
    /// # Errors
    ///
    /// Fails if it holds a private member, is not for verifying signatures (`use`, `key_ops`), has no
    /// `alg` though its type allows several algorithms (RSA), or its numbers are not a key.
    pub fn from_jwk(json: impl AsRef<str>) -> Result<Self, KeyError> {
        Jwk::parse(json.as_ref())?.public(None)
    }

    /// Reads a private or shared key from the JSON text of a JWK (RFC 7517), with its `kid` if it has
    /// one. The key signs and verifies. If `alg` is `Ed25519` (RFC 9864), so is that of its tokens.
    ///
    /// # Errors
    ///
    /// Fails if a private member is missing or damaged, the key is not for signing (`use`,
    /// `key_ops`), its private and public members do not match, it has no `alg` though its type
    /// allows several algorithms (RSA, `oct`), or a shared secret is not random.
    pub fn from_private_jwk(json: impl AsRef<str>) -> Result<Self, KeyError> {
        Jwk::parse(json.as_ref())?.private(None)
    }
}
