//! Routers that answer as this crate's do, with what a service would take in its place.

use std::sync::{Arc, Once};

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use axum_jwt_auth::{Decoder, LocalDecoder};
use http::StatusCode;
use http::header::AUTHORIZATION;
use jsonwebtoken_10::{Algorithm, DecodingKey, Validation, crypto};

use crate::{AUDIENCE, Claims, Fixture, ISSUER, Jwt, SUBJECT};

/// A middleware of a few lines around `jsonwebtoken`.
pub fn from_fn(jwt: Arc<Jwt>) -> Router {
    let middleware =
        async |State(jwt): State<Arc<Jwt>>, mut request: Request, next: Next| -> Response {
            let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            let token = header.and_then(|header| header.strip_prefix("Bearer "));
            let Some(claims) = token.and_then(|token| jwt.claims(token)) else {
                return StatusCode::UNAUTHORIZED.into_response();
            };
            request.extensions_mut().insert(claims);
            next.run(request).await
        };
    let handler = async |Extension(claims): Extension<Claims>| answer(&claims);
    Router::new().route("/", get(handler)).layer(from_fn_with_state(jwt, middleware))
}

/// The crate `axum-jwt-auth`, over `aws-lc-rs`.
pub fn axum_jwt_auth(fixture: &Fixture) -> Router {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        crypto::aws_lc::DEFAULT_PROVIDER.install_default().expect("nobody else installs one");
    });
    let algorithm: Algorithm = fixture.name.parse().expect("known to both");
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
    validation.validate_nbf = true;
    let key = match &fixture.public {
        None => DecodingKey::from_secret(&fixture.document),
        Some(jwk) => {
            let jwk = serde_json::to_value(jwk).and_then(serde_json::from_value).expect("a JWK");
            DecodingKey::from_jwk(&jwk).expect("a good key")
        }
    };
    let decoder = LocalDecoder::new(vec![key], validation).expect("good settings");
    let decoder: Decoder<Claims> = Arc::new(decoder);
    let handler = async |claims: axum_jwt_auth::Claims<Claims>| answer(&claims.claims);
    Router::new().route("/", get(handler)).with_state(decoder)
}

fn answer(claims: &Claims) -> StatusCode {
    match claims.sub == SUBJECT && claims.roles.len() == 2 {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
