//! The service in its four versions, the partner that issues tokens for it, and requests.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use moves::axum_jwt_auth::{after, before, moving};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{fixed_key, mint};
use tower_jwt_session::{Algorithm, KeyRing, Sessions};

/// Of 32 bytes, as HS256 needs.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A replica of each version, and the partner.
pub struct Service {
    pub before: Router,
    pub first: Router,
    pub second: Router,
    pub after: Router,
}

impl Service {
    pub async fn start() -> Self {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let jwks = partner_jwks().await;
        let store = MemoryStore::new();
        let staff = after::staff(&jwks).await.unwrap();
        let (builder, _) = after::builder(store.clone()).await.unwrap();
        Self {
            before: before::app(SECRET, &jwks).await.unwrap(),
            first: moving::first(SECRET, &staff, store.clone()).await.unwrap(),
            second: moving::second(SECRET, &staff, store).await.unwrap(),
            after: after::app(builder.build().unwrap(), &staff),
        }
    }

    pub fn versions(&self) -> [(&'static str, &Router); 4] {
        [
            ("before", &self.before),
            ("first", &self.first),
            ("second", &self.second),
            ("after", &self.after),
        ]
    }
}

/// Serves the keys of the partner, and returns their URL.
async fn partner_jwks() -> String {
    let keys = KeyRing::fixed([fixed_key(Algorithm::RS256)]).build().unwrap();
    let partner = Sessions::<()>::builder(keys, "https://login.partner.example", "orders").build();
    let app = partner.unwrap().jwks_router();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/.well-known/jwks.json", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    url
}

/// A token of the partner, with these claims in place of the usual ones.
pub fn partner_token(claims: Value) -> String {
    let key = fixed_key(Algorithm::RS256);
    let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": key.key_id() });
    let usual = json!({
        "iss": "https://login.partner.example", "aud": "orders", "sub": "carol", "jti": "1",
        "iat": now(), "exp": now() + 300, "scope": "reports:read",
    });
    mint(&key, header.to_string(), with(usual, claims).to_string())
}

/// A token as `before.rs` makes it, with these claims in place of the usual ones.
pub fn old_token(claims: Value) -> String {
    old_token_of(SECRET, claims)
}

/// A token of another secret.
pub fn forged_token() -> String {
    old_token_of("another secret of thirty-two bytes", json!({}))
}

fn old_token_of(secret: &str, claims: Value) -> String {
    let usual = json!({
        "iss": "orders", "aud": "orders", "sub": "17", "iat": now(), "exp": now() + 3600, "jti": "1",
        "name": "ada", "roles": ["admin"],
    });
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &with(usual, claims), &key).unwrap()
}

fn with(mut usual: Value, others: Value) -> Value {
    usual.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    usual
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Sends a request, with this token unless it is empty.
pub async fn send(app: &Router, method: Method, path: &str, token: &str) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    answer(app, request.body(Body::empty()).unwrap()).await
}

pub async fn get(app: &Router, path: &str, token: &str) -> (StatusCode, String) {
    send(app, Method::GET, path, token).await
}

pub async fn status(app: &Router, path: &str, token: &str) -> StatusCode {
    get(app, path, token).await.0
}

/// Logs in, and returns the answer.
pub async fn log_in(app: &Router, name: &str, password: &str) -> (StatusCode, String) {
    let form = json!({ "name": name, "password": password }).to_string();
    let request = Request::post("/login").header(CONTENT_TYPE, "application/json");
    answer(app, request.body(form.into()).unwrap()).await
}

pub async fn token_of(app: &Router, name: &str) -> String {
    token_in(log_in(app, name, &format!("{name}'s password")).await)
}

/// The token of an answer, which has the members of RFC 6749, section 5.1.
pub fn token_in((status, body): (StatusCode, String)) -> String {
    assert_eq!(status, StatusCode::OK, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 3600);
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn answer(app: &Router, request: Request<Body>) -> (StatusCode, String) {
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
