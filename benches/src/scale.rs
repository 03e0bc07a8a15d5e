//! The dimensions that may grow: keys, claims, and revocations.

use ring::hmac;
use tokio::runtime::Builder;
use tower_jwt_session::Algorithm;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::{Key, KeyRing, Login, Revocations, Sessions};

use crate::{AUDIENCE, ISSUER, SUBJECT, User, accepts, with_cache};

/// How long the application's claims are measured, in bytes.
pub const LONG_CLAIMS: [usize; 3] = [200, 1000, 4000];

/// The number of revoked sessions and subjects.
pub const ENDED: [usize; 3] = [1_000, 100_000, 1_000_000];

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

    /// With `count` revoked sessions and subjects.
    pub fn ended(count: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let sessions = runtime.block_on(sessions_with_ended(ring(1), count));
        Self::of(sessions, User::reference())
    }

    fn new(keys: u64, claims: User) -> Self {
        Self::of(with_cache(&ring(keys), 0), claims)
    }

    fn of(sessions: Sessions<User>, claims: User) -> Self {
        let token = sessions.issue(&Login::new(SUBJECT, claims)).expect("a private key");
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

/// A ring of so many keys, of which the first signs.
fn ring(keys: u64) -> KeyRing {
    let key = |number| {
        let key = Key::hmac_from_text(Algorithm::HS256, secret(number)).expect("a good key");
        key.with_key_id(format!("key-{number:03}"))
    };
    KeyRing::fixed((0..keys).map(key)).build().expect("good keys")
}

fn secret(number: u64) -> Vec<u8> {
    [[number.to_be_bytes(); 3].concat(), vec![7; 8]].concat()
}

/// Sessions without a cache, with `count` revocations, half of them of subjects.
pub async fn sessions_with_ended(ring: KeyRing, count: usize) -> Sessions<User> {
    let revocations = Revocations::builder("bench").store(MemoryStore::new()).open().await;
    let sessions = Sessions::builder(ring, ISSUER, AUDIENCE)
        .token_cache_bytes(0)
        .revocations(revocations.expect("opens"))
        .build()
        .expect("good settings");
    let end = |number| {
        let sessions = sessions.clone();
        tokio::spawn(async move {
            match number % 2 {
                0 => sessions.revoke_session(&format!("session-{number:014}")).await,
                _ => sessions.revoke_subject(&format!("else-{number:031}")).await,
            }
        })
    };
    // Not all at once: each has a limit to its time.
    for start in (0..count).step_by(1_000) {
        let endings: Vec<_> = (start..count.min(start + 1_000)).map(end).collect();
        for ending in endings {
            ending.await.expect("ends").expect("is recorded");
        }
    }
    let status = sessions.revocations().expect("are there").status();
    assert_eq!(status.sessions + status.subjects, count);
    sessions
}
