//! The target of attacks: a service with a ring of one algorithm's key, and beside it two others.

use conformance::{Service, Verdict};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use tower_jwt_session::testing::{ManualClock, fixed_key, mint};
use tower_jwt_session::{Algorithm, Key, KeyRing, Login, RefreshTokens, Sessions};

pub(crate) const ALGORITHMS: [Algorithm; 12] = *Algorithm::ALL.first_chunk().unwrap();

/// The time of the service's clock.
pub(crate) const NOW: i64 = 1_800_000_000;

/// A token, and what has to become of it.
pub(crate) struct Attack {
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) expected: Verdict,
}

/// Which tokens are attacked: the ways through the code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Session tokens whose header is as it is written here, so that it is known as a whole.
    Known,
    /// Session tokens whose header's members stand in another order, so that it has to be read.
    Read,
    /// Refresh tokens, whose header is always read.
    Refresh,
}

pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) key: Key,
    service: Service,
    /// Another key of the ring, of another algorithm.
    pub(crate) other: Key,
}

impl Target {
    pub(crate) fn new(algorithm: Algorithm, kind: Kind) -> Self {
        let key = fixed_key(algorithm);
        // One that is shared beside those that are public, and the other way round.
        let is_shared = key.to_jwk().is_none();
        let other =
            if is_shared { fixed_key(Algorithm::EdDSA) } else { fixed_key(Algorithm::HS512) };
        let third = fixed_key(Algorithm::ES256).with_key_id("third");
        let keys = [key.clone(), other.clone(), third];
        let builder = || -> Result<_, Failed> {
            let ring = KeyRing::fixed(keys.clone()).clock(ManualClock::default()).build()?;
            let sessions = Sessions::builder(ring, "https://issuer.test", "app");
            Ok(sessions.refresh_tokens(RefreshTokens::new().dangerous_without_reuse_detection()))
        };
        let service = Service::new(builder, "__Host-fixed").expect("good settings");
        let target = Self { kind, key, service, other };
        let issued = builder().and_then(|sessions| Ok(sessions.build()?));
        let issued = issued.expect("good settings").issue(&Login::new("alice", ()));
        let issued = issued.expect("a token");
        let head = |token: &str| token.split('.').next().map(str::to_owned);
        assert_eq!(head(issued.as_str()) == head(&target.good()), kind == Kind::Known);
        target
    }

    /// Asks for the verdict on one of its tokens, in every way.
    pub(crate) fn check(&self, token: &str, expected: Verdict) -> Result<(), Failed> {
        match self.kind {
            Kind::Known | Kind::Read => self.service.check(token, expected),
            Kind::Refresh => self.service.check_refresh(token, expected),
        }
    }

    /// The type of its tokens.
    pub(crate) fn token_type(&self) -> &'static str {
        match self.kind {
            Kind::Known | Kind::Read => "session+jwt",
            Kind::Refresh => "refresh+jwt",
        }
    }

    /// The header that the key's tokens have.
    pub(crate) fn header(&self) -> Value {
        let alg = format!("{:?}", self.key.algorithm());
        json!({ "alg": alg, "typ": self.token_type(), "kid": self.key.key_id() })
    }

    /// The same as text.
    fn header_text(&self) -> String {
        let header = self.header();
        match self.kind {
            Kind::Known => {
                format!(
                    r#"{{"alg":{},"typ":{},"kid":{}}}"#,
                    header["alg"], header["typ"], header["kid"]
                )
            }
            Kind::Read | Kind::Refresh => header.to_string(),
        }
    }

    /// A payload that passes.
    pub(crate) fn payload(&self) -> Value {
        let mut payload = json!({
            "iss": "https://issuer.test", "sub": "alice", "aud": "app", "jti": "token-1",
            "iat": NOW - 10, "exp": NOW + 890, "sid": "session-1", "auth_time": NOW - 10,
        });
        if self.kind == Kind::Refresh {
            payload["seq"] = json!(0);
        }
        payload
    }

    /// Signs any header and payload as they are.
    pub(crate) fn signed(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        mint(&self.key, header, payload)
    }

    /// A good token, but for this header.
    pub(crate) fn headed(&self, header: impl AsRef<[u8]>) -> String {
        self.signed(header, self.payload().to_string())
    }

    /// A good token, but for this payload.
    pub(crate) fn claiming(&self, payload: impl AsRef<[u8]>) -> String {
        self.signed(self.header_text(), payload)
    }

    /// A good token, but for a member of its header, as JSON text.
    pub(crate) fn headed_with(&self, name: &str, value: &str) -> String {
        self.headed(with(&self.header(), name, value))
    }

    /// A good token, but for a claim, as JSON text.
    pub(crate) fn claiming_with(&self, name: &str, value: &str) -> String {
        self.claiming(with(&self.payload(), name, value))
    }

    /// A good token.
    pub(crate) fn good(&self) -> String {
        self.headed(self.header_text())
    }
}

/// An object's text with one member replaced by this text, or added.
pub(crate) fn with(object: &Value, name: &str, value: &str) -> String {
    let rest = without(object, name);
    format!("{},\"{name}\":{value}}}", &rest[..rest.len() - 1])
}

/// An object's text without a member.
pub(crate) fn without(object: &Value, name: &str) -> String {
    let mut object = object.clone();
    object.as_object_mut().expect("an object").remove(name);
    object.to_string()
}

pub(crate) fn good(name: impl Into<String>, token: String) -> Attack {
    Attack { name: name.into(), token, expected: Verdict::Accepted }
}

pub(crate) fn bad(name: impl Into<String>, token: String) -> Attack {
    Attack { name: name.into(), token, expected: Verdict::Refused }
}
