//! A public [`Key`] as a JWK, in the types of `jsonwebtoken`.

use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, Jwk,
    OctetKeyPairParameters, PublicKeyUse, RSAKeyParameters,
};

use crate::base64url;
use crate::crypto::algorithm::{Curve, Primitive};
use crate::crypto::numbers::{PublicKey, RsaPublic};
use crate::keys::key::{Key, coordinates};

impl Key {
    /// Returns the public key as a JWK (RFC 7517); `None` for a shared secret.
    ///
    /// Its `alg` is that of the key's tokens. A key of
    /// [`Algorithm::Ed25519`](crate::Algorithm::Ed25519) has none, since the JWK type does not know
    /// that name; the curve determines the algorithm.
    pub fn to_jwk(&self) -> Option<Jwk> {
        Some(Jwk {
            common: CommonParameters {
                public_key_use: Some(PublicKeyUse::Signature),
                key_algorithm: self.algorithm().as_str().parse().ok(),
                key_id: Some(self.key_id().to_owned()),
                ..CommonParameters::default()
            },
            algorithm: parameters(self.algorithm().primitive(), self.public()?),
        })
    }
}

fn parameters(primitive: Primitive, public: &PublicKey) -> AlgorithmParameters {
    match (primitive, public) {
        (Primitive::Ecdsa(curve), PublicKey::Bytes(point)) => {
            let [x, y] = coordinates(point).map(base64url::encode);
            let curve = match curve {
                Curve::P256 => EllipticCurve::P256,
                Curve::P384 => EllipticCurve::P384,
            };
            let key_type = Default::default();
            AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters { key_type, curve, x, y })
        }
        (_, PublicKey::Bytes(point)) => AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: Default::default(),
            curve: EllipticCurve::Ed25519,
            x: base64url::encode(point),
        }),
        (_, PublicKey::Rsa(RsaPublic { n, e })) => AlgorithmParameters::RSA(RSAKeyParameters {
            key_type: Default::default(),
            n: base64url::encode(n),
            e: base64url::encode(e),
        }),
    }
}
