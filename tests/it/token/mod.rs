//! The token's text: what is issued, what is read back, and what is refused.

mod algorithms;
mod base64;
mod cache;
mod claims;
mod confusion;
mod debug;
mod explained;
mod header;
mod issuable;
mod json;
mod order;
mod policy;
mod rejections;

use std::fmt::{self, Debug};

use serde_json::{Value, json};
use tower_jwt_session::testing::{ManualClock, fixed_key, fixed_ring, mint};
use tower_jwt_session::{
    Algorithm, Key, KeyRing, Login, Rejection, RejectionKind, Session, SessionClaims, Sessions,
};

use crate::support::SMALL_CACHE;

/// The time of the manual clock.
pub(crate) const NOW: i64 = 1_800_000_000;

/// All but the last, which is `EdDSA` under another name.
pub(crate) const ALGORITHMS: [Algorithm; 12] = *Algorithm::ALL.first_chunk().unwrap();

/// Sessions of the fixed Ed25519 key, at [`NOW`].
pub(crate) fn sessions<C: SessionClaims>() -> Sessions<C> {
    sessions_of(fixed_ring(ManualClock::default()))
}

pub(crate) fn sessions_of<C: SessionClaims>(ring: KeyRing) -> Sessions<C> {
    let sessions = Sessions::builder(ring, "https://issuer.test", "app");
    sessions.token_cache_bytes(SMALL_CACHE).build().expect("good settings")
}

pub(crate) fn ring(keys: impl IntoIterator<Item = Key>) -> KeyRing {
    KeyRing::fixed(keys).clock(ManualClock::default()).build().expect("a ring")
}

pub(crate) fn ed25519() -> Key {
    fixed_key(Algorithm::EdDSA)
}

/// An algorithm's name in a header.
pub(crate) fn name(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}

/// The header that `key`'s tokens have.
pub(crate) fn header(key: &Key) -> Value {
    json!({ "alg": name(key.algorithm()), "typ": "session+jwt", "kid": key.key_id() })
}

/// A payload that passes.
pub(crate) fn payload() -> Value {
    json!({
        "iss": "https://issuer.test",
        "sub": "alice",
        "aud": "app",
        "iat": NOW - 10,
        "exp": NOW + 890,
        "jti": "token-1",
        "sid": "session-1",
        "auth_time": NOW - 200_000,
    })
}

/// An object with a member set.
pub(crate) fn with(mut object: Value, member: &str, value: impl Into<Value>) -> Value {
    object[member] = value.into();
    object
}

/// An object without a member.
pub(crate) fn without(mut object: Value, member: &str) -> Value {
    object.as_object_mut().and_then(|members| members.remove(member)).expect("it was there");
    object
}

/// An object's text with more text before its closing brace.
pub(crate) fn spliced(object: &Value, text: &str) -> String {
    let mut object = object.to_string();
    object.truncate(object.len() - 1);
    format!("{object},{text}}}")
}

/// A token of the fixed Ed25519 key with this payload.
pub(crate) fn token(payload: impl fmt::Display) -> String {
    mint(&ed25519(), header(&ed25519()).to_string(), payload.to_string())
}

/// A token of the fixed Ed25519 key with this header, and a payload that passes.
pub(crate) fn token_headed(header: impl fmt::Display) -> String {
    mint(&ed25519(), header.to_string(), payload().to_string())
}

/// What a token is answered: the same however often it comes. The first time it is verified, the
/// second time it enters the cache, the third time the cache answers.
#[track_caller]
pub(crate) fn answer<C: SessionClaims>(
    sessions: &Sessions<C>,
    token: &str,
) -> Result<Session<C>, Rejection> {
    let [first, second, third] = [(); 3].map(|()| sessions.validate(token));
    for again in [&second, &third] {
        assert_eq!(said(&first), said(again), "{token}");
    }
    first
}

/// All that an answer says, beside the application's claims.
fn said<C>(answer: &Result<Session<C>, Rejection>) -> Result<impl PartialEq + Debug, Rejection> {
    let say = |session: &Session<C>| {
        let texts = [session.subject(), session.token_id(), session.session_id(), session.key_id()];
        let times = (session.issued_at(), session.expires_at(), session.authenticated_at());
        let scopes: Vec<_> = session.scopes().map(str::to_owned).collect();
        (texts.map(str::to_owned), times, scopes)
    };
    answer.as_ref().map(say).map_err(Clone::clone)
}

#[track_caller]
pub(crate) fn accepted<C: SessionClaims>(sessions: &Sessions<C>, token: &str) -> Session<C> {
    answer(sessions, token).unwrap_or_else(|rejection| panic!("{rejection}: {token}"))
}

#[track_caller]
pub(crate) fn kind<C: SessionClaims>(sessions: &Sessions<C>, token: &str) -> RejectionKind {
    match answer(sessions, token) {
        Ok(session) => panic!("accepted for {}: {token}", session.subject()),
        Err(rejection) => rejection.kind(),
    }
}

/// Asserts that `token` is refused for one reason.
#[track_caller]
pub(crate) fn refused<C: SessionClaims>(
    sessions: &Sessions<C>,
    token: &str,
    expected: RejectionKind,
) {
    let found = kind(sessions, token);
    assert_eq!(found, expected, "{token}");
}

#[track_caller]
pub(crate) fn issued<C: SessionClaims>(sessions: &Sessions<C>, claims: C) -> String {
    let token = sessions.issue(&Login::new("alice", claims));
    token.expect("it can be issued").as_str().to_owned()
}

#[test]
fn what_the_helpers_build_is_accepted() {
    let session = accepted(&sessions::<()>(), &token(payload()));
    assert_eq!(session.subject(), "alice");
    assert_eq!(session.token_id(), "token-1");
    assert_eq!(session.session_id(), "session-1");
    assert_eq!(session.key_id(), ed25519().key_id());
    assert_eq!(session.issued_at().as_unix_seconds(), NOW - 10);
    assert_eq!(session.expires_at().as_unix_seconds(), NOW + 890);
    let logged_in = session.authenticated_at().expect("it says so");
    assert_eq!(logged_in.as_unix_seconds(), NOW - 200_000);
    assert_eq!(session.scopes().count(), 0);
}
