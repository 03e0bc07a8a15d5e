//! A [`Key`]: signs or verifies, bound to one algorithm and one key ID.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jsonwebtoken::jwk::Jwk;

use crate::base64url;
use crate::claims::issuer::IssuerName;
use crate::crypto::algorithm::{Algorithm, Primitive};
use crate::crypto::backend;
use crate::crypto::backend::CryptoBackend;
use crate::crypto::error::KeyError;
use crate::crypto::material::{key_type, secret_length};
use crate::crypto::numbers::{PrivateKey, PublicKey, RsaPublic};
use crate::crypto::operations::Sign;
use crate::crypto::secret;
use crate::crypto::secret::Advice;
use crate::keys::material::{Identity, Material};

/// A key with its algorithm and key ID. It verifies; it also signs if it was made from private or
/// shared material. `Debug` shows no secret; clones share the material.
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
    /// Whether the key ID was given with the key. Otherwise no issuer need write it into its tokens.
    is_named: bool,
    /// Whether it never signs, though its material could.
    verify_only: bool,
    algorithm: Algorithm,
    /// The issuer that the key is bound to, if an issuer's JWKS says so.
    issuer: Option<Arc<IssuerName>>,
    material: Arc<Material>,
}

/// How the keys of a ring that makes its own sign and verify.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operations {
    pub(crate) backend: CryptoBackend,
    pub(crate) verify_by_signing: bool,
}

impl Default for Operations {
    fn default() -> Self {
        Self { backend: CryptoBackend::default(), verify_by_signing: true }
    }
}

impl Key {
    /// Makes a key that signs and verifies from a shared secret of random bytes, for an HMAC
    /// algorithm.
    ///
    /// Read a secret that is encoded as text with [`hmac_from_base64`](Self::hmac_from_base64) or
    /// [`hmac_from_hex`](Self::hmac_from_hex), and a text that another issuer uses as its secret with
    /// [`hmac_from_text`](Self::hmac_from_text).
    ///
    /// # Errors
    ///
    /// Fails if the secret is shorter than the hash (RFC 7518, section 3.2: 32, 48 or 64 bytes), is
    /// text, has only a few different byte values, or the algorithm is not HMAC.
    pub fn hmac(algorithm: Algorithm, secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        secret::check_random(secret.as_ref(), secret_length(algorithm)?, &ADVICE)?;
        Self::from_material(algorithm, secret.as_ref())
    }

    /// Reads a shared secret in base64, as `openssl rand -base64 32` prints it: line breaks are
    /// ignored, either alphabet is accepted, padded or not.
    ///
    /// # Errors
    ///
    /// Fails if the text is not base64, or [`hmac`](Self::hmac) refuses its bytes.
    pub fn hmac_from_base64(
        algorithm: Algorithm,
        secret: impl AsRef<str>,
    ) -> Result<Self, KeyError> {
        let secret = secret::from_base64(secret.as_ref(), secret_length(algorithm)?, &ADVICE)?;
        Self::from_material(algorithm, &secret)
    }

    /// Reads a shared secret in hex, as `openssl rand -hex 32` prints it: line breaks are ignored.
    ///
    /// # Errors
    ///
    /// Fails if the text is not hex, or [`hmac`](Self::hmac) refuses its bytes.
    pub fn hmac_from_hex(algorithm: Algorithm, secret: impl AsRef<str>) -> Result<Self, KeyError> {
        let secret = secret::from_hex(secret.as_ref(), secret_length(algorithm)?, &ADVICE)?;
        Self::from_material(algorithm, &secret)
    }

    /// Makes a key from a text that another issuer uses as its secret (Supabase and others): the
    /// bytes of the text are the secret, including a line break at its end.
    ///
    /// Use random bytes for your own secrets: anyone with a token can test guesses of a text offline.
    ///
    /// # Errors
    ///
    /// Fails if the secret is shorter than the hash (RFC 7518, section 3.2: 32, 48 or 64 bytes), or
    /// the algorithm is not HMAC.
    #[doc(alias = "supabase")]
    #[doc(alias = "passphrase")]
    pub fn hmac_from_text(
        algorithm: Algorithm,
        secret: impl AsRef<[u8]>,
    ) -> Result<Self, KeyError> {
        secret_length(algorithm)?;
        Self::from_material(algorithm, secret.as_ref())
    }

    /// Makes a key that signs and verifies from an unencrypted PKCS#8 document (DER), for Ed25519,
    /// ECDSA or RSA.
    ///
    /// # Errors
    ///
    /// Fails if the document is not a key for `algorithm`, or an RSA key has fewer than 2048 bits.
    pub fn from_pkcs8_der(algorithm: Algorithm, document: &[u8]) -> Result<Self, KeyError> {
        match key_type(algorithm) {
            None => Err(KeyError::unsupported_algorithm()),
            Some(_) => Self::from_material(algorithm, document),
        }
    }

    /// Makes a key from public numbers; the default key ID is their thumbprint.
    pub(crate) fn from_public(
        algorithm: Algorithm,
        public: PublicKey,
        key_id: Option<&str>,
    ) -> Result<Self, KeyError> {
        let material = Material::of_public(CryptoBackend::default(), algorithm, &public)?;
        let key = Self::with_default_id(algorithm, material);
        Ok(match key_id {
            Some(key_id) => key.with_key_id(key_id),
            None => key,
        })
    }

    /// Returns the same key with its private part.
    pub(crate) fn with_private(self, private: PrivateKey) -> Result<Self, KeyError> {
        let material = Material::of_private(CryptoBackend::default(), self.algorithm, &private)?;
        Ok(Self { material: Arc::new(material.keeping(private)), ..self })
    }

    /// Returns a key of the same material that verifies and never signs: for the shared secret of another
    /// issuer (Supabase, or one that signs with HMAC), whose tokens this service only validates. A ring of such
    /// keys has no signer, and its sessions take the settings for another issuer's tokens.
    ///
    /// ```
    /// use tower_jwt_session::{Algorithm, IssuerProfile, Key, KeyRing, Sessions, Transport};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let secret = "super-secret-jwt-token-with-at-least-32-characters-long";
    /// let key = Key::hmac_from_text(Algorithm::HS256, secret)?.verify_only();
    /// assert!(!key.can_sign());
    /// let keys = KeyRing::fixed([key]).build()?;
    /// let sessions = Sessions::<()>::builder(keys, "https://ref.supabase.co/auth/v1", "authenticated")
    ///     .profile(IssuerProfile::SUPABASE_SECRET)
    ///     .transports([Transport::bearer()])
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// Anyone with the secret can sign: prefer an issuer with public keys.
    #[must_use]
    pub fn verify_only(self) -> Self {
        Self { verify_only: true, ..self }
    }

    /// Returns the same key with that backend.
    pub(crate) fn with_backend(self, backend: CryptoBackend) -> Result<Self, KeyError> {
        if backend == CryptoBackend::default() {
            return Ok(self);
        }
        let material = match (&self.material.private, &self.material.identity) {
            (Some(private), _) => Material::of_private(backend, self.algorithm, private)?,
            (None, Identity::Public(public)) if !self.can_sign() => {
                Material::of_public(backend, self.algorithm, public)?
            }
            // It has one already.
            (None, _) => return Ok(self),
        };
        Ok(Self { material: Arc::new(material), ..self })
    }

    pub(crate) fn public(&self) -> Option<&PublicKey> {
        match &self.material.identity {
            Identity::Public(public) => Some(public),
            Identity::Commitment(_) => None,
        }
    }

    /// Sets another key ID.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<Arc<str>>) -> Self {
        self.key_id = key_id.into();
        self.is_named = true;
        self
    }

    /// Binds the key to an issuer.
    pub(crate) fn bound_to(self, issuer: Option<Arc<IssuerName>>) -> Self {
        Self { issuer, ..self }
    }

    /// The issuer that the key is bound to.
    pub(crate) fn issuer(&self) -> Option<&IssuerName> {
        self.issuer.as_deref()
    }

    /// Whether the key ID was given with the key.
    pub(crate) fn is_named(&self) -> bool {
        self.is_named
    }

    /// Sets another name of the key's algorithm; does nothing if `algorithm` is another one.
    pub(crate) fn named(mut self, algorithm: Algorithm) -> Self {
        if self.algorithm.canonical() == algorithm.canonical() {
            self.algorithm = algorithm;
        }
        self
    }

    fn new(key_id: Arc<str>, algorithm: Algorithm, material: Material) -> Self {
        let material = Arc::new(material);
        Self { key_id, is_named: false, verify_only: false, algorithm, issuer: None, material }
    }

    /// Makes a key from a shared secret or a PKCS#8 document.
    pub(crate) fn from_material(algorithm: Algorithm, material: &[u8]) -> Result<Self, KeyError> {
        let private = PrivateKey::Document(material.to_vec().into());
        let material = Material::of_private(CryptoBackend::default(), algorithm, &private)?;
        Ok(Self::with_default_id(algorithm, material.keeping(private)))
    }

    /// Makes a key that only the replicas of one ring hold, from the material of its record.
    pub(crate) fn of_ring(
        algorithm: Algorithm,
        material: &[u8],
        operations: Operations,
    ) -> Result<Self, KeyError> {
        let private = PrivateKey::Document(material.to_vec().into());
        let mut material = Material::of_private(operations.backend, algorithm, &private)?;
        if operations.verify_by_signing {
            material = material.verifying_by_signing(algorithm);
        }
        Ok(Self::with_default_id(algorithm, material))
    }

    fn with_default_id(algorithm: Algorithm, material: Material) -> Self {
        let key_id = match &material.identity {
            Identity::Public(public) => thumbprint(algorithm, public),
            Identity::Commitment(commitment) => base64url::encode(commitment),
        };
        Self::new(key_id.into(), algorithm, material)
    }

    /// Returns whether both are of one key pair, or one secret, for one algorithm.
    pub(crate) fn is_pair_of(&self, other: &Self) -> bool {
        self.algorithm.canonical() == other.algorithm.canonical()
            && self.material.identity == other.material.identity
    }

    /// Returns whether both have the same ID, name of the algorithm, material and abilities.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.key_id == other.key_id
            && self.algorithm == other.algorithm
            && self.can_sign() == other.can_sign()
            && self.is_named == other.is_named
            && self.issuer == other.issuer
            && self.is_pair_of(other)
    }

    /// Returns the algorithm of this key. A token's header cannot change it.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the key ID, the `kid` of a token. Default: the RFC 7638 thumbprint; for a shared secret
    /// a keyed hash that does not reveal it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns the public key as a JWK (RFC 7517), in the type of `jsonwebtoken`; `None` for a shared
    /// secret.
    ///
    /// Its `alg` is that of the key's tokens. A key of [`Algorithm::Ed25519`] has none, since the JWK
    /// type does not know that name; the curve determines the algorithm.
    pub fn to_jwk(&self) -> Option<Jwk> {
        let mut members = members(self.algorithm, self.public()?);
        members.insert("use", "sig".to_owned());
        members.insert("kid", self.key_id.as_ref().to_owned());
        if self.algorithm != Algorithm::Ed25519 {
            members.insert("alg", self.algorithm.as_str().to_owned());
        }
        serde_json::to_value(members).and_then(serde_json::from_value).ok()
    }

    /// Returns whether this key can sign.
    pub fn can_sign(&self) -> bool {
        self.material.signer.is_some() && !self.verify_only
    }

    pub(crate) fn signer(&self) -> Option<&dyn Sign> {
        self.material.signer.as_deref().filter(|_| !self.verify_only)
    }

    /// Returns whether `signature` is this key's over `message`.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.material.verifier.verify(message, signature)
    }

    /// Returns the encoded headers of tokens with this key and type, as this crate writes them: first
    /// the current one, then that with another name of the algorithm.
    pub(crate) fn encoded_headers(&self, token_type: &str) -> Vec<String> {
        let same = |other: &Algorithm| {
            *other != self.algorithm && other.canonical() == self.algorithm.canonical()
        };
        let names = [self.algorithm].into_iter().chain(Algorithm::ALL.into_iter().filter(same));
        let header = |algorithm: Algorithm| {
            let alg = algorithm.as_str();
            let members = HeaderMembers { alg, typ: token_type, kid: &self.key_id };
            // A struct of strings always serializes.
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
const ADVICE: Advice = Advice { constructors: "Key::hmac_", has_text: true };

/// The RFC 7638 thumbprint: the SHA-256 of the required members, in order, without white space.
fn thumbprint(algorithm: Algorithm, public: &PublicKey) -> String {
    // A map of strings always serializes.
    let members = serde_json::to_vec(&members(algorithm, public)).unwrap_or_default();
    base64url::encode(backend::sha256([&members]))
}

/// The members of a JWK that a public key of its type must have (RFC 7638, section 3.2; RFC 8037,
/// section 2).
fn members(algorithm: Algorithm, public: &PublicKey) -> BTreeMap<&'static str, String> {
    let text = str::to_owned;
    match (algorithm.primitive(), public) {
        (_, PublicKey::Rsa(RsaPublic { n, e })) => BTreeMap::from([
            ("kty", text("RSA")),
            ("n", base64url::encode(n)),
            ("e", base64url::encode(e)),
        ]),
        (Primitive::Ecdsa(curve), PublicKey::Bytes(point)) => {
            // An uncompressed point: 4, x, y (SEC 1, section 2.3.3).
            let both = point.get(1..).unwrap_or_default();
            let (x, y) = both.split_at(both.len() / 2);
            let (x, y) = (base64url::encode(x), base64url::encode(y));
            BTreeMap::from([("kty", text("EC")), ("crv", text(curve.name())), ("x", x), ("y", y)])
        }
        (_, PublicKey::Bytes(x)) => BTreeMap::from([
            ("kty", text("OKP")),
            ("crv", text("Ed25519")),
            ("x", base64url::encode(x)),
        ]),
    }
}
