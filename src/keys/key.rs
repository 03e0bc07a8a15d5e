//! A [`Key`]: signs or verifies, bound to one algorithm and one key ID.

use std::fmt;
use std::sync::Arc;

use crate::base64url;
use crate::crypto::algorithm::{Algorithm, Primitive};
use crate::crypto::backend;
use crate::crypto::backend::{Signer, Verifier};
use crate::crypto::error::KeyError;
use crate::crypto::generate;
use crate::crypto::material::{key_type, secret_length};
use crate::crypto::numbers::{PublicKey, RsaPublic};
use crate::crypto::secret;
use crate::crypto::secret::Advice;

/// A key with its algorithm and key ID. It can verify; whether it can sign depends on what it was
/// made from. `Debug` shows no secret; clones share the material.
///
/// ```
/// use tower_jwt_session::{Algorithm, Key};
///
/// let error = Key::hmac(Algorithm::HS256, b"too short").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the secret has 9 bytes, expected at least 32 random bytes"
/// );
/// ```
#[derive(Clone)]
pub struct Key {
    key_id: Arc<str>,
    algorithm: Algorithm,
    material: Arc<Material>,
}

struct Material {
    signer: Option<Signer>,
    verifier: Verifier,
    /// `None` for a shared secret.
    public: Option<PublicKey>,
    /// Which secret it is, without the secret; `None` where there is a public key.
    commitment: Option<[u8; 32]>,
}

impl Key {
    /// A shared secret of random bytes, for one of the HMAC algorithms. It signs and verifies.
    ///
    /// A secret that is written as text is read with
    /// [`hmac_from_base64`](Self::hmac_from_base64) or [`hmac_from_hex`](Self::hmac_from_hex); one
    /// that another issuer defines as text, with [`hmac_from_text`](Self::hmac_from_text).
    ///
    /// # Errors
    ///
    /// If the secret is shorter than the hash (RFC 7518, section 3.2: 32, 48 or 64 bytes), is text
    /// or repeats itself, or the algorithm is not HMAC.
    pub fn hmac(algorithm: Algorithm, secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        secret::check_random(secret.as_ref(), secret_length(algorithm)?, &ADVICE)?;
        Self::from_material(algorithm, secret.as_ref())
    }

    /// A shared secret as base64, as `openssl rand -base64 32` prints it: a line break at the end is
    /// ignored, either alphabet is read, padded or not.
    ///
    /// # Errors
    ///
    /// If the text is not base64, or its bytes are refused by [`hmac`](Self::hmac).
    pub fn hmac_from_base64(
        algorithm: Algorithm,
        secret: impl AsRef<str>,
    ) -> Result<Self, KeyError> {
        let secret = secret::from_base64(secret.as_ref(), secret_length(algorithm)?, &ADVICE)?;
        Self::from_material(algorithm, &secret)
    }

    /// A shared secret as hex, as `openssl rand -hex 32` prints it: a line break at the end is
    /// ignored.
    ///
    /// # Errors
    ///
    /// If the text is not hex, or its bytes are refused by [`hmac`](Self::hmac).
    pub fn hmac_from_hex(algorithm: Algorithm, secret: impl AsRef<str>) -> Result<Self, KeyError> {
        let secret = secret::from_hex(secret.as_ref(), secret_length(algorithm)?, &ADVICE)?;
        Self::from_material(algorithm, &secret)
    }

    /// A shared secret exactly as it is, for another issuer that uses a text as its secret (Supabase
    /// and others): the bytes of the text are the secret, a line break at the end included.
    ///
    /// For a secret of your own use random bytes: anyone with a token can test guesses offline.
    ///
    /// # Errors
    ///
    /// If the secret is shorter than the hash (RFC 7518, section 3.2: 32, 48 or 64 bytes), or the
    /// algorithm is not HMAC.
    #[doc(alias = "supabase")]
    #[doc(alias = "passphrase")]
    pub fn hmac_from_text(
        algorithm: Algorithm,
        secret: impl AsRef<[u8]>,
    ) -> Result<Self, KeyError> {
        secret_length(algorithm)?;
        Self::from_material(algorithm, secret.as_ref())
    }

    /// A private key as an unencrypted PKCS#8 document (DER), for Ed25519, ECDSA or RSA. It signs
    /// and verifies.
    ///
    /// # Errors
    ///
    /// If the document is not a key for `algorithm`; for RSA, if it has less than 2048 bits.
    pub fn from_pkcs8_der(algorithm: Algorithm, document: &[u8]) -> Result<Self, KeyError> {
        match key_type(algorithm) {
            None => Err(KeyError::UnsupportedAlgorithm),
            Some(_) => Self::from_material(algorithm, document),
        }
    }

    /// From a public key's numbers, by default under their thumbprint.
    pub(crate) fn from_public(
        algorithm: Algorithm,
        public: PublicKey,
        key_id: Option<&str>,
    ) -> Result<Self, KeyError> {
        let verifier = Verifier::new(algorithm, public.clone())?;
        let key_id = match key_id {
            Some(key_id) => key_id.into(),
            None => thumbprint(algorithm, &public).into(),
        };
        let public = Some(public);
        Ok(Self::new(
            key_id,
            algorithm,
            Material { signer: None, verifier, public, commitment: None },
        ))
    }

    /// The same key with its private part.
    pub(crate) fn with_signer(self, signer: Signer) -> Result<Self, KeyError> {
        let public = signer.public();
        let verifier = signer.verifier(self.algorithm)?;
        let material = Material { signer: Some(signer), verifier, public, commitment: None };
        Ok(Self::new(self.key_id, self.algorithm, material))
    }

    pub(crate) fn public(&self) -> Option<&PublicKey> {
        self.material.public.as_ref()
    }

    /// The same key under another key ID.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<Arc<str>>) -> Self {
        self.key_id = key_id.into();
        self
    }

    /// The same key under another name of its algorithm, if `algorithm` is one.
    pub(crate) fn named(mut self, algorithm: Algorithm) -> Self {
        if self.algorithm.canonical() == algorithm.canonical() {
            self.algorithm = algorithm;
        }
        self
    }

    fn new(key_id: Arc<str>, algorithm: Algorithm, material: Material) -> Self {
        let material = Arc::new(material);
        Self { key_id, algorithm, material }
    }

    /// From what a record holds: a shared secret or a PKCS#8 document.
    pub(crate) fn from_material(algorithm: Algorithm, material: &[u8]) -> Result<Self, KeyError> {
        let signer = Signer::new(algorithm, material)?;
        let verifier = signer.verifier(algorithm)?;
        let public = signer.public();
        let (key_id, commitment) = match &public {
            Some(public) => (thumbprint(algorithm, public), None),
            None => {
                let commitment = generate::commitment(material);
                (base64url::encode(commitment), Some(commitment))
            }
        };
        let material = Material { signer: Some(signer), verifier, public, commitment };
        Ok(Self::new(key_id.into(), algorithm, material))
    }

    /// Whether both are of one pair, or one secret, for one algorithm.
    pub(crate) fn is_pair_of(&self, other: &Self) -> bool {
        self.algorithm.canonical() == other.algorithm.canonical()
            && self.identity() == other.identity()
    }

    fn identity(&self) -> (Option<[&[u8]; 2]>, Option<[u8; 32]>) {
        (self.material.public.as_ref().map(PublicKey::all), self.material.commitment)
    }

    /// Whether both are the same key for all that is done with them: ID, algorithm and material.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.key_id == other.key_id
            && self.algorithm == other.algorithm
            && self.can_sign() == other.can_sign()
            && self.is_pair_of(other)
    }

    /// The algorithm that this key signs or verifies with, whatever a token says.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key ID, a token's `kid`: by default the RFC 7638 thumbprint, and for a shared secret a
    /// hash that reveals nothing of it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Whether this key can sign.
    pub fn can_sign(&self) -> bool {
        self.material.signer.is_some()
    }

    pub(crate) fn shared_key_id(&self) -> &Arc<str> {
        &self.key_id
    }

    pub(crate) fn signer(&self) -> Option<&Signer> {
        self.material.signer.as_ref()
    }

    pub(crate) fn verifier(&self) -> &Verifier {
        &self.material.verifier
    }

    /// The encoded headers that a token of this key and type may begin with, as this crate writes
    /// them; the first is the one it writes.
    pub(crate) fn encoded_headers(&self, token_type: &str) -> Vec<String> {
        let same = |other: &Algorithm| {
            *other != self.algorithm && other.canonical() == self.algorithm.canonical()
        };
        let names = [self.algorithm].into_iter().chain(Algorithm::ALL.into_iter().filter(same));
        let header = |algorithm: Algorithm| {
            let alg = algorithm.as_str();
            let members = HeaderMembers { alg, typ: token_type, kid: &self.key_id };
            // A struct of strings always serialises.
            base64url::encode(serde_json::to_vec(&members).unwrap_or_default())
        };
        names.map(header).collect()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("key_id", &self.key_id)
            .field("algorithm", &self.algorithm)
            .field("can_sign", &self.can_sign())
            .finish_non_exhaustive()
    }
}

/// The JOSE header's members, in the order in which they are written.
#[derive(serde::Serialize)]
struct HeaderMembers<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

/// The constructors for secrets that are text.
const ADVICE: Advice = Advice {
    from_base64: "Key::hmac_from_base64",
    from_hex: "Key::hmac_from_hex",
    from_text: Some("Key::hmac_from_text"),
};

/// The RFC 7638 thumbprint: the SHA-256 of the required members, in order, without white space.
fn thumbprint(algorithm: Algorithm, public: &PublicKey) -> String {
    let members = match public {
        PublicKey::Rsa(RsaPublic { n, e }) => {
            let (n, e) = (base64url::encode(n), base64url::encode(e));
            format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
        }
        PublicKey::Bytes(bytes) => match algorithm.primitive() {
            Primitive::Ecdsa(curve) => {
                let [x, y] = coordinates(bytes).map(base64url::encode);
                format!(r#"{{"crv":"{}","kty":"EC","x":"{x}","y":"{y}"}}"#, curve.name())
            }
            _ => {
                let x = base64url::encode(bytes);
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
            }
        },
    };
    base64url::encode(backend::sha256(members.as_bytes()))
}

/// The coordinates of an uncompressed point: 4, x, y (SEC 1, section 2.3.3).
pub(crate) fn coordinates(point: &[u8]) -> [&[u8]; 2] {
    let both = point.get(1..).unwrap_or_default();
    let (x, y) = both.split_at(both.len() / 2);
    [x, y]
}
