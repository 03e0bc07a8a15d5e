//! Verification by the holder of the private key: signing again, and comparing.
//!
//! An Ed25519 signature is a function of key and message (RFC 8032, section 5.1.6), and signing is quicker
//! than verifying. It is for keys that only the replicas of one ring hold: another signer of the same key
//! may choose its nonce in another way, and its signatures are refused here.

use std::sync::Arc;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use crate::crypto::operations::{Sign, Verify};

/// Verifies what its own signer has signed.
pub(crate) struct BySigning(Arc<dyn Sign>);

impl BySigning {
    /// Returns `None` if the signer's signatures differ for one message, or are not those of the public
    /// half: then it is no deterministic signer, or the halves do not match.
    pub(crate) fn new(signer: &Arc<dyn Sign>, public: &dyn Verify) -> Option<Self> {
        let [first, second] = [signer.sign(PROBE).ok()?, signer.sign(PROBE).ok()?];
        (first == second && public.verify(PROBE, &first)).then(|| Self(signer.clone()))
    }
}

impl Verify for BySigning {
    // SECURITY: an attacker may choose the message, and its valid signature is in memory until it is
    // compared. The comparison takes constant time, and our copy is wiped. The backend's `Signature` is
    // `Copy`: copies of it on the stack stay until they are overwritten.
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(mut own) = self.0.sign(message) else { return false };
        let is_same = own.ct_eq(signature);
        own.zeroize();
        is_same.into()
    }
}

const PROBE: &[u8] = b"tower-jwt-session: a signature that is always the same";
