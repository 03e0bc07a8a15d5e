//! Sealing: encrypts private keys at rest, and binds them to their whole record.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base64url;
use crate::crypto::backend::SealingCipher;
use crate::crypto::error::KeyError;
use crate::crypto::generate;
use crate::crypto::secret;
use crate::crypto::secret::Advice;

/// A key-encryption key: seals the private keys of a ring in its store with AES-256-GCM.
///
/// `Debug` does not show it. Its bytes are the application's to keep, apart from the store.
///
/// ```
/// use tower_jwt_session::{KeyRing, SealingKey, store::MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let secret: [u8; 32] = std::array::from_fn(|place| place as u8 * 7);
/// let newest = SealingKey::new(&secret)?;
/// let keys = KeyRing::builder("app").store(MemoryStore::new()).seal_with([newest]).open().await?;
/// # keys.ready()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SealingKey {
    id: String,
    cipher: Arc<SealingCipher>,
}

impl SealingKey {
    /// From exactly 32 random bytes.
    ///
    /// # Errors
    ///
    /// If there are fewer or more, they repeat themselves, or they are text: a password, or random
    /// bytes that were not decoded.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = secret.as_ref();
        secret::check_random(secret, SealingCipher::KEY_BYTES, &ADVICE)?;
        Self::from_bytes(secret)
    }

    /// From base64, as `openssl rand -base64 32` prints it: a line break at the end is ignored,
    /// either alphabet is read, padded or not.
    ///
    /// # Errors
    ///
    /// If the text is not base64, or its bytes are refused by [`new`](Self::new).
    pub fn from_base64(secret: impl AsRef<str>) -> Result<Self, KeyError> {
        Self::from_bytes(&secret::from_base64(secret.as_ref(), SealingCipher::KEY_BYTES, &ADVICE)?)
    }

    /// From hex, as `openssl rand -hex 32` prints it: a line break at the end is ignored.
    ///
    /// # Errors
    ///
    /// If the text is not hex, or its bytes are refused by [`new`](Self::new).
    pub fn from_hex(secret: impl AsRef<str>) -> Result<Self, KeyError> {
        Self::from_bytes(&secret::from_hex(secret.as_ref(), SealingCipher::KEY_BYTES, &ADVICE)?)
    }

    fn from_bytes(secret: &[u8]) -> Result<Self, KeyError> {
        let cipher = Arc::new(SealingCipher::new(secret)?);
        // Half of a commitment is enough to distinguish a few keys.
        let id = base64url::encode(&generate::commitment(secret)[..16]);
        Ok(Self { id, cipher })
    }
}

const ADVICE: Advice = Advice { constructors: "SealingKey::", has_text: false };

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The sealing keys of a ring.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sealing {
    /// The first encrypts, all decrypt.
    pub(crate) keys: Vec<SealingKey>,
    /// Whether unsealed keys are accepted; and written, without a sealing key.
    pub(crate) allows_unsealed: bool,
}

/// A private key at rest.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AtRest {
    Unsealed(Zeroizing<String>),
    Sealed { sealing_key: String, nonce: String, ciphertext: String },
}

/// Why an entry cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is damaged, or not of this ring.
    Corrupt(String),
    /// A newer version wrote it.
    Newer(u64),
    /// None of the sealing keys can decrypt it.
    Sealed,
}

impl Unreadable {
    pub(crate) fn corrupt(reason: &str) -> Self {
        Self::Corrupt(reason.to_owned())
    }
}

/// The associated data of a private key: the bytes of its record, and the sealing key's ID.
///
/// Without that key nobody can change a time, the ring's identity, the generation, the algorithm or
/// the key ID, nor move the key to another record, or into another use of the same sealing key.
fn associated_data(sealing_key: &str, record: &[u8]) -> Vec<u8> {
    // An ID has no zero byte, so that no two pairs give the same bytes.
    [PURPOSE, sealing_key.as_bytes(), &[0], record].concat()
}

const PURPOSE: &[u8] = b"tower-jwt-session key record 2\0";

impl Sealing {
    /// Seals `material` together with the bytes of its record.
    pub(crate) fn seal(&self, material: &[u8], record: &[u8]) -> Result<AtRest, KeyError> {
        let Some(SealingKey { id, cipher }) = self.keys.first() else {
            return Ok(AtRest::Unsealed(base64url::encode(material).into()));
        };
        // Encrypted in place, so that only the ciphertext is left of it.
        let (nonce, text) = cipher.seal(material.to_vec(), &associated_data(id, record))?;
        Ok(AtRest::Sealed {
            sealing_key: id.clone(),
            nonce: base64url::encode(nonce),
            ciphertext: base64url::encode(text),
        })
    }

    /// Decrypts a key that was sealed together with exactly these bytes of a record.
    pub(crate) fn open(
        &self,
        at_rest: &AtRest,
        record: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let damaged = || {
            Unreadable::corrupt("the key or its record is damaged, or was changed after sealing")
        };
        let decode = |text: &str| base64url::decode(text).ok_or_else(damaged);
        match at_rest {
            // SECURITY: if keys are sealed, an attacker with write access must not be able to add
            // an unsealed key.
            AtRest::Unsealed(_) if !self.allows_unsealed => Err(Unreadable::corrupt(
                "found an unsealed key, expected a sealed one because of `seal_with`: to begin sealing, give \
                 `dangerous_unsealed()` beside it until no unsealed key is left",
            )),
            AtRest::Unsealed(material) => Ok(decode(material)?.into()),
            AtRest::Sealed { sealing_key, nonce, ciphertext } => {
                let known = self.keys.iter().find(|known| known.id == *sealing_key);
                let SealingKey { cipher, .. } = known.ok_or(Unreadable::Sealed)?;
                cipher
                    .open(
                        &decode(nonce)?,
                        decode(ciphertext)?,
                        &associated_data(sealing_key, record),
                    )
                    .ok_or_else(damaged)
            }
        }
    }
}
