//! The same token in the hands of `jsonwebtoken`, as an application would use it: the claims one
//! struct, the validation and the keys made once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use tower_jwt_session::Key;

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
    validation: Validation,
    decoding: DecodingKey,
    header: Header,
    encoding: Option<EncodingKey>,
    claims: Claims,
}

impl Jwt {
    pub(crate) fn new(key: &Key, document: &[u8]) -> Self {
        let algorithm: Algorithm = key.algorithm().as_str().parse().expect("known to both");
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[crate::ISSUER]);
        validation.set_audience(&[crate::AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
        validation.validate_nbf = true;
        let decoding = match key.to_jwk() {
            None => DecodingKey::from_secret(document),
            Some(jwk) => DecodingKey::from_jwk(&jwk).expect("a good key"),
        };
        let encoding = match algorithm {
            Algorithm::HS256 => Some(EncodingKey::from_secret(document)),
            Algorithm::EdDSA => Some(EncodingKey::from_ed_der(document)),
            Algorithm::ES256 => Some(EncodingKey::from_ec_der(document)),
            _ => None,
        };
        let mut header = Header::new(algorithm);
        header.typ = Some("session+jwt".into());
        header.kid = Some(key.key_id().into());
        Self { validation, decoding, header, encoding, claims: Claims::reference() }
    }

    /// Whether it takes `token` for what it is.
    pub fn validates(&self, token: &str) -> bool {
        let decoded = decode::<Claims>(token, &self.decoding, &self.validation);
        decoded.is_ok_and(|decoded| decoded.claims.sub.len() == crate::SUBJECT.len())
    }

    /// Issues a token like the reference: with the time and with IDs of its own.
    pub fn issue(&self) -> String {
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
