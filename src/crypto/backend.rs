//! The door to the crypto crate: every other file of this crate takes signing, hashing, encryption and
//! randomness from here. A backend is one file with these items.

pub(crate) use crate::crypto::ring::{
    SealingCipher, Signer, Verifier, fill_random, generate_pkcs8, hkdf_sha256, hmac_sha256, sha256,
};
