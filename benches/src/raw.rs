//! The bare primitives: what no token can be verified or signed without.

use aws_lc_rs::signature::{ParsedPublicKey, VerificationAlgorithm};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};

/// A key of `ring`.
pub enum Raw {
    /// HS256.
    Hmac(hmac::Key),
    /// EdDSA.
    Ed25519(Box<Ed25519KeyPair>, UnparsedPublicKey<Vec<u8>>),
    /// ES256.
    Ecdsa(Box<EcdsaKeyPair>, UnparsedPublicKey<Vec<u8>>),
    /// RS256; verifies only.
    Rsa(PublicKeyComponents<Vec<u8>>),
}

impl Raw {
    pub(crate) fn new(public: Option<&Jwk>, document: &[u8]) -> Self {
        let Some(jwk) = public else {
            return Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, document));
        };
        match &jwk.algorithm {
            AlgorithmParameters::OctetKeyPair(public) => Self::Ed25519(
                Box::new(Ed25519KeyPair::from_pkcs8_maybe_unchecked(document).expect("a good key")),
                UnparsedPublicKey::new(&ED25519, crate::decode(&public.x)),
            ),
            AlgorithmParameters::EllipticCurve(public) => {
                let signing = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pair = EcdsaKeyPair::from_pkcs8(signing, document, &SystemRandom::new());
                let point = [vec![4], crate::decode(&public.x), crate::decode(&public.y)].concat();
                Self::Ecdsa(
                    Box::new(pair.expect("a good key")),
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point),
                )
            }
            AlgorithmParameters::RSA(public) => Self::Rsa(PublicKeyComponents {
                n: crate::decode(&public.n),
                e: crate::decode(&public.e),
            }),
            _ => unreachable!("not measured"),
        }
    }

    /// Whether `signature` is this key's over `signed`.
    pub fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(key) => hmac::verify(key, signed, signature).is_ok(),
            Self::Ed25519(_, key) | Self::Ecdsa(_, key) => key.verify(signed, signature).is_ok(),
            Self::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok(),
        }
    }

    /// Signs `signed`; returns the signature's length.
    pub fn sign(&self, signed: &[u8]) -> usize {
        let length = |signature: signature::Signature| signature.as_ref().len();
        match self {
            Self::Hmac(key) => hmac::sign(key, signed).as_ref().len(),
            Self::Ed25519(pair, _) => length(pair.sign(signed)),
            Self::Ecdsa(pair, _) => length(pair.sign(&SystemRandom::new(), signed).expect("signs")),
            Self::Rsa(_) => unreachable!("not measured"),
        }
    }
}

/// A key of `aws-lc-rs`, of an algorithm that has one.
pub struct RawAwsLc {
    public: Option<ParsedPublicKey>,
    ed25519: Option<aws_lc_rs::signature::Ed25519KeyPair>,
}

impl RawAwsLc {
    pub(crate) fn new(public: Option<&Jwk>, document: &[u8]) -> Self {
        let parsed = |verification: &'static dyn VerificationAlgorithm, bytes: &[u8]| {
            ParsedPublicKey::new(verification, bytes).expect("a good key")
        };
        let public = public.map(|jwk| match &jwk.algorithm {
            AlgorithmParameters::OctetKeyPair(public) => {
                parsed(&aws_lc_rs::signature::ED25519, &crate::decode(&public.x))
            }
            AlgorithmParameters::EllipticCurve(public) => {
                let point = [vec![4], crate::decode(&public.x), crate::decode(&public.y)].concat();
                parsed(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED, &point)
            }
            AlgorithmParameters::RSA(public) => aws_lc_rs::rsa::PublicKeyComponents {
                n: crate::decode(&public.n),
                e: crate::decode(&public.e),
            }
            .to_parsed_public_key(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256)
            .expect("a good key"),
            _ => unreachable!("not measured"),
        });
        Self { public, ed25519: aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(document).ok() }
    }

    /// Whether `signature` is this key's over `signed`.
    pub fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let public = self.public.as_ref().expect("an asymmetric key");
        public.verify_sig(signed, signature).is_ok()
    }

    /// Signs `signed` with Ed25519; returns the signature's length.
    pub fn sign(&self, signed: &[u8]) -> usize {
        self.ed25519.as_ref().expect("an Ed25519 key").sign(signed).as_ref().len()
    }
}
