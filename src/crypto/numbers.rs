//! The numbers of keys, as JWK and DER write them.

use zeroize::Zeroizing;

type Secret = Zeroizing<Vec<u8>>;

/// A public key's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// Ed25519: 32 bytes. ECDSA: the uncompressed point.
    Bytes(Box<[u8]>),
    Rsa(RsaPublic),
}

/// An RSA key's modulus and public exponent, big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RsaPublic {
    pub(crate) n: Vec<u8>,
    pub(crate) e: Vec<u8>,
}

/// An RSA key's private numbers (RFC 7518, section 6.3.2), big-endian.
pub(crate) struct RsaPrivate {
    pub(crate) d: Secret,
    pub(crate) p: Secret,
    pub(crate) q: Secret,
    pub(crate) dp: Secret,
    pub(crate) dq: Secret,
    pub(crate) qi: Secret,
}

/// The material of a private or shared key, as it came.
pub(crate) enum PrivateKey {
    /// A shared secret (HMAC) or a PKCS#8 document; for RSA also a PKCS#1 one.
    Document(Secret),
    /// An Ed25519 seed or an ECDSA scalar, and its public key.
    Scalar(Secret, Box<[u8]>),
    Rsa(RsaPublic, RsaPrivate),
}
