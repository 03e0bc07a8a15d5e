//! Checks of key material that no backend has to make.

use crate::crypto::algorithm::{Algorithm, Curve, Primitive};
use crate::crypto::der::{self, KeyType};
use crate::crypto::error::KeyError;
use crate::crypto::numbers::{PublicKey, RsaPublic};

/// Returns the type of key that an algorithm needs; `None` for HMAC.
pub(crate) fn key_type(algorithm: Algorithm) -> Option<KeyType> {
    match algorithm.primitive() {
        Primitive::Ed25519 => Some(KeyType::Ed25519),
        Primitive::Ecdsa(Curve::P256) => Some(KeyType::P256),
        Primitive::Ecdsa(Curve::P384) => Some(KeyType::P384),
        Primitive::Pkcs1(_) | Primitive::Pss(_) => Some(KeyType::Rsa),
        Primitive::Hmac(_) => None,
    }
}

/// Refuses a secret that is too short, a private document that is for another algorithm, and an RSA
/// key that cannot sign here: the backend would refuse them too, but does not say why.
pub(crate) fn check_private(algorithm: Algorithm, material: &[u8]) -> Result<(), KeyError> {
    let Some(expected) = key_type(algorithm) else {
        let least = secret_length(algorithm)?;
        let bytes = material.len();
        return if bytes < least { Err(KeyError::short_secret(least, bytes)) } else { Ok(()) };
    };
    if der::has_more(material) {
        let reason = "more follows its end; expected an unencrypted PKCS#8 document";
        return Err(KeyError::invalid_private_key(algorithm.as_str(), reason));
    }
    let info = der::private_key_info(material);
    if let Some((found, _)) = &info
        && *found != expected
    {
        let expected = format!("{} for {algorithm}", expected.name());
        return Err(KeyError::wrong_kind(found.name().to_owned(), expected));
    }
    if expected == KeyType::Rsa
        && let Some(public) = der::rsa_private_key(info.map_or(material, |(_, key)| key))
    {
        check_rsa(algorithm, &public)?;
        check_private_exponent(&public.e)?;
    }
    Ok(())
}

/// Returns the least length of a shared secret in bytes; fails for what is not HMAC.
pub(crate) fn secret_length(algorithm: Algorithm) -> Result<usize, KeyError> {
    match algorithm.primitive() {
        Primitive::Hmac(hash) => Ok(hash.length()),
        _ => Err(KeyError::unsupported_algorithm()),
    }
}

/// Refuses a public key of another type, and numbers that no key of its type has.
pub(crate) fn check_public(algorithm: Algorithm, public: &PublicKey) -> Result<(), KeyError> {
    match (key_type(algorithm), public) {
        (Some(KeyType::Rsa), PublicKey::Rsa(numbers)) => check_rsa(algorithm, numbers),
        (Some(KeyType::Ed25519), PublicKey::Bytes(point)) => check_ed25519(algorithm, point),
        (Some(KeyType::P256 | KeyType::P384), PublicKey::Bytes(point)) => match point.first() {
            Some(4) => Ok(()),
            _ => Err(not_a_point(algorithm, point)),
        },
        _ => Err(KeyError::unsupported_algorithm()),
    }
}

/// Why bytes are no point of the curve, as SEC 1 writes it uncompressed (section 2.3.3).
pub(crate) fn not_a_point(algorithm: Algorithm, point: &[u8]) -> KeyError {
    let reason = match point.first() {
        Some(2 | 3) => "its point is compressed, expected x and y",
        _ => "it is not a point on its curve",
    };
    KeyError::invalid_public_key(algorithm.as_str(), reason)
}

/// Translates why a backend refuses a private key.
pub(crate) fn rejected(algorithm: Algorithm, reason: &str) -> KeyError {
    let reason = match reason {
        "InconsistentComponents" => "its private and public parts do not match".to_owned(),
        "PublicKeyIsMissing" => {
            "it lacks its public half: add it with `openssl pkey -in old.pem -out new.pem`"
                .to_owned()
        }
        other => format!("{other}; expected an unencrypted PKCS#8 document"),
    };
    KeyError::invalid_private_key(algorithm.as_str(), reason)
}

/// `ring` signs only with exponents from 65537.
pub(crate) fn check_private_exponent(exponent: &[u8]) -> Result<(), KeyError> {
    match number(exponent) {
        Some(small) if small < 65537 => {
            Err(KeyError::rsa_exponent(small.to_string(), "at least 65537 for a key that signs"))
        }
        _ => Ok(()),
    }
}

/// Refuses the points of small order, under which anyone can make a signature (RFC 8032, section
/// 5.1.7 leaves them to the application).
fn check_ed25519(algorithm: Algorithm, point: &[u8]) -> Result<(), KeyError> {
    let invalid = |reason| KeyError::invalid_public_key(algorithm.as_str(), reason);
    let mut point: [u8; 32] = point.try_into().map_err(|_| invalid("it is not 32 bytes long"))?;
    point[31] &= 0x7f;
    if SMALL_ORDER.contains(&point) {
        return Err(invalid("it is a point of small order"));
    }
    Ok(())
}

/// Refuses moduli outside 2048 to 8192 bits and exponents that are even, below 3 or past 33 bits:
/// the limits of the backend for a verification.
fn check_rsa(algorithm: Algorithm, components: &RsaPublic) -> Result<(), KeyError> {
    let invalid = |reason| KeyError::invalid_public_key(algorithm.as_str(), reason);
    // RFC 7518, section 6.3.1: the least number of octets.
    if components.n.first() == Some(&0) || components.e.first() == Some(&0) {
        return Err(invalid("a number begins with zeros"));
    }
    let bits = |number: &[u8]| match number.first() {
        None => 0,
        Some(first) => number.len() * 8 - first.leading_zeros() as usize,
    };
    let modulus = bits(&components.n);
    if !(2048..=8192).contains(&modulus) {
        return Err(KeyError::rsa_modulus(modulus));
    }
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if !odd(&components.n) {
        return Err(invalid("its modulus is even"));
    }
    if !odd(&components.e) || !(2..=33).contains(&bits(&components.e)) {
        let found = match number(&components.e) {
            Some(exponent) => exponent.to_string(),
            None => format!("a number of {} bits", bits(&components.e)),
        };
        let expected = "an odd number from 3 to 33 bits, usually 65537";
        return Err(KeyError::rsa_exponent(found, expected));
    }
    Ok(())
}

/// A big-endian number, if it is not too large.
fn number(bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.get(..bytes.len().min(9)).unwrap_or_default();
    bytes.iter().try_fold(0_u64, |number, byte| {
        number.checked_mul(256).map(|number| number + u64::from(*byte))
    })
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
