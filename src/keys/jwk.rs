//! Reads one JWK (RFC 7517), for every source of JWKs: an issuer's set, the application, and files.
//!
//! Members without a meaning here are ignored, whatever their values. A private member in any form
//! makes a key private: no source reads such a key as a public one.

use serde::de::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::key::Key;
use crate::base64url;
use crate::claims::issuer::IssuerName;
use crate::crypto::algorithm::{Algorithm, Curve, Primitive};
use crate::crypto::error::{KeyError, KeyErrorKind};
use crate::crypto::numbers::{PrivateKey, PublicKey, RsaPrivate, RsaPublic};
use crate::keys::jwk_json::Json;

impl Key {
    /// Reads a public key from the JSON text of a JWK (RFC 7517), with its `kid` if it has one.
    ///
    /// # Errors
    ///
    /// Fails if it holds a private member, is not for verifying signatures (`use`, `key_ops`), has no
    /// `alg` though its type allows several algorithms (RSA), or its numbers are not a key.
    pub fn from_jwk(json: impl AsRef<str>) -> Result<Self, KeyError> {
        Jwk::parse(json.as_ref())?.public(None)
    }

    /// Reads a private or shared key from the JSON text of a JWK (RFC 7517), with its `kid` if it has
    /// one. The key signs and verifies. If `alg` is `Ed25519` (RFC 9864), so is that of its tokens.
    ///
    /// # Errors
    ///
    /// Fails if a private member is missing or damaged, the key is not for signing (`use`,
    /// `key_ops`), its private and public members do not match, it has no `alg` though its type
    /// allows several algorithms (RSA, `oct`), or a shared secret is not random.
    pub fn from_private_jwk(json: impl AsRef<str>) -> Result<Self, KeyError> {
        Jwk::parse(json.as_ref())?.private(None)
    }
}

/// The members of a JWK, not yet checked.
pub(crate) struct Jwk(Json);

impl Jwk {
    /// Reads the text of a JWK; fails if it is not JSON.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        // A byte order mark, as Windows editors write it.
        let text = text.trim_start_matches('\u{feff}');
        // Without the parser's own words: they may quote a member, and that may be a secret.
        serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let text =
                format!("the text is not a JWK: no JSON object at line {line}, column {column}");
            KeyError::new(KeyErrorKind::InvalidEncoding, text)
        })
    }

    /// The key ID, if there is one; fails if it is not a string, or an empty one.
    pub(crate) fn key_id(&self) -> Result<Option<&str>, KeyError> {
        let expected = "a string of at least one character";
        match self.member("kid") {
            Json::Missing | Json::Null => Ok(None),
            Json::Text(kid) if !kid.is_empty() => Ok(Some(kid)),
            other => Err(KeyError::member("kid", other.kind(), expected)),
        }
    }

    /// The issuer that the key is bound to, as Entra ID writes it into its JWKS; fails if it is not a string.
    pub(crate) fn issuer(&self) -> Result<Option<IssuerName>, KeyError> {
        match self.member("issuer") {
            Json::Missing | Json::Null => Ok(None),
            Json::Text(issuer) if !issuer.is_empty() => Ok(Some(IssuerName::new(issuer))),
            other => Err(KeyError::member("issuer", other.kind(), "the `iss` of tokens")),
        }
    }

    /// Whether the key says that it is for signatures.
    pub(crate) fn is_for_signatures(&self) -> bool {
        self.member("use").text() == Some("sig")
    }

    /// Whether it is a public key for encryption or key agreement, by `use` or by each of its `key_ops` (RFC 7517,
    /// sections 4.2 and 4.3).
    pub(crate) fn is_for_encryption(&self) -> bool {
        let is_given = |member: &&str| !matches!(self.member(member), Json::Missing | Json::Null);
        let is_public = !PRIVATE.iter().any(is_given);
        let of_key_ops = match self.member("key_ops") {
            Json::List(Some(given)) => {
                !given.is_empty() && given.iter().all(|it| ENCRYPTION.contains(&&**it))
            }
            _ => false,
        };
        is_public && (self.member("use").text() == Some("enc") || of_key_ops)
    }

    /// Reads a public key. `rsa_algorithm` is that of an RSA key that names none. Fails if it holds
    /// a private member, is not for verifying signatures, or its numbers are not a key.
    pub(crate) fn public(&self, rsa_algorithm: Option<Algorithm>) -> Result<Key, KeyError> {
        self.check_object()?;
        let is_given = |member: &&&str| !matches!(self.member(member), Json::Missing | Json::Null);
        let private = PRIVATE.iter().find(is_given);
        if self.kty() == Some("oct") {
            return Err(KeyError::new(KeyErrorKind::SharedSecret, SHARED));
        }
        if let Some(member) = private {
            let text = format!(
                "JWK member `{member}` is private, expected a public key: a private key that was \
                 published must be replaced; read your own with `Key::from_private_jwk`"
            );
            return Err(KeyError::new(KeyErrorKind::UnexpectedKey, text));
        }
        self.check_usage(&["verify"])?;
        self.public_part(rsa_algorithm)
    }

    /// Reads a private or shared key. Fails if a private member is missing or damaged, its parts do
    /// not match, or it is not for signing.
    pub(crate) fn private(&self, rsa_algorithm: Option<Algorithm>) -> Result<Key, KeyError> {
        self.check_object()?;
        if self.kty() == Some("oct") {
            self.check_usage(&["sign", "verify"])?;
            return self.shared();
        }
        if !self.is_private() {
            let expected = "the private key; read a public key with `Key::from_jwk`";
            return Err(KeyError::member("d", "missing", expected));
        }
        self.check_usage(&["sign"])?;
        let public = self.public_part(rsa_algorithm)?;
        let private = self.private_part(&public)?;
        public.with_private(private)
    }

    /// Reads a private key if any private member is present, in whatever form, so that a damaged
    /// private key is not read as a public one; else a public key.
    pub(crate) fn either(&self, rsa_algorithm: Option<Algorithm>) -> Result<Key, KeyError> {
        match self.is_private() || self.kty() == Some("oct") {
            true => self.private(rsa_algorithm),
            false => self.public(rsa_algorithm),
        }
    }

    fn is_private(&self) -> bool {
        PRIVATE.iter().any(|member| !matches!(self.member(member), Json::Missing))
    }

    fn kty(&self) -> Option<&str> {
        self.member("kty").text()
    }

    fn member(&self, name: &str) -> &Json {
        let Json::Object(members) = &self.0 else { return &Json::Missing };
        members.iter().find(|(known, _)| *known == name).map_or(&Json::Missing, |(_, json)| json)
    }

    fn check_object(&self) -> Result<(), KeyError> {
        let expected = "one JWK, a JSON object";
        if !matches!(self.0, Json::Object(_)) {
            return Err(KeyError::wrong_kind(self.0.kind(), expected));
        }
        match self.member("keys") {
            Json::Missing => Ok(()),
            _ => Err(KeyError::wrong_kind("a JWK Set", expected)),
        }
    }

    /// Checks `use` and `key_ops` (RFC 7517, sections 4.2 and 4.3): one of these operations.
    fn check_usage(&self, operations: &[&str]) -> Result<(), KeyError> {
        match self.member("use") {
            Json::Missing | Json::Null => {}
            Json::Text(usage) if **usage == "sig" => {}
            other => return Err(KeyError::member("use", other.shown(), "\"sig\" for signatures")),
        }
        match self.member("key_ops") {
            Json::Missing | Json::Null => Ok(()),
            Json::List(Some(given))
                if operations.iter().any(|one| given.iter().any(|it| it == one)) =>
            {
                Ok(())
            }
            other => {
                let expected = format!("a list with {:?} for signatures", operations[0]);
                Err(KeyError::member("key_ops", other.shown(), expected))
            }
        }
    }

    /// Returns the algorithm in `alg`, if the key's type allows it.
    fn algorithm(
        &self,
        allowed: &[Algorithm],
        default: Option<Algorithm>,
    ) -> Result<Algorithm, KeyError> {
        match self.member("alg") {
            Json::Missing | Json::Null => match allowed {
                [only] => Ok(*only),
                _ => default
                    .filter(|default| allowed.contains(default))
                    .ok_or_else(|| KeyError::new(KeyErrorKind::AmbiguousAlgorithm, NO_ALG)),
            },
            json => {
                let named = json.text().and_then(|name| name.parse().ok());
                named.filter(|named| allowed.contains(named)).ok_or_else(|| {
                    let names = allowed.iter().map(|algorithm| algorithm.as_str());
                    let names = names.collect::<Vec<_>>().join(", ");
                    KeyError::member("alg", json.shown(), format!("{names} for this type of key"))
                })
            }
        }
    }

    fn public_part(&self, rsa_algorithm: Option<Algorithm>) -> Result<Key, KeyError> {
        let (algorithm, public) = match self.kty() {
            Some("OKP") => {
                self.curve(&["Ed25519"])?;
                let algorithm = self
                    .algorithm(&[Algorithm::EdDSA, Algorithm::Ed25519], Some(Algorithm::EdDSA))?;
                let x = self.fixed("x", 32, "Ed25519")?;
                (algorithm, PublicKey::Bytes(x.as_slice().into()))
            }
            Some("EC") => {
                let (curve, algorithm) = match self.curve(&["P-256", "P-384"])? {
                    "P-256" => (Curve::P256, Algorithm::ES256),
                    _ => (Curve::P384, Algorithm::ES384),
                };
                let algorithm = self.algorithm(&[algorithm], None)?;
                let (x, y) = (self.coordinate("x", curve)?, self.coordinate("y", curve)?);
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                (algorithm, PublicKey::Bytes(point.into()))
            }
            Some("RSA") => {
                let algorithm = self.algorithm(&RSA_ALGORITHMS, rsa_algorithm)?;
                let (n, e) = (self.number("n")?.to_vec(), self.number("e")?.to_vec());
                (algorithm, PublicKey::Rsa(RsaPublic { n, e }))
            }
            _ => {
                let expected = "\"OKP\", \"EC\" or \"RSA\"";
                return Err(KeyError::member("kty", self.member("kty").shown(), expected));
            }
        };
        Key::from_public(algorithm, public, self.key_id()?)
    }

    fn shared(&self) -> Result<Key, KeyError> {
        let algorithm =
            self.algorithm(&[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512], None)?;
        let key = Key::hmac(algorithm, self.bytes("k")?)?;
        Ok(match self.key_id()? {
            Some(key_id) => key.with_key_id(key_id),
            None => key,
        })
    }

    fn private_part(&self, public: &Key) -> Result<PrivateKey, KeyError> {
        match (public.algorithm().primitive(), public.public()) {
            (Primitive::Ed25519, Some(PublicKey::Bytes(point))) => {
                Ok(PrivateKey::Scalar(self.fixed("d", 32, "Ed25519")?, point.clone()))
            }
            (Primitive::Ecdsa(curve), Some(PublicKey::Bytes(point))) => {
                Ok(PrivateKey::Scalar(self.coordinate("d", curve)?, point.clone()))
            }
            (Primitive::Pkcs1(_) | Primitive::Pss(_), Some(PublicKey::Rsa(public))) => {
                let members = ["d", "p", "q", "dp", "dq", "qi"];
                let is_missing = |member: &&str| matches!(self.member(member), Json::Missing);
                let missing: Vec<_> = members.into_iter().filter(is_missing).collect();
                if !missing.is_empty() {
                    let text = format!(
                        "JWK members {missing:?} are missing, expected all of p, q, dp, dq and qi \
                         beside d: export the key with them, or as PKCS#8 PEM"
                    );
                    return Err(KeyError::new(KeyErrorKind::InvalidMember, text));
                }
                if !matches!(self.member("oth"), Json::Missing | Json::Null) {
                    let expected = "none: a key of two primes";
                    return Err(KeyError::member("oth", "given (more than two primes)", expected));
                }
                let number = |member| self.number(member);
                let private = RsaPrivate {
                    d: number("d")?,
                    p: number("p")?,
                    q: number("q")?,
                    dp: number("dp")?,
                    dq: number("dq")?,
                    qi: number("qi")?,
                };
                Ok(PrivateKey::Rsa(public.clone(), private))
            }
            _ => Err(KeyError::unsupported_algorithm()),
        }
    }

    fn curve(&self, known: &[&'static str]) -> Result<&'static str, KeyError> {
        let json = self.member("crv");
        let named = known.iter().find(|curve| json.text() == Some(curve));
        named.copied().ok_or_else(|| KeyError::member("crv", json.shown(), known.join(" or ")))
    }

    fn bytes(&self, member: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let expected = "base64url without padding";
        let json = self.member(member);
        let text = json.text().ok_or_else(|| KeyError::member(member, json.kind(), expected))?;
        let decoded = base64url::decode(text);
        let decoded = decoded.ok_or_else(|| KeyError::member(member, spelling(text), expected))?;
        Ok(decoded.into())
    }

    /// Returns bytes of one length that are not a number.
    fn fixed(
        &self,
        member: &'static str,
        size: usize,
        curve: &str,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let bytes = self.bytes(member)?;
        match bytes.len() == size {
            true => Ok(bytes),
            false => Err(wrong_length(member, bytes.len(), size, curve)),
        }
    }

    /// A number as long as the curve's (RFC 7518, section 6.2.1.2). Some issuers leave out its
    /// leading zeros, or give one more as a sign: neither changes the number.
    fn coordinate(
        &self,
        member: &'static str,
        curve: Curve,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let size = curve.coordinate();
        let bytes = self.bytes(member)?;
        let digits = match bytes.strip_prefix(&[0]) {
            Some(digits) if bytes.len() == size + 1 => digits,
            _ => &bytes,
        };
        if digits.is_empty() || digits.len() > size {
            return Err(wrong_length(member, bytes.len(), size, curve.name()));
        }
        let mut padded = Zeroizing::new(vec![0; size - digits.len()]);
        padded.reserve_exact(digits.len());
        padded.extend_from_slice(digits);
        Ok(padded)
    }

    /// A number of any length (RFC 7518, section 2), less one leading zero, by which some issuers
    /// say that it is positive.
    fn number(&self, member: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let mut bytes = self.bytes(member)?;
        if bytes.len() > 1 && bytes.first() == Some(&0) {
            bytes.remove(0);
        }
        if bytes.first().is_none_or(|first| *first == 0) {
            let expected = "a number above 0 without leading zeros";
            let found = if bytes.is_empty() { "empty" } else { "0, or begins with zeros" };
            return Err(KeyError::member(member, found, expected));
        }
        Ok(bytes)
    }
}

fn wrong_length(member: &'static str, found: usize, size: usize, curve: &str) -> KeyError {
    KeyError::member(member, format!("{found} bytes long"), format!("{size} bytes for {curve}"))
}

/// Describes the encoding of a text that is not canonical base64url.
fn spelling(text: &str) -> &'static str {
    let has = |any: &[char]| text.contains(any);
    if has(&['+', '/']) {
        "standard base64"
    } else if text.ends_with('=') && base64url::decode(text.trim_end_matches('=')).is_some() {
        "padded base64url"
    } else if text.contains(char::is_whitespace) {
        "text with white space"
    } else {
        "not base64url; it may have been cut"
    }
}

const NO_ALG: &str = "JWK member `alg` is missing, expected because the key's type allows several";

const SHARED: &str = "JWK member `kty` is \"oct\", a shared secret, expected a public key: read your \
                      own with `Key::from_private_jwk`";

const RSA_ALGORITHMS: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The operations of keys that neither sign nor verify (RFC 7517, section 4.3).
const ENCRYPTION: [&str; 6] =
    ["encrypt", "decrypt", "wrapKey", "unwrapKey", "deriveKey", "deriveBits"];

/// The private members of every type (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1; RFC 8037, section
/// 2), whatever the key's own.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl<'de> Deserialize<'de> for Jwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Json::deserialize(deserializer).map(Self)
    }
}
