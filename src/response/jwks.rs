//! The JWKS document (RFC 7517): every public key that may verify now or next.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use jsonwebtoken::jwk::JwkSet;

use crate::base64url;
use crate::crypto::backend;
use crate::keyring::ring::KeyRing;

impl KeyRing {
    /// The usual path of the JWKS.
    pub const JWKS_PATH: &'static str = "/.well-known/jwks.json";

    /// Returns the public keys that may verify now or next; never a shared secret.
    pub fn jwks(&self) -> JwkSet {
        let now = self.now();
        let keys = self.keys(now);
        let verifying = keys.keys().iter().filter(|key| keys.verifies(key, now));
        JwkSet { keys: verifying.filter_map(|key| key.key.to_jwk()).collect() }
    }

    /// Answers a `GET` for the JWKS with these headers: for services without axum's
    /// `Sessions::jwks_router`.
    ///
    /// Caches may keep it for [`jwks_max_age`](crate::RotationPolicy::jwks_max_age); keys are
    /// published that much earlier than they sign.
    pub fn jwks_response(&self, request: &HeaderMap) -> Response<Bytes> {
        // Strings and numbers always serialize.
        let body = serde_json::to_vec(&self.jwks()).unwrap_or_default();
        let tag = format!("\"{}\"", base64url::encode(&backend::sha256([&body])[..16]));
        let matches = request.get_all(IF_NONE_MATCH).iter().any(|tags| {
            let tags = tags.to_str().unwrap_or_default();
            let is_ours = |candidate: &str| candidate.trim_start_matches("W/") == tag;
            tags == "*" || tags.split(',').map(str::trim).any(is_ours)
        });
        let max_age = format!("public, max-age={}", self.policy().jwks_max_age.as_secs());
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        for (name, value) in [(ETAG, tag), (CACHE_CONTROL, max_age)] {
            // ASCII without control characters always is a header value.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        if matches {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
            *response.body_mut() = body.into();
        }
        response
    }
}
