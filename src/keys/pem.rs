//! Reads keys from PEM (RFC 7468), with an error that says how to convert other documents.

use std::fmt;

use zeroize::Zeroizing;

use super::key::Key;
use crate::crypto::algorithm::Algorithm;
use crate::crypto::der;
use crate::crypto::der::KeyType;
use crate::crypto::error::{KeyError, KeyErrorKind};
use crate::crypto::material::key_type;
use crate::crypto::numbers::PublicKey;

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
        let mut keys = keys(pem.as_ref(), |found| match *found == expected {
            true => Ok(algorithm),
            false => {
                let expected = format_args!("{} for {algorithm}", expected.name());
                Err(KeyError::wrong_kind(found.name(), expected))
            }
        })?;
        match (keys.len(), keys.pop()) {
            (1, Some(key)) => Ok(key),
            (several, _) => {
                Err(refused(format_args!("it holds {several} keys, expected 1: split it")))
            }
        }
    }
}

/// Reads every key of a text. `choose` returns the algorithm for a type of key.
///
/// The two halves of one pair are one key.
pub(crate) fn keys(
    text: &[u8],
    choose: impl Fn(&KeyType) -> Result<Algorithm, KeyError>,
) -> Result<Vec<Key>, KeyError> {
    let mut keys: Vec<Key> = Vec::new();
    for block in blocks(text)? {
        let key = block.key(&choose)?;
        match keys.iter_mut().find(|other| other.key_id() == key.key_id()) {
            Some(same) if key.can_sign() => *same = key,
            Some(_) => {}
            None => keys.push(key),
        }
    }
    Ok(keys)
}

struct Block {
    label: String,
    document: Zeroizing<Vec<u8>>,
}

impl Block {
    fn key(
        &self,
        choose: impl Fn(&KeyType) -> Result<Algorithm, KeyError>,
    ) -> Result<Key, KeyError> {
        let Self { label, document } = self;
        let malformed = || refused(format!("the {label} block holds no such DER document"));
        match label.as_str() {
            "PRIVATE KEY" => {
                let (found, _) = der::private_key_info(document).ok_or_else(malformed)?;
                Key::from_material(choose(&found)?, document)
            }
            "RSA PRIVATE KEY" => Key::from_material(choose(&KeyType::Rsa)?, document),
            "PUBLIC KEY" => {
                let (found, bits) = der::public_key_info(document).ok_or_else(malformed)?;
                let algorithm = choose(&found)?;
                let public = match found {
                    KeyType::Rsa => {
                        PublicKey::Rsa(der::rsa_public_key(bits).ok_or_else(malformed)?)
                    }
                    _ => PublicKey::Bytes(bits.into()),
                };
                Key::from_public(algorithm, public, None)
            }
            "RSA PUBLIC KEY" => {
                let algorithm = choose(&KeyType::Rsa)?;
                let public = der::rsa_public_key(document).ok_or_else(malformed)?;
                Key::from_public(algorithm, PublicKey::Rsa(public), None)
            }
            label => Err(refused(other_label(label))),
        }
    }
}

/// How to convert a block that is not one of the four kinds.
fn other_label(label: &str) -> String {
    let (found, fix) = match label {
        "EC PRIVATE KEY" | "EC PARAMETERS" => (
            "a SEC1 document",
            "convert it to PKCS#8 with `openssl pkcs8 -topk8 -nocrypt -in old.pem -out new.pem`",
        ),
        "ENCRYPTED PRIVATE KEY" => ("encrypted", DECRYPT),
        "OPENSSH PRIVATE KEY" => (
            "a key of OpenSSH",
            "make a key with `openssl genpkey -algorithm ed25519 -out new.pem`",
        ),
        "CERTIFICATE" => {
            ("a certificate", "take its public key with `openssl x509 -pubkey -noout -in old.pem`")
        }
        _ => (
            "of an unknown kind",
            "give PRIVATE KEY, PUBLIC KEY, RSA PRIVATE KEY or RSA PUBLIC KEY",
        ),
    };
    format!("the block {label:?} is {found}: {fix}")
}

const DECRYPT: &str = "decrypt it with `openssl pkcs8 -in old.pem -out new.pem -topk8 -nocrypt`";

fn blocks(text: &[u8]) -> Result<Vec<Block>, KeyError> {
    let unescaped = unescape(text);
    let text = unescaped.as_ref().map_or(text, |text| text.as_slice());
    let begun = text.windows(BEGIN.len()).filter(|window| *window == BEGIN).count();
    if begun == 0 {
        return Err(refused(match text.trim_ascii_start().first() {
            None => "it is empty",
            Some(b'{') => "it is JSON: read it with `Key::from_private_jwk` or `Key::from_jwk`",
            Some(0x30) => "it is binary (DER): read it with `Key::from_pkcs8_der`",
            _ => "it has no line `-----BEGIN ..-----`",
        }));
    }
    // Without the parser's own words: they may quote what it read.
    let parsed = pem::parse_many(text)
        .map_err(|_| refused("a block is malformed: its base64, or its line `-----END ..-----`"))?;
    if parsed.len() != begun {
        return Err(refused("a block has no line `-----END ..-----`; the text may have been cut"));
    }
    let block = |block: pem::Pem| {
        let label = block.tag().chars().take(64).collect();
        let is_encrypted =
            block.headers().get("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED"));
        let document = Zeroizing::new(block.into_contents());
        match is_encrypted {
            true => Err(refused(format!("the block {label:?} is encrypted: {DECRYPT}"))),
            false => Ok(Block { label, document }),
        }
    };
    parsed.into_iter().map(block).collect()
}

/// Replaces `\n` by line breaks, as is common in environment variables; PEM has no other
/// backslashes.
fn unescape(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if !text.contains(&b'\\') {
        return None;
    }
    let mut unescaped = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = match rest {
            [b'\\', b'n', after @ ..] => {
                unescaped.push(b'\n');
                after
            }
            [b'\\', b'r', after @ ..] => after,
            _ => {
                unescaped.push(*first);
                after
            }
        };
    }
    Some(unescaped)
}

fn refused(reason: impl fmt::Display) -> KeyError {
    let text = format!("cannot read the PEM text: {reason}");
    KeyError::new(KeyErrorKind::InvalidEncoding, text)
}

const BEGIN: &[u8] = b"-----BEGIN ";
