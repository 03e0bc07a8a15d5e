//! Reads the type of key from DER: of a PKCS#8 document (RFC 5208) or a SubjectPublicKeyInfo (RFC
//! 5280, section 4.1); and the numbers of an RSA key.

use crate::crypto::numbers::RsaPublic;

/// The type of a key, from its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    Ed25519,
    P256,
    P384,
    Rsa,
    /// A type that is not supported, by its usual name.
    Other(&'static str),
}

impl KeyType {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ed25519 => "an Ed25519 key",
            Self::P256 => "an EC key on P-256",
            Self::P384 => "an EC key on P-384",
            Self::Rsa => "an RSA key",
            Self::Other(name) => name,
        }
    }
}

/// Returns whether anything follows a document.
pub(crate) fn has_more(der: &[u8]) -> bool {
    element(der, SEQUENCE).is_some_and(|(_, after)| !after.is_empty())
}

/// The type of a PKCS#8 document's key, and the key as its algorithm writes it.
pub(crate) fn private_key_info(der: &[u8]) -> Option<(KeyType, &[u8])> {
    let (info, _) = element(der, SEQUENCE)?;
    let (_version, rest) = element(info, INTEGER)?;
    let (algorithm, rest) = element(rest, SEQUENCE)?;
    let (key, _) = element(rest, OCTET_STRING)?;
    Some((key_type(algorithm)?, key))
}

/// The type of a SubjectPublicKeyInfo's key, and the key as its algorithm writes it.
pub(crate) fn public_key_info(der: &[u8]) -> Option<(KeyType, &[u8])> {
    let (info, after) = element(der, SEQUENCE)?;
    let (algorithm, rest) = element(info, SEQUENCE)?;
    let (bits, end) = element(rest, BIT_STRING)?;
    let key = bits.strip_prefix(&[0])?;
    (after.is_empty() && end.is_empty()).then_some((key_type(algorithm)?, key))
}

/// Reads an `RSAPublicKey` (RFC 8017, appendix A.1.1): a sequence of two integers.
pub(crate) fn rsa_public_key(der: &[u8]) -> Option<RsaPublic> {
    let (sequence, after) = element(der, SEQUENCE)?;
    let (modulus, rest) = element(sequence, INTEGER)?;
    let (exponent, end) = element(rest, INTEGER)?;
    (after.is_empty() && end.is_empty()).then(|| components(modulus, exponent))
}

/// The public numbers of an `RSAPrivateKey` (RFC 8017, appendix A.1.2).
pub(crate) fn rsa_private_key(der: &[u8]) -> Option<RsaPublic> {
    let (sequence, _) = element(der, SEQUENCE)?;
    let (_version, rest) = element(sequence, INTEGER)?;
    let (modulus, rest) = element(rest, INTEGER)?;
    let (exponent, _) = element(rest, INTEGER)?;
    Some(components(modulus, exponent))
}

fn components(modulus: &[u8], exponent: &[u8]) -> RsaPublic {
    // A leading zero marks a positive number.
    let number = |bytes: &[u8]| bytes.strip_prefix(&[0]).unwrap_or(bytes).to_vec();
    RsaPublic { n: number(modulus), e: number(exponent) }
}

/// The type that an `AlgorithmIdentifier` names.
fn key_type(algorithm: &[u8]) -> Option<KeyType> {
    let (object, parameters) = element(algorithm, OBJECT)?;
    Some(match object {
        // 1.3.101.112, .113, .110 and .111 (RFC 8410).
        [0x2b, 0x65, 0x70] => KeyType::Ed25519,
        [0x2b, 0x65, 0x71] => KeyType::Other("an Ed448 key"),
        [0x2b, 0x65, 0x6e | 0x6f] => KeyType::Other("a key for key agreement (X25519, X448)"),
        // 1.2.840.113549.1.1.1 and .10 (RFC 8017).
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01] => KeyType::Rsa,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => {
            KeyType::Other("an RSA key for RSASSA-PSS alone")
        }
        // 1.2.840.10045.2.1 (RFC 5480).
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01] => match element(parameters, OBJECT)?.0 {
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] => KeyType::P256,
            [0x2b, 0x81, 0x04, 0x00, 0x22] => KeyType::P384,
            [0x2b, 0x81, 0x04, 0x00, 0x23] => KeyType::Other("an EC key on P-521"),
            [0x2b, 0x81, 0x04, 0x00, 0x0a] => KeyType::Other("an EC key on secp256k1"),
            _ => KeyType::Other("an EC key on another curve"),
        },
        _ => KeyType::Other("a key for another algorithm"),
    })
}

/// Splits a DER element of that tag into its content and what follows.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        // A length of one or two bytes is enough for every supported key.
        long @ 0x81..=0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
