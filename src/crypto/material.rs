//! What is refused as a key's material before anything is done with it.

use ring::rand::SystemRandom;
use ring::rsa;

pub(crate) use crate::crypto::algorithm::der;
pub(crate) use crate::crypto::algorithm::der::KeyType;
use crate::crypto::algorithm::{Ecdsa, KeyError, Primitive, Specification};

/// Refuses a private document that is for another algorithm, or an RSA key that cannot sign here:
/// the backend would refuse them too, but does not say why.
pub(crate) fn check_private(
    specification: &Specification,
    document: &[u8],
) -> Result<(), KeyError> {
    let expected = match &specification.primitive {
        Primitive::Ed25519 => KeyType::Ed25519,
        Primitive::Ecdsa(ecdsa) if ecdsa.coordinate == P256_BYTES => KeyType::P256,
        Primitive::Ecdsa(_) => KeyType::P384,
        Primitive::Rsa(..) => KeyType::Rsa,
        Primitive::Hmac(_) => return Ok(()),
    };
    let info = der::private_key_info(document);
    if let Some((found, _)) = &info
        && *found != expected
    {
        let expected = format!("{} for {}", expected.name(), specification.name);
        return Err(KeyError::WrongKind { found: found.name().to_owned(), expected });
    }
    if expected == KeyType::Rsa
        && let Some(public) = der::rsa_private_key(info.map_or(document, |(_, key)| key))
    {
        check_rsa(specification.name, &public)?;
        check_private_exponent(&public.e)?;
    }
    Ok(())
}

/// The backend signs only with exponents from 65537.
pub(crate) fn check_private_exponent(exponent: &[u8]) -> Result<(), KeyError> {
    match number(exponent) {
        Some(small) if small < 65537 => Err(KeyError::RsaExponent {
            found: small.to_string(),
            expected: "at least 65537 for a key that signs",
        }),
        _ => Ok(()),
    }
}

/// Says what the backend has against a private key.
pub(crate) fn rejected(algorithm: &'static str, error: ring::error::KeyRejected) -> KeyError {
    let reason = match error.to_string().as_str() {
        "InconsistentComponents" => "its private and public parts do not match".to_owned(),
        "PublicKeyIsMissing" => {
            "it lacks its public half: add it with `openssl pkey -in old.pem -out new.pem`"
                .to_owned()
        }
        other => format!("{other}; expected an unencrypted PKCS#8 document"),
    };
    KeyError::InvalidPrivateKey { algorithm, reason }
}

/// Refuses the points of small order, under which anyone can make a signature (RFC 8032, section
/// 5.1.7 leaves them to the application).
pub(crate) fn check_ed25519(point: &[u8]) -> Result<(), KeyError> {
    let invalid = |reason| KeyError::InvalidPublicKey { algorithm: "EdDSA", reason };
    let mut point: [u8; 32] = point.try_into().map_err(|_| invalid("it is not 32 bytes long"))?;
    point[31] &= 0x7f;
    if SMALL_ORDER.contains(&point) {
        return Err(invalid("it is a point of small order"));
    }
    Ok(())
}

/// Refuses what is not a point of the curve. A signature's verification would refuse it too, but
/// only at the first token; a key agreement with it tells it now.
pub(crate) fn check_curve_point(
    algorithm: &'static str,
    ecdsa: &Ecdsa,
    point: &[u8],
) -> Result<(), KeyError> {
    let ephemeral =
        ring::agreement::EphemeralPrivateKey::generate(ecdsa.agreement, &SystemRandom::new())
            .map_err(|_| KeyError::RandomGenerator)?;
    let public = ring::agreement::UnparsedPublicKey::new(ecdsa.agreement, point);
    ring::agreement::agree_ephemeral(ephemeral, &public, |_| ()).map_err(|_| {
        let reason = match point.first() {
            Some(2 | 3) => "its point is compressed, expected x and y",
            _ => "it is not a point on its curve",
        };
        KeyError::InvalidPublicKey { algorithm, reason }
    })
}

/// Refuses moduli outside 2048 to 8192 bits and exponents that are even, below 3 or past 33 bits:
/// the limits that `ring` puts to a verification.
pub(crate) fn check_rsa(
    algorithm: &'static str,
    components: &rsa::PublicKeyComponents<Vec<u8>>,
) -> Result<(), KeyError> {
    let invalid = |reason| KeyError::InvalidPublicKey { algorithm, reason };
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
        return Err(KeyError::RsaModulus { bits: modulus });
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
        return Err(KeyError::RsaExponent { found, expected });
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

const P256_BYTES: usize = 32;

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
