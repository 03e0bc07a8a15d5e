//! An issuer that is followed: a client that answers what a test sets, and tokens of its keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tower_jwt_session::http_client::{ClientBody, ClientError, ClientFuture, HttpClient};
use tower_jwt_session::testing::{self, ManualClock};
use tower_jwt_session::{
    Algorithm, Clock, IssuerRingBuilder, KeyRing, Rejection, Session, Sessions,
};

pub(crate) const ISSUER: &str = "https://login.example";
pub(crate) const URL: &str = "https://login.example/keys";

/// Answers each URL as configured, and counts.
#[derive(Clone, Debug)]
pub(crate) struct FakeClient(pub(crate) Arc<Fake>);

#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) answers: Mutex<HashMap<String, Answer>>,
    pub(crate) requests: Mutex<Vec<String>>,
    pub(crate) count: watch::Sender<usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Says(u16, &'static str, String),
    Fails(&'static str),
    Hangs,
}

impl FakeClient {
    pub(crate) fn new(keys: impl Into<String>) -> Self {
        let client = Self(Arc::new(Fake {
            answers: Mutex::default(),
            requests: Mutex::default(),
            count: watch::Sender::new(0),
        }));
        client.says(keys);
        client
    }

    /// From now on the keys are these.
    pub(crate) fn says(&self, keys: impl Into<String>) {
        self.answers(URL, Answer::Says(200, "", keys.into()));
    }

    pub(crate) fn answers(&self, url: &str, answer: Answer) {
        self.0.answers.lock().unwrap().insert(url.to_owned(), answer);
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.requests.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        *self.0.count.borrow()
    }

    /// Waits until so many requests were made.
    pub(crate) async fn reaches(&self, count: usize) {
        let mut counts = self.0.count.subscribe();
        let reached = counts.wait_for(|counted| *counted >= count);
        let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
        reached.unwrap_or_else(|_| panic!("{} requests, not {count}", self.count())).unwrap();
    }
}

impl HttpClient for FakeClient {
    fn send(&self, request: ::http::Request<()>) -> ClientFuture<'_> {
        let url = request.uri().to_string();
        let answer = self.0.answers.lock().unwrap().get(&url).cloned();
        self.0.requests.lock().unwrap().push(url);
        self.0.count.send_modify(|count| *count += 1);
        Box::pin(async move {
            match answer {
                Some(Answer::Says(status, cache_control, body)) => Ok(::http::Response::builder()
                    .status(status)
                    .header(::http::header::CACHE_CONTROL, cache_control)
                    .body(ClientBody::new(body))
                    .unwrap()),
                Some(Answer::Fails(cause)) => Err(ClientError::new(cause)),
                Some(Answer::Hangs) => std::future::pending().await,
                None => Err(ClientError::new("no such URL")),
            }
        })
    }
}

pub(crate) fn following(client: &FakeClient, clock: &ManualClock) -> IssuerRingBuilder {
    KeyRing::jwks_url(ISSUER, URL).client(client.clone()).clock(clock.clone())
}

pub(crate) fn sessions(keys: &KeyRing) -> Sessions<()> {
    // Made for a token each: a cache would be all of their cost.
    Sessions::builder(keys.clone(), ISSUER, "orders").token_cache_bytes(0).build().unwrap()
}

/// The public part of a fixed key, under a key ID.
pub(crate) fn jwk(algorithm: Algorithm, key_id: &str) -> Value {
    let key = testing::fixed_key(algorithm).with_key_id(key_id);
    serde_json::to_value(key.to_jwk().unwrap()).unwrap()
}

/// A JWKS.
pub(crate) fn set<const N: usize>(keys: [Value; N]) -> String {
    json!({ "keys": keys.as_slice() }).to_string()
}

/// A token that the fixed key of the algorithm has signed now, under a key ID.
pub(crate) fn token(clock: &ManualClock, algorithm: Algorithm, key_id: &str) -> String {
    token_with(clock, algorithm, key_id, |_, _| ())
}

/// The same, with another header or other claims.
pub(crate) fn token_with(
    clock: &ManualClock,
    algorithm: Algorithm,
    key_id: &str,
    change: impl FnOnce(&mut Value, &mut Value),
) -> String {
    let now = clock.now().as_unix_seconds();
    let mut header = json!({ "alg": algorithm, "typ": "session+jwt", "kid": key_id });
    let mut claims = json!({
        "iss": ISSUER, "sub": "alice", "aud": "orders",
        "iat": now, "exp": now + 300, "jti": "token-1", "scope": "orders:read",
    });
    change(&mut header, &mut claims);
    testing::mint(&testing::fixed_key(algorithm), header.to_string(), claims.to_string())
}

/// Validates a fresh token of that key.
pub(crate) fn validate(
    keys: &KeyRing,
    clock: &ManualClock,
    algorithm: Algorithm,
    key_id: &str,
) -> Result<Session<()>, Rejection> {
    sessions(keys).validate(&token(clock, algorithm, key_id))
}

/// Lets the background do all that it can do.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
