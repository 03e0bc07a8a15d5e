//! The same token in the hands of `jsonwebtoken`, as an application would use it: the claims one
//! struct, the validation and the keys made once.

use std::cell::Cell;
use std::sync::{LazyLock, Once};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::crypto::{CryptoProvider, aws_lc, rust_crypto};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

/// The cryptography that `jsonwebtoken` uses.
#[derive(Clone, Copy, Debug)]
pub enum Provider {
    /// `aws-lc-rs`.
    AwsLcRs,
    /// The crates of RustCrypto.
    RustCrypto,
}

impl Provider {
    fn get(self) -> &'static CryptoProvider {
        match self {
            Self::AwsLcRs => &aws_lc::DEFAULT_PROVIDER,
            Self::RustCrypto => &rust_crypto::DEFAULT_PROVIDER,
        }
    }

    /// Chooses the provider of this thread. A process has one for all: it passes on to that of the thread.
    fn choose(self) {
        static ONE_FOR_ALL: LazyLock<CryptoProvider> = LazyLock::new(|| CryptoProvider {
            signer_factory: |algorithm, key| (CHOSEN.get().get().signer_factory)(algorithm, key),
            verifier_factory: |algorithm, key| {
                (CHOSEN.get().get().verifier_factory)(algorithm, key)
            },
            key_utils: aws_lc::DEFAULT_PROVIDER.key_utils.clone(),
        });
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| ONE_FOR_ALL.install_default().expect("nobody else installs one"));
        CHOSEN.set(self);
    }
}

thread_local! {
    static CHOSEN: Cell<Provider> = const { Cell::new(Provider::AwsLcRs) };
}

/// All claims of the reference token.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Claims {
    pub iss: String,
    pub sub: String,
    pub aud: String,
    pub iat: u64,
    pub exp: u64,
    pub jti: String,
    pub sid: String,
    pub auth_time: u64,
    pub scope: String,
    pub roles: Vec<String>,
}

/// `jsonwebtoken` with one key.
pub struct Jwt {
    provider: Provider,
    validation: Validation,
    decoding: DecodingKey,
    header: Header,
    encoding: Option<EncodingKey>,
    claims: Claims,
}

impl Jwt {
    /// With the public key, or none and a shared secret; and the private key, if it is to issue.
    pub(crate) fn new(
        provider: Provider,
        algorithm: Algorithm,
        public: Option<&Jwk>,
        key_id: &str,
        document: &[u8],
    ) -> Self {
        provider.choose();
        let validation = validation(algorithm);
        let decoding = match public {
            None => DecodingKey::from_secret(document),
            Some(jwk) => DecodingKey::from_jwk(jwk).expect("a good key"),
        };
        let encoding = match algorithm {
            Algorithm::HS256 => Some(EncodingKey::from_secret(document)),
            Algorithm::EdDSA => Some(EncodingKey::from_ed_der(document)),
            Algorithm::ES256 => Some(EncodingKey::from_ec_der(document)),
            _ => None,
        };
        let mut header = Header::new(algorithm);
        header.typ = Some("session+jwt".into());
        header.kid = Some(key_id.into());
        Self { provider, validation, decoding, header, encoding, claims: Claims::reference() }
    }

    /// Whether it takes `token` for what it is.
    pub fn validates(&self, token: &str) -> bool {
        self.claims(token).is_some_and(|claims| claims.sub.len() == crate::SUBJECT.len())
    }

    /// The claims of a valid token.
    pub fn claims(&self, token: &str) -> Option<Claims> {
        self.provider.choose();
        let decoded = decode::<Claims>(token, &self.decoding, &self.validation);
        decoded.ok().map(|decoded| decoded.claims)
    }

    /// Issues a token like the reference: with the time and with IDs of its own.
    pub fn issue(&self) -> String {
        self.provider.choose();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let claims = Claims {
            iat: now,
            auth_time: now,
            exp: now + 3600,
            jti: random_id(),
            sid: random_id(),
            ..self.claims.clone()
        };
        let encoding = self.encoding.as_ref().expect("a private key");
        encode(&self.header, &claims, encoding).expect("signs")
    }
}

/// As strict as this crate, as far as it goes.
fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[crate::ISSUER]);
    validation.set_audience(&[crate::AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
    validation.validate_nbf = true;
    validation
}

impl Claims {
    fn reference() -> Self {
        Self {
            iss: crate::ISSUER.into(),
            sub: crate::SUBJECT.into(),
            aud: crate::AUDIENCE.into(),
            iat: 0,
            exp: 0,
            jti: String::new(),
            sid: String::new(),
            auth_time: 0,
            scope: crate::SCOPE.into(),
            roles: crate::User::reference().roles,
        }
    }
}

fn random_id() -> String {
    use base64::Engine as _;
    use ring::rand::SecureRandom as _;
    let mut id = [0; 16];
    ring::rand::SystemRandom::new().fill(&mut id).expect("random bytes");
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id)
}
