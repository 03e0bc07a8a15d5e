//! New key material, and material derived from a secret.

use zeroize::Zeroizing;

use crate::crypto::algorithm::{Algorithm, Primitive};
use crate::crypto::backend;
use crate::crypto::error::KeyError;

/// Makes new key material: a secret as long as the hash (RFC 7518, section 3.2), or PKCS#8.
/// RSA keys come from the application.
pub(crate) fn generate(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    match algorithm.primitive() {
        Primitive::Hmac(hash) => {
            let mut secret = Zeroizing::new(vec![0; hash.length()]);
            backend::fill_random(&mut secret)?;
            Ok(secret)
        }
        primitive => backend::generate_pkcs8(primitive),
    }
}

/// Derives key material from a root secret by HKDF-SHA-256 (RFC 5869): a secret as long as the
/// hash, or an Ed25519 seed as PKCS#8.
pub(crate) fn derive(
    algorithm: Algorithm,
    root: &[u8],
    info: &[&[u8]],
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let length = match algorithm.primitive() {
        Primitive::Hmac(hash) => hash.length(),
        Primitive::Ed25519 => ED25519_SEED_BYTES,
        _ => return Err(KeyError::unsupported_algorithm()),
    };
    let secret = backend::hkdf_sha256(b"tower-jwt-session derived ring 1", root, info, length)
        .ok_or_else(KeyError::unsupported_algorithm)?;
    Ok(match algorithm.primitive() {
        Primitive::Ed25519 => ed25519_pkcs8(&secret),
        _ => secret,
    })
}

/// Returns a value that identifies `secret` and reveals nothing of it.
pub(crate) fn commitment(secret: &[u8]) -> [u8; 32] {
    backend::hmac_sha256(secret, b"tower-jwt-session key ID")
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

const ED25519_SEED_BYTES: usize = 32;
