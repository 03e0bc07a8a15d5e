//! An issuer that is followed: its JWKS, without a network.

use axum::body::Body;
use axum::http::{Request, Response};
use libtest_mimic::Failed;
use tower_jwt_session::KeyRing;
use tower_jwt_session::http_client::{ClientBody, ClientFuture, HttpClient};
use tower_jwt_session::testing::ManualClock;

#[derive(Debug)]
struct Issuer(String);

impl HttpClient for Issuer {
    fn send(&self, _: Request<()>) -> ClientFuture<'_> {
        Box::pin(async { Ok(Response::new(ClientBody::new(Body::from(self.0.clone())))) })
    }
}

/// The ring of a service that follows `https://issuer.test`, which publishes this JWKS.
///
/// # Errors
///
/// If none of its keys can be used.
pub fn followed(jwks: String, clock: ManualClock) -> Result<KeyRing, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let ring = KeyRing::jwks_url("https://issuer.test", "https://issuer.test/keys");
    Ok(runtime.block_on(ring.client(Issuer(jwks)).clock(clock).open())?)
}
