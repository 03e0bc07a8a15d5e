//! The bundled client, against a real server on this machine that behaves as badly as it can.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use ::http::header::{CONTENT_LENGTH, LOCATION};
use ::http::{Response, StatusCode};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http_body::Frame;
use tower_jwt_session::http_client::JwksClient;

use super::*;

/// A server that ends with its test, and counts.
struct Server {
    address: SocketAddr,
    keys: Arc<Mutex<String>>,
    hits: Arc<AtomicUsize>,
    /// The bytes of the endless bodies.
    sent: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Serves keys, and at `/moved` a redirect.
    async fn start(redirect: &str) -> Self {
        // As an application does at its start; the others find it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let keys = Arc::new(Mutex::new(set([jwk(Algorithm::EdDSA, "a")])));
        let [hits, sent] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let (served, counted) = (keys.clone(), hits.clone());
        let fast = Endless { sent: sent.clone(), pauses: false };
        let slow = Endless { sent: sent.clone(), pauses: true };
        let large = slow.clone();
        let moved = Response::builder()
            .status(StatusCode::TEMPORARY_REDIRECT)
            .header(LOCATION, redirect)
            .body(())
            .unwrap();
        let of_50_mib = Response::builder().header(CONTENT_LENGTH, 50 << 20).body(()).unwrap();
        let description = json!({
            "issuer": "https://login.example",
            "jwks_uri": format!("http://{address}/keys"),
        });
        let keys_route = async move || {
            counted.fetch_add(1, Ordering::SeqCst);
            served.lock().unwrap().clone()
        };
        let app = Router::new()
            .route("/keys", get(keys_route))
            .route("/moved", get(async move || moved.map(|()| Body::empty())))
            .route("/endless", get(async move || Body::new(fast)))
            .route("/slow", get(async move || Body::new(slow)))
            .route("/large", get(async move || of_50_mib.map(|()| Body::new(large))))
            .route("/.well-known/openid-configuration", get(async move || description.to_string()));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, keys, hits, sent, task }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn ring(&self, path: &str) -> IssuerRingBuilder {
        KeyRing::jwks_url(ISSUER, self.url(path)).allow_http_on_loopback()
    }

    /// Why no ring opens at that path.
    async fn refusal(&self, path: &str) -> String {
        let error = self.ring(path).open().await.unwrap_err().to_string();
        assert!(error.contains(&self.url(path)), "{error}");
        error
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A body without an end. One that pauses sends a byte and then nothing.
#[derive(Clone)]
struct Endless {
    sent: Arc<AtomicUsize>,
    pauses: bool,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        const CHUNK: &[u8] = &[b' '; 4096];
        if self.pauses && self.sent.load(Ordering::SeqCst) > 0 {
            return Poll::Pending;
        }
        let chunk = if self.pauses { &CHUNK[..1] } else { CHUNK };
        self.sent.fetch_add(chunk.len(), Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(chunk)))))
    }
}

#[tokio::test]
async fn keys_come_from_a_real_server() {
    let server = Server::start("/keys").await;
    let own = JwksClient::with_provider(rustls::crypto::ring::default_provider());
    for client in [None, Some(JwksClient::new().unwrap()), Some(own.unwrap())] {
        let clock = ManualClock::default();
        let ring = server.ring("/keys").clock(clock.clone());
        let ring = match client {
            Some(client) => ring.client(client),
            None => ring,
        };
        let keys = ring.open().await.unwrap();
        assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok());

        *server.keys.lock().unwrap() = "garbage".to_owned();
        keys.refresh().await.unwrap_err();
        assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok(), "the last good keys go on");
        *server.keys.lock().unwrap() = set([jwk(Algorithm::ES256, "b")]);
        keys.refresh().await.unwrap();
        assert!(validate(&keys, &clock, Algorithm::ES256, "b").is_ok());
        *server.keys.lock().unwrap() = set([jwk(Algorithm::EdDSA, "a")]);
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let other = Server::start("/keys").await;
    let target = other.url("/keys");
    for (redirect, elsewhere) in [(target.as_str(), true), ("/keys", false)] {
        let server = Server::start(redirect).await;
        let error = server.refusal("/moved").await;
        assert!(error.contains("redirects are not followed"), "{elsewhere}: {error}");
        assert_eq!((server.hits(), other.hits()), (0, 0));
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_limit() {
    let server = Server::start("/keys").await;
    let error = server.refusal("/endless").await;
    assert!(error.contains("longer than 262144 bytes"), "{error}");
    // What the sockets hold comes on top.
    let sent = server.sent.load(Ordering::SeqCst);
    assert!((262_144..16 << 20).contains(&sent), "{sent}");
}

#[tokio::test]
async fn fifty_mebibytes_are_refused_before_they_are_read() {
    let server = Server::start("/keys").await;
    // They never come: it is enough that they are announced.
    let error = server.refusal("/large").await;
    assert!(error.contains("longer than 262144 bytes"), "{error}");
}

#[tokio::test]
async fn a_slow_body_meets_the_timeout_of_the_whole() {
    let server = Server::start("/keys").await;
    let begun = Instant::now();
    let ring = server.ring("/slow").refresh_timeout(Duration::from_millis(300));
    let error = ring.open().await.unwrap_err().to_string();
    assert!(error.contains("no whole answer within 300ms"), "{error}");
    assert_eq!(server.sent.load(Ordering::SeqCst), 1, "the answer had begun");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_description_of_another_issuer_is_refused() {
    let server = Server::start("/keys").await;
    let ring = KeyRing::discover(server.url("")).allow_http_on_loopback();
    let error = ring.open().await.unwrap_err().to_string();
    assert!(error.contains("found `issuer` \"https://login.example\""), "{error}");
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn absent_server_and_server_without_tls_are_reported_apart() {
    let server = Server::start("/keys").await;
    let plain = format!("https://{}/keys", server.address);
    let error = KeyRing::jwks_url(ISSUER, &plain).open().await.unwrap_err().to_string();
    assert!(error.contains(&plain) && error.contains("corrupt message"), "{error}");
    assert!(error.contains("it may speak plain http"), "{error}");
    assert_eq!(server.hits(), 0);

    let gone = server.url("/keys");
    server.task.abort();
    while !server.task.is_finished() {
        tokio::task::yield_now().await;
    }
    let error = KeyRing::jwks_url(ISSUER, &gone).allow_http_on_loopback().open().await;
    let error = error.unwrap_err().to_string();
    assert!(error.to_lowercase().contains("connection refused"), "{error}");
}

/// A certificate that no root of trust of this machine has signed.
#[tokio::test]
async fn certificate_that_is_not_trusted_is_refused_with_the_fix() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = include_bytes!("../../../../src/testing/p-256.pk8").to_vec();
    let chain = vec![include_bytes!("self_signed.der").to_vec().into()];
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key).into();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/keys", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut tls = rustls::ServerConnection::new(config.clone()).unwrap();
            // The client ends the handshake.
            let _ = tls.complete_io(&mut stream);
        }
    });
    let fix = "from a root of trust of the operating system: add a private CA there";
    let error = KeyRing::jwks_url(ISSUER, &url).open().await.unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate") && error.ends_with(fix), "{error}");
    // It is waited for: a proxy in front of an issuer that starts may show another certificate.
    let keys = KeyRing::jwks_url(ISSUER, &url).start_without_keys().open().await.unwrap();
    assert!(keys.status().failure.unwrap().ends_with(fix));
    serving.join().unwrap();
}
