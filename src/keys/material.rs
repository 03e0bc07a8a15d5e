//! The material of a [`Key`](crate::Key): its signer, its verifier and its identity.

use std::sync::Arc;

use crate::crypto::algorithm::{Algorithm, Primitive};
use crate::crypto::backend::CryptoBackend;
use crate::crypto::by_signing::BySigning;
use crate::crypto::error::KeyError;
use crate::crypto::generate;
use crate::crypto::numbers::{PrivateKey, PublicKey};
use crate::crypto::operations::{Pair, Sign, Verify};

pub(super) struct Material {
    pub(super) signer: Option<Arc<dyn Sign>>,
    pub(super) verifier: Box<dyn Verify>,
    pub(super) identity: Identity,
    /// What another backend makes the same key of; `None` where there is none, and once it has.
    pub(super) private: Option<PrivateKey>,
}

/// What distinguishes a key pair or a shared secret from others.
#[derive(PartialEq, Eq)]
pub(super) enum Identity {
    Public(PublicKey),
    /// Identifies a shared secret without revealing it.
    Commitment([u8; 32]),
}

impl Material {
    pub(super) fn of_public(
        backend: CryptoBackend,
        algorithm: Algorithm,
        public: &PublicKey,
    ) -> Result<Self, KeyError> {
        let verifier = backend.verifier(algorithm, public)?;
        let identity = Identity::Public(public.clone());
        Ok(Self { signer: None, verifier, identity, private: None })
    }

    pub(super) fn of_private(
        backend: CryptoBackend,
        algorithm: Algorithm,
        private: &PrivateKey,
    ) -> Result<Self, KeyError> {
        let Pair { signer, verifier, public } = backend.pair(algorithm, private)?;
        let identity = match (public, private) {
            (Some(public), _) => Identity::Public(public),
            (None, PrivateKey::Document(secret)) => {
                Identity::Commitment(generate::commitment(secret))
            }
            (None, _) => return Err(KeyError::unsupported_algorithm()),
        };
        Ok(Self { signer: Some(signer), verifier, identity, private: None })
    }

    /// Verifies by [signing again](crate::crypto::by_signing), if the algorithm allows it.
    pub(super) fn verifying_by_signing(mut self, algorithm: Algorithm) -> Self {
        if let (Primitive::Ed25519, Some(signer)) = (algorithm.primitive(), &self.signer)
            && let Some(by_signing) = BySigning::new(signer, &*self.verifier)
        {
            self.verifier = Box::new(by_signing);
        }
        self
    }

    /// Keeps the private material until the key's ring is opened, which may choose a backend.
    pub(super) fn keeping(mut self, private: PrivateKey) -> Self {
        self.private = cfg!(feature = "aws-lc-rs").then_some(private);
        self
    }
}
