//! The operations with keys that a backend provides.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::crypto::error::KeyError;
use crate::crypto::numbers::PublicKey;

/// A private or shared key, ready to sign.
pub(crate) trait Sign: Send + Sync {
    /// Signs. Fails only if the system's random generator fails (ECDSA, RSA-PSS).
    fn sign(&self, message: &[u8]) -> Result<Signature, KeyError>;

    /// Returns the length of a signature in bytes.
    fn signature_length(&self) -> usize;
}

/// A public or shared key, ready to verify.
pub(crate) trait Verify: Send + Sync {
    /// Returns whether `signature` is this key's over `message`. HMACs are compared in constant time.
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool;
}

/// A signature, in place if it is as short as most are.
pub(crate) type Signature = SmallVec<[u8; 64]>;

/// Both halves of a private or shared key.
pub(crate) struct Pair {
    pub(crate) signer: Arc<dyn Sign>,
    pub(crate) verifier: Box<dyn Verify>,
    /// `None` for a shared secret.
    pub(crate) public: Option<PublicKey>,
}
