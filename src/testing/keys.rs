//! Fixed keys, and tokens that no issuer would write.

use crate::base64url;
use crate::clock::Clock;
use crate::crypto::algorithm::Algorithm;
use crate::keyring::ring::KeyRing;
use crate::keys::key::Key;
use crate::testing::primitives::sign;

/// Returns the fixed key of `algorithm`.
///
/// # Panics
///
/// Panics for an algorithm that this crate does not support.
pub fn fixed_key(algorithm: Algorithm) -> Key {
    let key = match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Key::hmac_from_text(
            algorithm,
            b"a fixed secret for tests, sixty-four bytes long, and never used!",
        ),
        Algorithm::ES256 => Key::from_pkcs8_der(algorithm, include_bytes!("p-256.pk8")),
        Algorithm::ES384 => Key::from_pkcs8_der(algorithm, include_bytes!("p-384.pk8")),
        Algorithm::EdDSA | Algorithm::Ed25519 => {
            Key::from_pkcs8_der(algorithm, include_bytes!("ed25519.pk8"))
        }
        _ => Key::from_pkcs8_der(algorithm, include_bytes!("rsa-2048.pk8")),
    };
    key.expect("a known algorithm")
}

/// Returns a ring of the fixed Ed25519 key.
pub fn fixed_ring(clock: impl Clock) -> KeyRing {
    KeyRing::fixed([fixed_key(Algorithm::EdDSA)]).clock(clock).build().expect("one good key")
}

/// Signs any header and payload unchanged, for tokens that no issuer would write.
///
/// # Panics
///
/// Panics if the key can't sign.
pub fn mint(key: &Key, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let signed = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
    let signature = sign(key, signed.as_bytes());
    format!("{signed}.{}", base64url::encode(signature))
}
