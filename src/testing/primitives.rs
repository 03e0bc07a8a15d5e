//! The primitives behind keys and tokens, for tests with published vectors. An application needs none of them.

use crate::base64url::Buffer;
use crate::crypto::algorithm::Algorithm;
use crate::crypto::backend::{self, CryptoBackend};
use crate::crypto::error::KeyError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::keyring::ring::KeyRing;
use crate::keys::key::{Key, Operations};
use crate::token;
use crate::token::header_rules::{HeaderRules, TokenType};

/// Returns a key as a rotating or derived ring holds its own: one of Ed25519 verifies by
/// [signing again](crate::KeyRingBuilder::verify_by_signing).
///
/// # Errors
///
/// Fails if `material` is no PKCS#8 document or shared secret for the algorithm.
pub fn ring_key(
    algorithm: Algorithm,
    material: &[u8],
    backend: CryptoBackend,
) -> Result<Key, KeyError> {
    Key::of_ring(algorithm, material, Operations { backend, verify_by_signing: true })
}

/// Signs any bytes.
///
/// # Panics
///
/// If the key can't sign.
pub fn sign(key: &Key, message: &[u8]) -> Vec<u8> {
    let signer = key.signer().expect("a private or shared key");
    signer.sign(message).expect("the system's random generator").into_vec()
}

/// Returns whether `signature` is the key's signature of `message`, as the verifier checks it.
pub fn verify(key: &Key, message: &[u8], signature: &[u8]) -> bool {
    key.verify(message, signature)
}

/// Parses any compact JWS, finds its key and verifies its signature, as the verifier does before it
/// reads claims. Returns the payload, which need not be claims. The header may have no `typ`.
///
/// ```
/// use tower_jwt_session::testing::{self, primitives};
/// use tower_jwt_session::{Algorithm, KeyRing};
///
/// let key = testing::fixed_key(Algorithm::EdDSA);
/// let header = format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, key.key_id());
/// let token = testing::mint(&key, header, "any payload");
///
/// let ring = KeyRing::fixed([key]).build()?;
/// assert_eq!(primitives::open(&ring, &token).unwrap(), b"any payload");
/// assert!(primitives::open(&ring, &token[1..]).is_err());
/// # Ok::<_, tower_jwt_session::BuildError>(())
/// ```
///
/// # Errors
///
/// Fails if it is not a compact JWS, or not signed by a key of the ring.
pub fn open(ring: &KeyRing, token: &str) -> Result<Vec<u8>, Rejection> {
    let now = ring.now();
    let keys = ring.keys(now);
    let mut buffer = Buffer::new();
    let (token, any) = (token.as_bytes(), Some("JWT".into()));
    let rules = HeaderRules::of_type(TokenType::Other { name: any, or_none: true });
    let (segments, _) = token::verify::authenticate(
        token,
        &keys,
        &rules,
        &mut buffer,
        now,
        &mut token::checks::Nobody,
    )?;
    let payload = buffer.decode(segments.payload);
    let payload = payload.ok_or_else(|| Rejection::new(RejectionKind::Malformed))?;
    Ok(payload.to_vec())
}

/// Computes HKDF-SHA-256 (RFC 5869), with which a [derived ring](KeyRing::derived) makes its keys;
/// `None` if `length` exceeds 255 hashes.
pub fn hkdf_sha256(salt: &[u8], secret: &[u8], info: &[u8], length: usize) -> Option<Vec<u8>> {
    backend::hkdf_sha256(salt, secret, &[info], length).map(|derived| derived.to_vec())
}
