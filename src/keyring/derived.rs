//! A ring without a store: every replica derives the same keys from a root secret and the time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::crypto::algorithm::{Algorithm, Primitive};
use crate::crypto::backend::CryptoBackend;
use crate::crypto::error::KeyError;
use crate::crypto::generate;
use crate::crypto::secret;
use crate::crypto::secret::Advice;
use crate::error::build::BuildError;
use crate::keyring::core::RingCore;
use crate::keyring::ring::KeyRing;
use crate::keyring::source::{Issues, KeySource};
use crate::keys::key::{Key, Operations};
use crate::keys::key_set::KeySet;
use crate::keys::rotation_policy::RotationPolicy;
use crate::keys::schedule::{KeyTimes, ScheduledKey};
use crate::store::ring_name;

/// A root secret, from which a [derived ring](KeyRing::derived) derives its keys.
///
/// `Debug` does not show it; it is wiped when dropped.
///
/// ```
/// use tower_jwt_session::Root;
///
/// // As `openssl rand -base64 32` prints it.
/// let root = Root::from_base64("YzC7nv2yDTwVg3xT4hBhRaVgZqBpqyuNnbwZ5CkSkBM=\n");
/// assert!(root.is_ok());
/// let error = Root::new("YzC7nv2yDTwVg3xT4hBhRaVgZqBpqyuNnbwZ5CkSkBM=\n").unwrap_err();
/// assert!(error.to_string().contains("decode it with `Root::from_base64`"));
/// ```
#[derive(Clone)]
pub struct Root {
    secret: Zeroizing<Vec<u8>>,
    generation: u32,
    signs_from: Option<Timestamp>,
}

impl Root {
    /// The first root, generation 0: at least 32 random bytes, the same on every replica.
    ///
    /// # Errors
    ///
    /// If it is shorter, repeats itself, or is text: a password, or random bytes that were not
    /// decoded.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = secret.as_ref();
        secret::check_random(secret, LEAST_ROOT_BYTES, &ADVICE)?;
        Ok(Self::of(secret.to_vec().into()))
    }

    /// The same from base64, as `openssl rand -base64 32` prints it: a line break at the end is
    /// ignored, either alphabet is read, padded or not.
    ///
    /// # Errors
    ///
    /// If the text is not base64, or its bytes are refused by [`new`](Self::new).
    pub fn from_base64(secret: impl AsRef<str>) -> Result<Self, KeyError> {
        secret::from_base64(secret.as_ref(), LEAST_ROOT_BYTES, &ADVICE).map(Self::of)
    }

    /// The same from hex, as `openssl rand -hex 32` prints it: a line break at the end is ignored.
    ///
    /// # Errors
    ///
    /// If the text is not hex, or its bytes are refused by [`new`](Self::new).
    pub fn from_hex(secret: impl AsRef<str>) -> Result<Self, KeyError> {
        secret::from_hex(secret.as_ref(), LEAST_ROOT_BYTES, &ADVICE).map(Self::of)
    }

    /// Makes this root a successor: sets its generation, greater than those before, and when its
    /// keys begin to sign. Give it to every replica before that time, and keep the former root
    /// until the last token of its keys has expired.
    #[must_use]
    pub fn successor(mut self, generation: u32, signs_from: Timestamp) -> Self {
        self.generation = generation;
        self.signs_from = Some(signs_from);
        self
    }

    fn of(secret: Zeroizing<Vec<u8>>) -> Self {
        Self { secret, generation: 0, signs_from: None }
    }
}

const ADVICE: Advice = Advice { constructors: "Root::", has_text: false };

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root")
            .field("generation", &self.generation)
            .field("signs_from", &self.signs_from)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Begins a ring without a store: the key of each signing period is derived from `root`, the
    /// ring's name, the algorithm, and the number of the period, by HKDF-SHA-256 (RFC 5869).
    ///
    /// 1. Replicas need nothing from each other, and no traffic: only the same root, name,
    ///    algorithm and signing period, and clocks that differ by no more than
    ///    [`clock_skew`](RotationPolicy::clock_skew).
    /// 2. A single key cannot be revoked, only its root: give every replica another root. An
    ///    attacker with a root has all its keys, past and future.
    ///
    /// ```
    /// use tower_jwt_session::{KeyRing, Root};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let secret: Vec<u8> = (100..132).collect();
    /// let keys = KeyRing::derived("app", Root::new(&secret)?).build()?;
    /// let same = KeyRing::derived("app", Root::new(&secret)?).build()?;
    /// assert_eq!(keys.status().signing_key_id, same.status().signing_key_id);
    /// # Ok(())
    /// # }
    /// ```
    pub fn derived(name: impl Into<String>, root: Root) -> DerivedRingBuilder {
        let name: String = name.into();
        let keys = Derived {
            name: name.into(),
            roots: vec![root],
            policy: RotationPolicy::default(),
            algorithm: Algorithm::EdDSA,
            operations: Operations::default(),
        };
        DerivedRingBuilder { keys, clock: Arc::new(SystemClock) }
    }
}

/// Builds a [derived ring](KeyRing::derived).
#[derive(Debug)]
#[must_use]
pub struct DerivedRingBuilder {
    keys: Derived,
    clock: Arc<dyn Clock>,
}

impl DerivedRingBuilder {
    /// Adds a root: a successor, or a former root whose keys still verify.
    pub fn root(mut self, root: Root) -> Self {
        self.keys.roots.push(root);
        self
    }

    /// Sets the algorithm: EdDSA (the default) or HMAC.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.keys.algorithm = algorithm;
        self
    }

    /// Sets the signing period, the longest token lifetime, the clock skew and the age of the JWKS.
    /// Settings of a store have no effect.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.keys.policy = policy;
        self
    }

    /// Sets the library that signs and verifies with the keys. Default: `ring`.
    pub fn crypto_backend(mut self, backend: CryptoBackend) -> Self {
        self.keys.operations.backend = backend;
        self
    }

    /// Sets whether Ed25519 tokens are verified by signing them again: in about two thirds of the time with
    /// `ring`, and less than a third with `aws-lc-rs`. Default: yes, as only the replicas of this ring hold its private keys.
    ///
    /// What that exposes, and when to turn it off: [security](crate::guide::security).
    pub fn verify_by_signing(mut self, on: bool) -> Self {
        self.keys.operations.verify_by_signing = on;
        self
    }

    /// Sets the clock. Default: the system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Checks the settings and derives the current keys. Later keys are derived as time passes.
    ///
    /// # Errors
    ///
    /// If a setting is invalid. The error names the setting, its value and the fix.
    pub fn build(self) -> Result<KeyRing, BuildError> {
        let Self { keys: mut derived, clock } = self;
        derived.name = ring_name::parse("name of the key ring", &derived.name, "")?;
        derived.roots.sort_by_key(|root| root.generation);
        for pair in derived.roots.windows(2) {
            let follows = pair[0].generation < pair[1].generation
                && pair[0].signs_from.unwrap_or(EPOCH) < pair[1].signs_from.unwrap_or(EPOCH);
            if !follows {
                let fix = "give each root its own generation, and a signs_from later than that \
                            of the generation before";
                return Err(BuildError::invalid("root", pair[1].generation, fix));
            }
        }
        derived.policy.validate_derived()?;
        if !matches!(derived.algorithm.primitive(), Primitive::Ed25519 | Primitive::Hmac(_)) {
            let fix = "derive keys for EdDSA, HS256, HS384 or HS512";
            return Err(BuildError::invalid("algorithm", derived.algorithm, fix));
        }
        let keys = derived.keys(clock.now()).map_err(|source| BuildError::key("root", source))?;
        let core = RingCore::new(derived.name.clone(), clock, derived.policy.clone(), keys);
        Ok(KeyRing::new(core, derived))
    }
}

/// The inputs that keys are derived from.
#[derive(Debug)]
pub(crate) struct Derived {
    name: Arc<str>,
    roots: Vec<Root>,
    policy: RotationPolicy,
    algorithm: Algorithm,
    operations: Operations,
}

impl Derived {
    /// The keys to hold at `now`: those whose tokens may still be valid on any clock, and the next.
    fn keys(&self, now: Timestamp) -> Result<KeySet, KeyError> {
        let RotationPolicy { max_token_lifetime, clock_skew, .. } = self.policy;
        let period = millis(self.policy.derived_period());
        let before = max_token_lifetime + 2 * clock_skew;
        let epoch = |time: Timestamp| time.as_unix_millis().div_euclid(period);
        let (first, latest) = (epoch(now - before), epoch(now + clock_skew));
        let mut keys = Vec::new();
        for epoch in first..=latest + 1 {
            for (place, root) in self.roots.iter().enumerate() {
                let successor = self.roots.get(place + 1);
                let Some(times) = self.times(epoch, root, successor) else { continue };
                let material = self.material(root, epoch)?;
                let key = Key::of_ring(self.algorithm, &material, self.operations)?;
                // Ordered by time, as generations are.
                let generation = u64::try_from(epoch).unwrap_or_default();
                let scheduled = ScheduledKey { generation, times, retire_at: None, revoked: false };
                keys.push((key, scheduled));
            }
        }
        let signing = keys.len();
        // As long as both epochs stay the same.
        let start = |epoch: i64| Timestamp::from_unix_millis(epoch.saturating_mul(period));
        let from = (start(first) + before).max(start(latest) - clock_skew);
        let until = (start(first + 1) + before).min(start(latest + 1) - clock_skew);
        Ok(KeySet::of_schedule(keys, signing).within(from..until))
    }

    /// The life of a root's key in an epoch, if it has one: the epoch, as far as the root signs.
    fn times(&self, epoch: i64, root: &Root, successor: Option<&Root>) -> Option<KeyTimes> {
        let period = millis(self.policy.derived_period());
        let boundary = |epoch: i64| Timestamp::from_unix_millis(epoch.saturating_mul(period));
        let signs_from = boundary(epoch).max(root.signs_from.unwrap_or(EPOCH));
        let ends = successor.and_then(|successor| successor.signs_from).unwrap_or(Timestamp::MAX);
        let signs_until = boundary(epoch + 1).min(ends);
        (signs_from < signs_until).then_some(KeyTimes {
            published: signs_from,
            propagated: signs_from,
            jwks_propagated: signs_from,
            signs_from,
            signs_until,
            signs_latest: signs_until,
            verifies_until: signs_until
                + self.policy.max_token_lifetime
                + 2 * self.policy.clock_skew,
        })
    }

    /// HKDF-SHA-256: one secret for a ring's name, algorithm, root generation and epoch. No name
    /// and no algorithm holds a zero byte, so that no two have the same input.
    fn material(&self, root: &Root, epoch: i64) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let info: [&[u8]; 6] = [
            self.name.as_bytes(),
            &[0],
            self.algorithm.canonical().as_str().as_bytes(),
            &[0],
            &root.generation.to_be_bytes(),
            &epoch.to_be_bytes(),
        ];
        generate::derive(self.algorithm, &root.secret, &info)
    }
}

impl KeySource for Derived {
    fn issues(&self) -> Issues {
        Issues::Always
    }

    fn keys_at(&self, now: Timestamp) -> Option<KeySet> {
        // It can fail only if it failed when the ring was built.
        self.keys(now).ok()
    }
}

const LEAST_ROOT_BYTES: usize = 32;
const EPOCH: Timestamp = Timestamp::from_unix_seconds(0);

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).max(1)
}
