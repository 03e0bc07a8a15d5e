//! The door to the crypto crates: every other file of this crate takes signing, hashing, encryption and
//! randomness from here.
//!
//! A backend is one file with the functions `pair` and `verifier`. All else is `ring`'s.

pub(crate) use crate::crypto::ring::{
    SealingCipher, fill_random, generate_pkcs8, hkdf_sha256, hmac_sha256, sha256,
};

use crate::crypto::algorithm::Algorithm;
#[cfg(feature = "aws-lc-rs")]
use crate::crypto::aws_lc_rs;
use crate::crypto::error::KeyError;
use crate::crypto::material;
use crate::crypto::numbers::{PrivateKey, PublicKey};
use crate::crypto::operations::{Pair, Verify};
use crate::crypto::ring;

/// The library that signs and verifies the tokens of a ring: a setting of the ring's builder.
///
/// The rest is `ring`'s with either: key generation and derivation, sealing of keys at rest, random IDs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CryptoBackend {
    /// [`ring`](https://docs.rs/ring), the default: it builds with nothing but a C compiler.
    #[cfg_attr(not(aws_lc_rs_by_default), default)]
    Ring,
    /// [`aws-lc-rs`](https://docs.rs/aws-lc-rs): faster with Ed25519 and RSA.
    #[cfg(feature = "aws-lc-rs")]
    // The cfg is for this crate's own tests: they run with each backend.
    #[cfg_attr(aws_lc_rs_by_default, default)]
    AwsLcRs,
}

impl CryptoBackend {
    /// Makes both halves of a private or shared key.
    pub(crate) fn pair(self, algorithm: Algorithm, private: &PrivateKey) -> Result<Pair, KeyError> {
        match private {
            PrivateKey::Document(material) => material::check_private(algorithm, material)?,
            PrivateKey::Rsa(public, _) => material::check_private_exponent(&public.e)?,
            PrivateKey::Scalar(..) => {}
        }
        let pair = match self {
            Self::Ring => ring::pair(algorithm, private),
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLcRs => aws_lc_rs::pair(algorithm, private),
        }?;
        if let Some(public) = &pair.public {
            material::check_public(algorithm, public)?;
        }
        Ok(pair)
    }

    /// Makes a verifier; checks the numbers as far as possible without a signature.
    pub(crate) fn verifier(
        self,
        algorithm: Algorithm,
        public: &PublicKey,
    ) -> Result<Box<dyn Verify>, KeyError> {
        material::check_public(algorithm, public)?;
        match self {
            Self::Ring => ring::verifier(algorithm, public),
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLcRs => aws_lc_rs::verifier(algorithm, public),
        }
    }
}
