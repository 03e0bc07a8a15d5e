//! The numbers of keys, as JWK and DER write them.

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
pub(crate) struct RsaPrivate<'a> {
    pub(crate) d: &'a [u8],
    pub(crate) p: &'a [u8],
    pub(crate) q: &'a [u8],
    pub(crate) dp: &'a [u8],
    pub(crate) dq: &'a [u8],
    pub(crate) qi: &'a [u8],
}
