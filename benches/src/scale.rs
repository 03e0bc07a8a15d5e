//! What may grow: the ring, and the claims.

use jsonwebtoken::Algorithm;
use ring::hmac;
use tower_jwt_session::{IssueSession, Key, KeyRing, Sessions};

use crate::{SUBJECT, User, accepts, with_cache};

/// How long the application's claims are measured, in bytes.
pub const LONG_CLAIMS: [usize; 3] = [200, 1000, 4000];

/// Sessions of HS256, and a token of theirs.
pub struct Scale {
    sessions: Sessions<User>,
    token: String,
    raw: hmac::Key,
    signature: Vec<u8>,
}

impl Scale {
    /// With so many keys; the token's is the one that signs.
    pub fn keys(count: u64) -> Self {
        Self::new(count, User::reference())
    }

    /// With claims of so many bytes, in one text.
    pub fn claims(bytes: usize) -> Self {
        Self::new(1, User { roles: vec!["x".repeat(bytes)] })
    }

    fn new(keys: u64, claims: User) -> Self {
        let secret = |number: u64| [[number.to_be_bytes(); 3].concat(), vec![7; 8]].concat();
        let key = |number| {
            let key = Key::hmac(Algorithm::HS256, &secret(number)).expect("a good key");
            key.with_key_id(format!("key-{number:03}"))
        };
        let ring = KeyRing::fixed((0..keys).map(key)).expect("good keys");
        let sessions = with_cache::<User>(&ring, 0);
        let token = sessions.issue(&IssueSession::new(SUBJECT, claims)).expect("a private key");
        let token = token.as_str().to_owned();
        let (_, signature) = token.rsplit_once('.').expect("a compact token");
        let signature = crate::decode(signature);
        Self { raw: hmac::Key::new(hmac::HMAC_SHA256, &secret(0)), sessions, token, signature }
    }

    /// Whether the token is taken for what it is.
    pub fn validates(&self) -> bool {
        accepts(&self.sessions, &self.token)
    }

    /// Whether the bare primitive takes its signature.
    pub fn verifies(&self) -> bool {
        let (signed, _) = self.token.rsplit_once('.').expect("a compact token");
        hmac::verify(&self.raw, signed.as_bytes(), &self.signature).is_ok()
    }
}
