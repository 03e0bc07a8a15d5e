//! What is refused as a key's material before anything is done with it.

use ring::rand::SystemRandom;
use ring::rsa;

use super::{Ecdsa, KeyError};

/// Refuses a secret that is too short, or looks like text, or repeats itself.
pub(crate) fn check_random(secret: &[u8], least: usize) -> Result<(), KeyError> {
    if secret.len() < least {
        return Err(KeyError::ShortSecret { least, bytes: secret.len() });
    }
    // Of 32 random bytes all are printable ASCII once in 10^13 times, and to hold no more than 8
    // different values is far rarer.
    let is_text = secret.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let values: std::collections::HashSet<_> = secret.iter().collect();
    if is_text || values.len() <= 8 {
        return Err(KeyError::NotRandom);
    }
    Ok(())
}

/// Refuses the points of small order, under which anyone can make a signature (RFC 8032, section
/// 5.1.7 leaves them to the application).
pub(super) fn check_ed25519(point: &[u8]) -> Result<(), KeyError> {
    let mut point: [u8; 32] = point.try_into().map_err(|_| KeyError::InvalidPublicKey)?;
    point[31] &= 0x7f;
    if SMALL_ORDER.contains(&point) {
        return Err(KeyError::InvalidPublicKey);
    }
    Ok(())
}

/// Refuses what is not a point of the curve. A signature's verification would refuse it too, but
/// only at the first token; a key agreement with it tells it now.
pub(super) fn check_curve_point(ecdsa: &Ecdsa, point: &[u8]) -> Result<(), KeyError> {
    let ephemeral =
        ring::agreement::EphemeralPrivateKey::generate(ecdsa.agreement, &SystemRandom::new())
            .map_err(|_| KeyError::RandomGenerator)?;
    let public = ring::agreement::UnparsedPublicKey::new(ecdsa.agreement, point);
    ring::agreement::agree_ephemeral(ephemeral, &public, |_| ())
        .map_err(|_| KeyError::InvalidPublicKey)
}

/// Refuses moduli outside 2048 to 8192 bits and exponents that are even, below 3 or past 33 bits:
/// the limits that `ring` puts to a verification.
pub(super) fn check_rsa(components: &rsa::PublicKeyComponents<Vec<u8>>) -> Result<(), KeyError> {
    // RFC 7518, section 6.3.1: the least number of octets.
    if components.n.first() == Some(&0) || components.e.first() == Some(&0) {
        return Err(KeyError::InvalidPublicKey);
    }
    let bits = |number: &[u8]| match number.first() {
        None => 0,
        Some(first) => number.len() * 8 - first.leading_zeros() as usize,
    };
    let modulus = bits(&components.n);
    if !(2048..=8192).contains(&modulus) {
        return Err(KeyError::RsaModulus { bits: modulus });
    }
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if !odd(&components.n) || !odd(&components.e) || !(2..=33).contains(&bits(&components.e)) {
        return Err(KeyError::InvalidPublicKey);
    }
    Ok(())
}

/// The y coordinates of all points of small order, the sign bit cleared, also where they are not
/// reduced modulo p.
#[rustfmt::skip]
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
        0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
        0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    near_p(0xec),
    near_p(0xed),
    near_p(0xee),
];

/// p = 2^255 - 19 with another last digit, little-endian.
const fn near_p(low: u8) -> [u8; 32] {
    let mut number = [0xff; 32];
    number[0] = low;
    number[31] = 0x7f;
    number
}
