//! Keys of the application's own, as they are usually written: PEM and private JWK.

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, jwk::Jwk};
use ring::rsa;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::algorithm::{self, Primitive, PublicKey, Signer};
use super::key::{Key, KeyError};
use crate::base64url::BASE64URL;

impl Key {
    /// A private or public key as PEM (RFC 7468): `PRIVATE KEY`, `PUBLIC KEY`, and for RSA also
    /// `RSA PRIVATE KEY` and `RSA PUBLIC KEY`; not encrypted.
    ///
    /// # Errors
    ///
    /// If it is no such document, or no good key for `algorithm`.
    pub fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let rejected = |error: jsonwebtoken::errors::Error| KeyError::Rejected(error.to_string());
        let specification = algorithm::specification(algorithm)?;
        let is_private = pem.windows(PRIVATE.len()).any(|window| window == PRIVATE);
        let family = match specification.primitive {
            Primitive::Ed25519 => AlgorithmFamily::Ed,
            Primitive::Ecdsa(_) => AlgorithmFamily::Ec,
            Primitive::Rsa(..) => AlgorithmFamily::Rsa,
            Primitive::Hmac(_) => return Err(KeyError::UnsupportedAlgorithm),
        };
        if is_private {
            let key = match family {
                AlgorithmFamily::Ed => EncodingKey::from_ed_pem(pem),
                AlgorithmFamily::Ec => EncodingKey::from_ec_pem(pem),
                _ => EncodingKey::from_rsa_pem(pem),
            };
            return Self::from_material(algorithm, key.map_err(rejected)?.as_bytes());
        }
        let key = match family {
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
            _ => DecodingKey::from_rsa_pem(pem),
        };
        let key = key.map_err(rejected)?;
        let bytes = key.try_get_as_bytes().map_err(rejected)?;
        let public = match family {
            AlgorithmFamily::Rsa => PublicKey::Rsa(rsa_public_key(bytes)?),
            _ => PublicKey::Bytes(bytes.into()),
        };
        Self::from_public(specification, public, None)
    }

    /// A private or shared key as the JSON text of a JWK (RFC 7517), with its own `kid` if it has
    /// one.
    ///
    /// # Errors
    ///
    /// If it is no JWK with private members, its private and public members don't belong
    /// together, or as for [`from_jwk`](Self::from_jwk).
    pub fn from_private_jwk(json: &str) -> Result<Self, KeyError> {
        let jwk: Jwk = serde_json::from_str(json).map_err(|_| KeyError::NoPrivateJwk)?;
        let private: PrivateMembers =
            serde_json::from_str(json).map_err(|_| KeyError::NoPrivateJwk)?;
        if let Some(secret) = &private.k {
            let named = jwk.common.key_algorithm.ok_or(KeyError::AmbiguousAlgorithm)?;
            let algorithm =
                Algorithm::try_from(named).map_err(|_| KeyError::UnsupportedAlgorithm)?;
            let key = Self::hmac(algorithm, &decode(secret)?)?;
            return Ok(match jwk.common.key_id {
                Some(key_id) => key.with_key_id(key_id),
                None => key,
            });
        }
        let public = Self::from_jwk(&jwk)?;
        let signer = private.signer(&public)?;
        public.with_signer(signer)
    }
}

const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// The private members of a JWK (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1; RFC 8037, section 2).
#[derive(Deserialize)]
struct PrivateMembers {
    k: Option<Zeroizing<String>>,
    d: Option<Zeroizing<String>>,
    p: Option<Zeroizing<String>>,
    q: Option<Zeroizing<String>>,
    dp: Option<Zeroizing<String>>,
    dq: Option<Zeroizing<String>>,
    qi: Option<Zeroizing<String>>,
}

impl PrivateMembers {
    fn signer(&self, public: &Key) -> Result<Signer, KeyError> {
        let member = |member: &Option<Zeroizing<String>>| match member {
            Some(text) => decode(text),
            None => Err(KeyError::NoPrivateJwk),
        };
        let specification = algorithm::specification(public.algorithm())?;
        let d = member(&self.d)?;
        match public.public() {
            Some(PublicKey::Rsa(components)) => {
                let [p, q, dp, dq, qi] =
                    [&self.p, &self.q, &self.dp, &self.dq, &self.qi].map(member);
                let (p, q, dp, dq, qi) = (p?, q?, dp?, dq?, qi?);
                Signer::rsa(
                    specification,
                    &rsa::KeyPairComponents {
                        public_key: rsa::PublicKeyComponents {
                            n: &*components.n,
                            e: &*components.e,
                        },
                        d: &*d,
                        p: &*p,
                        q: &*q,
                        dP: &*dp,
                        dQ: &*dq,
                        qInv: &*qi,
                    },
                )
            }
            Some(PublicKey::Bytes(point)) => Signer::of_scalar(specification, &d, point),
            None => Err(KeyError::NoPrivateJwk),
        }
    }
}

fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    BASE64URL.decode_to_vec(text).map(Zeroizing::new).map_err(|_| KeyError::NoPrivateJwk)
}

/// Reads an `RSAPublicKey` (RFC 8017, appendix A.1.1): a sequence of two integers.
fn rsa_public_key(der: &[u8]) -> Result<rsa::PublicKeyComponents<Vec<u8>>, KeyError> {
    let read = || {
        let (sequence, after) = element(der, 0x30)?;
        let (modulus, rest) = element(sequence, 0x02)?;
        let (exponent, end) = element(rest, 0x02)?;
        // A leading zero only says that the number is positive.
        let number = |bytes: &[u8]| bytes.strip_prefix(&[0]).unwrap_or(bytes).to_vec();
        let components = rsa::PublicKeyComponents { n: number(modulus), e: number(exponent) };
        (after.is_empty() && end.is_empty()).then_some(components)
    };
    read().ok_or(KeyError::InvalidPublicKey)
}

/// Splits a DER element of that tag into its content and what follows.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        // A long form of one or two bytes holds every key that is taken here.
        long @ 0x81..=0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}
