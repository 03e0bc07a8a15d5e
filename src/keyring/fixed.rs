//! A ring of the application's own keys.

use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::crypto::backend::CryptoBackend;
use crate::error::build::BuildError;
use crate::keyring::core::RingCore;
use crate::keyring::ring::KeyRing;
use crate::keyring::source::{Issues, KeySource};
use crate::keys::key::Key;
use crate::keys::key_set::KeySet;
use crate::keys::rotation_policy::RotationPolicy;

/// Builds a ring of [fixed](KeyRing::fixed) keys.
#[derive(Debug)]
#[must_use]
pub struct FixedRingBuilder {
    keys: Vec<Key>,
    backend: CryptoBackend,
    policy: RotationPolicy,
    clock: Arc<dyn Clock>,
}

impl KeyRing {
    /// Begins a ring of the application's own keys, which are not rotated: the first private key
    /// signs, and all verify. A ring of public keys only validates, and is ready.
    ///
    /// ```
    /// use tower_jwt_session::{Algorithm, Key, KeyRing};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let secret: [u8; 32] = std::array::from_fn(|place| place as u8 * 7 + 1);
    /// let keys = KeyRing::fixed([Key::hmac(Algorithm::HS256, &secret)?]).build()?;
    /// keys.ready()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn fixed(keys: impl IntoIterator<Item = Key>) -> FixedRingBuilder {
        let (keys, backend) = (keys.into_iter().collect(), CryptoBackend::default());
        let policy = RotationPolicy::default();
        FixedRingBuilder { keys, backend, policy, clock: Arc::new(SystemClock) }
    }

    /// Replaces all keys of a [fixed](Self::fixed) ring at once. Each request sees the old keys or
    /// the new ones, never a mixture.
    ///
    /// # Errors
    ///
    /// If there is no key, two have the same key ID, or the ring is not a fixed one. The ring then
    /// keeps its keys.
    pub fn replace(&self, keys: impl IntoIterator<Item = Key>) -> Result<(), BuildError> {
        let Some(backend) = self.0.source.replaceable() else {
            let fix = "call `replace` only on a ring of `KeyRing::fixed`";
            return Err(BuildError::invalid("keys", "not those of a fixed ring", fix));
        };
        self.0.core.publish(KeySet::fixed(bound(keys, backend)?)?);
        Ok(())
    }
}

impl FixedRingBuilder {
    /// Sets the library that signs and verifies with the keys. Default: `ring`.
    pub fn crypto_backend(mut self, backend: CryptoBackend) -> Self {
        self.backend = backend;
        self
    }

    /// Sets the longest token lifetime, the clock skew and the age of the JWKS. The rest of the policy
    /// has no effect: these keys are not rotated.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets where the time is read. Default: the system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the ring.
    ///
    /// # Errors
    ///
    /// If there is no key, two have the same key ID, or a duration is out of range.
    pub fn build(self) -> Result<KeyRing, BuildError> {
        self.policy.validate_each()?;
        let keys = KeySet::fixed(bound(self.keys, self.backend)?)?;
        let core = RingCore::new("fixed".into(), self.clock, self.policy, keys);
        Ok(KeyRing::new(core, Fixed(self.backend)))
    }
}

fn bound(
    keys: impl IntoIterator<Item = Key>,
    backend: CryptoBackend,
) -> Result<Vec<Key>, BuildError> {
    let keys = keys.into_iter().map(|key| key.with_backend(backend));
    keys.collect::<Result<_, _>>().map_err(|source| BuildError::key("keys", source))
}

/// Keys that the application gave, with this backend.
struct Fixed(CryptoBackend);

impl KeySource for Fixed {
    fn issues(&self) -> Issues {
        Issues::WithPrivateKey
    }

    fn replaceable(&self) -> Option<CryptoBackend> {
        Some(self.0)
    }
}
