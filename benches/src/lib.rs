//! Shared by the benchmarks: one login, the token that it becomes, and ways to verify and sign it: this
//! crate, the bare primitives of `ring` and `aws-lc-rs`, and `jsonwebtoken`.

mod jwt;
pub mod measure;
pub mod peers;
mod raw;
pub mod report;
mod scale;

use std::sync::Arc;

use http::StatusCode;
use ring::rand::{self, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use serde::{Deserialize, Serialize};
use tower_jwt_session::jwk::{AlgorithmParameters, Jwk};
use tower_jwt_session::{
    Algorithm, CryptoBackend, Key, KeyRing, Login, Root, Session, SessionClaims, Sessions,
};

pub use crate::jwt::{Claims, Jwt, Provider};
pub use crate::raw::{Raw, RawAwsLc};
pub use crate::scale::{ENDED, LONG_CLAIMS, Scale, sessions_with_ended};

/// The algorithms that are measured.
pub const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::HS256, Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];

/// Those of them that are measured at issuing, too.
pub const ISSUING: [Algorithm; 3] = [Algorithm::HS256, Algorithm::EdDSA, Algorithm::ES256];

/// Who the token is of.
pub const SUBJECT: &str = "9b2e4c1a-6f3d-4b8e-a7c5-1d0f2e3b4a59";

pub(crate) const ISSUER: &str = "https://id.test";
pub(crate) const AUDIENCE: &str = "shop";
const SCOPE: &str = "orders";
const KEY_ID: &str = "k1";

/// The application's claims: owned strings, as most have them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct User {
    /// The user's permissions.
    pub roles: Vec<String>,
}

impl User {
    /// The claims of the reference token.
    pub fn reference() -> Self {
        Self { roles: vec!["user".into(), "admin".into()] }
    }
}

/// One algorithm's keys, in several hands, and the reference token.
pub struct Fixture {
    /// The algorithm's name in JOSE headers.
    pub name: &'static str,
    /// The public key, unless the key is a shared secret.
    pub public: Option<Jwk>,
    /// This crate, with the application's claims as [`User`]; each token is verified each time.
    pub sessions: Sessions<User>,
    /// The same without claims of an application.
    pub unit_sessions: Sessions<()>,
    /// The same as `sessions`, with room in the cache for all tokens of a benchmark.
    pub cached: Sessions<User>,
    /// What a token of `sessions` is issued for.
    pub login: Login<User>,
    /// The reference token: 244 bytes of JSON under the signature.
    pub token: String,
    /// The bare primitive of `ring`.
    pub raw: Raw,
    /// The bare primitive of `aws-lc-rs`.
    pub raw_aws_lc: RawAwsLc,
    /// `jsonwebtoken`, with everything that can be made once made once.
    pub jwt: Arc<Jwt>,
    /// The same, with the crates of RustCrypto.
    pub jwt_rust_crypto: Arc<Jwt>,
    /// The private key, or another one of the ring's own kind.
    document: Vec<u8>,
}

impl Fixture {
    /// Makes a fixed ring of one key and the token. The clock is the system's, for all alike.
    pub fn new(algorithm: Algorithm) -> Self {
        Self::with_backend(algorithm, CryptoBackend::Ring)
    }

    /// The same with that backend.
    pub fn with_backend(algorithm: Algorithm, backend: CryptoBackend) -> Self {
        let document = document(algorithm);
        let (name, key) = key(algorithm, &document);
        let ring = KeyRing::fixed([key]).crypto_backend(backend).build().expect("one good key");
        Self::of(name, ring, algorithm, &document)
    }

    /// The same with Ed25519 keys that the ring itself makes: the private key verifies, too.
    pub fn own(backend: CryptoBackend) -> Self {
        let root = Root::new(document(Algorithm::HS256)).expect("random bytes");
        let ring = KeyRing::derived("bench", root).crypto_backend(backend).build();
        // Nobody else has the private key. All sign as quickly with another one.
        Self::of(
            "EdDSA",
            ring.expect("good settings"),
            Algorithm::EdDSA,
            &document(Algorithm::EdDSA),
        )
    }

    fn of(name: &'static str, ring: KeyRing, algorithm: Algorithm, document: &[u8]) -> Self {
        let key_id = ring.status().signing_key_id.expect("a private key");
        let is_signer = |jwk: &Jwk| jwk.common.key_id.as_ref() == Some(&key_id);
        let public = ring.jwks().keys.into_iter().find(is_signer);
        let raw = Raw::new(public.as_ref(), document);
        let raw_aws_lc = RawAwsLc::new(public.as_ref(), document);
        let [jwt, jwt_rust_crypto] = [Provider::AwsLcRs, Provider::RustCrypto].map(|provider| {
            let algorithm = algorithm.as_str().parse().expect("known to both");
            Arc::new(Jwt::new(provider, algorithm, public.as_ref(), &key_id, document))
        });
        let (sessions, unit_sessions) = (with_cache::<User>(&ring, 0), with_cache(&ring, 0));
        let cached = with_cache(&ring, 16 * 1024 * 1024);
        let login = Login::new(SUBJECT, User::reference()).scope(SCOPE);
        let token = sessions.issue(&login).expect("a private key").as_str().to_owned();
        Self {
            name,
            public,
            sessions,
            unit_sessions,
            cached,
            login,
            token,
            raw,
            raw_aws_lc,
            jwt,
            jwt_rust_crypto,
            document: document.into(),
        }
    }

    /// The reference token's signed bytes, and its decoded signature.
    pub fn signed(&self) -> (&[u8], Vec<u8>) {
        let (signed, signature) = self.token.rsplit_once('.').expect("a compact token");
        (signed.as_bytes(), decode(signature))
    }

    /// The public key of Ed25519.
    pub fn public_bytes(&self) -> Vec<u8> {
        match self.public.as_ref().map(|jwk| &jwk.algorithm) {
            Some(AlgorithmParameters::OctetKeyPair(public)) => decode(&public.x),
            _ => unreachable!("not of Ed25519"),
        }
    }

    /// Whether this crate takes `token` for what it is.
    pub fn validates(&self, token: &str) -> bool {
        accepts(&self.sessions, token)
    }

    /// The same without an application's claims.
    pub fn validates_unit(&self, token: &str) -> bool {
        accepts(&self.unit_sessions, token)
    }

    /// So many tokens, each of a session of its own.
    pub fn tokens(&self, count: usize) -> Vec<String> {
        let issue = || self.sessions.issue(&self.login).expect("a private key");
        (0..count).map(|_| issue().as_str().to_owned()).collect()
    }

    /// Whether this crate issues a token as long as the reference.
    pub fn issues(&self) -> bool {
        let token = self.sessions.issue(&self.login);
        token.is_ok_and(|token| token.as_str().len() == self.token.len())
    }
}

/// Whether `sessions` take `token` for what it is.
pub fn accepts<C: SessionClaims>(sessions: &Sessions<C>, token: &str) -> bool {
    sessions.validate(token).is_ok_and(|session| session.subject().len() == SUBJECT.len())
}

/// Sessions of this ring, whose cache of verified tokens has so many bytes.
pub fn with_cache<C: SessionClaims>(ring: &KeyRing, bytes: usize) -> Sessions<C> {
    let builder = Sessions::builder(ring.clone(), ISSUER, AUDIENCE).token_cache_bytes(bytes);
    builder.build().expect("good settings")
}

/// Draws the random bytes of two IDs.
pub fn draws_ids() -> bool {
    rand::generate::<[u8; 36]>(&SystemRandom::new()).is_ok()
}

/// Answers 204 to the user of the reference token.
pub async fn handler(session: Session<User>) -> StatusCode {
    match session.subject() == SUBJECT && session.claims().roles.len() == 2 {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A ring of ten new keys; the RSA keys are all the same.
pub fn ring_of_ten_keys(algorithm: Algorithm) -> KeyRing {
    let key = |number| key(algorithm, &document(algorithm)).1.with_key_id(format!("{number}"));
    let ring = KeyRing::fixed((0..10).map(key)).build().expect("good keys");
    assert_eq!(ring.status().keys.len(), 10);
    ring
}

fn key(algorithm: Algorithm, document: &[u8]) -> (&'static str, Key) {
    let (name, key) = match algorithm {
        Algorithm::HS256 => ("HS256", Key::hmac_from_text(algorithm, document)),
        Algorithm::EdDSA => ("EdDSA", Key::from_pkcs8_der(algorithm, document)),
        Algorithm::ES256 => ("ES256", Key::from_pkcs8_der(algorithm, document)),
        _ => ("RS256", Key::from_pkcs8_der(algorithm, document)),
    };
    (name, key.expect("a good key").with_key_id(KEY_ID))
}

/// A new key: a shared secret, or PKCS#8. The RSA key is always the same.
fn document(algorithm: Algorithm) -> Vec<u8> {
    let random = SystemRandom::new();
    let document = match algorithm {
        Algorithm::HS256 => {
            return rand::generate::<[u8; 32]>(&random).expect("random").expose().into();
        }
        Algorithm::EdDSA => Ed25519KeyPair::generate_pkcs8(&random),
        Algorithm::ES256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        _ => return include_bytes!("rsa-2048.pk8").into(),
    };
    document.expect("random").as_ref().into()
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_takes_the_reference_token() {
        for algorithm in ALGORITHMS {
            let fixture = Fixture::new(algorithm);
            let payload = fixture.token.split('.').nth(1).expect("a compact token");
            assert_eq!(decode(payload).len(), 244, "{}", fixture.name);
            assert!(fixture.validates(&fixture.token));
            assert!(fixture.validates_unit(&fixture.token));
            assert!(fixture.jwt.validates(&fixture.token));
            let (signed, signature) = fixture.signed();
            assert!(fixture.raw.verifies(signed, &signature));
        }
    }

    #[test]
    fn what_anyone_signs_is_the_same() {
        for algorithm in ISSUING {
            let fixture = Fixture::new(algorithm);
            let token = fixture.jwt.issue();
            assert!(fixture.issues());
            assert!(fixture.validates(&token));
            assert_eq!(token.len(), fixture.token.len());
            let (signed, signature) = fixture.signed();
            assert_eq!(fixture.raw.sign(signed), signature.len());
        }
    }
}
