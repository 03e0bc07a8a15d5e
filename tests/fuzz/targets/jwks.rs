//! Any bytes as the JWKS of an issuer: what is taken is public, and no two keys share an ID and an
//! algorithm.
#![no_main]

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, Response};
use fuzz::NOW;
use libfuzzer_sys::fuzz_target;
use tower_jwt_session::http_client::{ClientBody, ClientFuture, HttpClient};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Algorithm, KeyRing, Timestamp};

#[derive(Debug)]
struct Issuer(Vec<u8>);

impl HttpClient for Issuer {
    fn send(&self, _: Request<()>) -> ClientFuture<'_> {
        Box::pin(async { Ok(Response::new(ClientBody::new(Body::from(self.0.clone())))) })
    }
}

fuzz_target!(|document: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let ring = KeyRing::jwks_url("https://issuer.test", "https://issuer.test/keys")
        .client(Issuer(document.to_vec()))
        .clock(ManualClock::new(Timestamp::from_unix_seconds(NOW)))
        .rsa_algorithm(Algorithm::RS256)
        .open();
    let Ok(ring) = runtime.expect("a runtime").block_on(ring) else { return };
    let keys = ring.jwks().keys;
    assert!(!keys.is_empty() && keys.len() <= 128);
    let ids: BTreeSet<_> = keys
        .iter()
        .map(|key| (key.common.key_id.clone(), key.common.key_algorithm.map(|it| it.to_string())))
        .collect();
    assert_eq!(ids.len(), keys.len());
    let public = serde_json::to_value(&keys).expect("a JWKS");
    for key in public.as_array().expect("a list") {
        for private in ["k", "d", "p", "q", "dp", "dq", "qi"] {
            assert!(key.get(private).is_none(), "{private}");
        }
    }
    assert!(ring.status().signing_key_id.is_none());
});
