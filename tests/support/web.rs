//! Shared by the tests over http: an application's sessions, its requests and their answers.

use axum::Router;
use axum::body::{Body, to_bytes};
use http::request::Builder;
use http::{Extensions, HeaderMap, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_jwt_session::testing::{ManualClock, fixed_key, fixed_ring, mint};
use tower_jwt_session::{
    Algorithm, Clock, Login, Rejection, RejectionKind, Sessions, SessionsBuilder,
};

use super::SMALL_CACHE;

/// The claims of the application under test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) role: String,
}

/// The body of every 401.
pub(crate) const UNAUTHORIZED: &str =
    r#"{"type":"about:blank","title":"Unauthorized","status":401}"#;

/// The field that takes the default cookie away.
pub(crate) const CLEARED: &str = "__Host-fixed=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0";

pub(crate) fn builder(clock: &ManualClock) -> SessionsBuilder<User> {
    Sessions::builder(fixed_ring(clock.clone()), "https://app.example", "app")
        .token_cache_bytes(SMALL_CACHE)
}

pub(crate) fn sessions(clock: &ManualClock) -> Sessions<User> {
    builder(clock).build().unwrap()
}

pub(crate) fn login() -> Login<User> {
    Login::new("alice", User { role: "reader".into() })
}

/// A fresh token of alice.
pub(crate) fn token(sessions: &Sessions<User>) -> String {
    sessions.issue(&login()).unwrap().as_str().to_owned()
}

/// A fresh token of alice with these scopes.
pub(crate) fn scoped(sessions: &Sessions<User>, scope: &str) -> String {
    sessions.issue(&login().scope(scope)).unwrap().as_str().to_owned()
}

/// The header that the fixed key writes.
pub(crate) fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "session+jwt", "kid": fixed_key(Algorithm::EdDSA).key_id()})
}

/// Claims that are valid now, with the members of `changes` in place; `null` takes one away.
pub(crate) fn claims(clock: &ManualClock, changes: Value) -> Value {
    let now = clock.now().as_unix_seconds();
    let mut claims = json!({
        "iss": "https://app.example", "sub": "alice", "aud": "app", "iat": now, "exp": now + 3600,
        "jti": "token", "sid": "session", "auth_time": now, "role": "reader",
    });
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// A token that the fixed key signed.
pub(crate) fn signed(header: &Value, claims: &Value) -> String {
    mint(&fixed_key(Algorithm::EdDSA), header.to_string(), claims.to_string())
}

/// The claims of a token, unverified.
pub(crate) fn claims_of(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&json).unwrap()
}

pub(crate) fn get(path: &str) -> Builder {
    Request::get(path).header("host", "app.example")
}

pub(crate) fn post(path: &str) -> Builder {
    Request::post(path).header("host", "app.example")
}

/// A request's credential.
pub(crate) trait Credentials {
    fn cookie(self, token: &str) -> Self;
    fn bearer(self, token: &str) -> Self;
}

impl Credentials for Builder {
    fn cookie(self, token: &str) -> Self {
        self.header("cookie", format!("__Host-fixed={token}"))
    }

    fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: Extensions,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (mut parts, body) = response.into_parts();
        // axum's own; the layers write none.
        parts.headers.remove("content-length");
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Self {
            status: parts.status,
            headers: parts.headers,
            extensions: parts.extensions,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// All fields of that name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// The token in the one `Set-Cookie` field.
    pub(crate) fn cookie_token(&self) -> &str {
        let [field] = self.all("set-cookie")[..] else { panic!("{:?}", self.headers) };
        let pair = field.split(';').next().unwrap();
        pair.strip_prefix("__Host-fixed=").unwrap()
    }

    /// Why the request was refused, with what was found and expected.
    pub(crate) fn rejection(&self) -> Option<&Rejection> {
        self.extensions.get()
    }

    /// Why the request was refused.
    pub(crate) fn kind(&self) -> Option<RejectionKind> {
        self.extensions.get::<Rejection>().map(Rejection::kind)
    }
}

pub(crate) async fn send(app: &Router, request: Builder) -> Answer {
    let request = request.body(Body::empty()).unwrap();
    Answer::of(app.clone().oneshot(request).await.unwrap()).await
}
