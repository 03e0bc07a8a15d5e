//! The bundled HTTP client: hyper over rustls, with the operating system's roots of trust and the
//! application's crypto provider.

use std::error::Error;
use std::io;
use std::sync::Arc;

use http::header::USER_AGENT;
use http::{HeaderValue, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls_platform_verifier::BuilderVerifierExt;

use crate::error::build::BuildError;
use crate::keyring::issuer::connect::Connect;
use crate::keyring::issuer::http_client::{ClientBody, ClientError, ClientFuture, HttpClient};

/// The bundled [`HttpClient`] (feature `jwks-client`), and the default where it is enabled.
///
/// It follows no redirects, keeps no cookies and no idle connections, decompresses nothing, and
/// speaks HTTP/1.1. A proxy is taken from `HTTPS_PROXY` or `ALL_PROXY` unless `NO_PROXY` names the
/// host; plain http, where it is allowed, takes none.
///
/// TLS is rustls with a [`CryptoProvider`] of the application: a provider that this crate turned on
/// would be turned on for every crate of the build, and rustls then refuses to choose one for them.
/// An application that has none adds one, and installs it first of all:
///
/// ```toml
/// rustls = { version = "0.23", default-features = false, features = ["ring", "std", "tls12"] }
/// ```
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use rustls::crypto::ring::default_provider;
/// use tower_jwt_session::http_client::JwksClient;
///
/// // For all that uses rustls in this process:
/// default_provider().install_default().map_err(|_| "another provider is installed")?;
/// let client = JwksClient::new()?;
///
/// // Or for this client alone:
/// let client = JwksClient::with_provider(default_provider())?;
/// # Ok(())
/// # }
/// ```
///
/// Issuers that speak TLS 1.2 and no later version need rustls' feature `tls12`, for the same reason.
#[derive(Clone, Debug)]
pub struct JwksClient(Client<HttpsConnector<Connect>, String>);

impl JwksClient {
    /// A client that trusts the operating system's root certificates, with the process's default
    /// provider.
    ///
    /// # Errors
    ///
    /// If no default provider is installed, or the operating system has no roots of trust, as in an
    /// image without `ca-certificates`.
    pub fn new() -> Result<Self, BuildError> {
        let Some(provider) = CryptoProvider::get_default() else {
            let fix = "call `rustls::crypto::ring::default_provider().install_default()` at the start of `main` (`cargo \
                       add rustls --no-default-features --features ring,std,tls12`), or give \
                       `JwksClient::with_provider(..)` as the client";
            return Err(BuildError::invalid("client", "without a TLS crypto provider", fix));
        };
        Self::with_provider(provider.clone())
    }

    /// A client that trusts the operating system's root certificates, with this crypto provider.
    ///
    /// # Errors
    ///
    /// If the operating system has no roots of trust, as in an image without `ca-certificates`.
    pub fn with_provider(provider: impl Into<Arc<CryptoProvider>>) -> Result<Self, BuildError> {
        let tls = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|error| {
                let fix = "install the system's root certificates, or give another client";
                BuildError::invalid("client", ClientError::new(error), fix)
            })?
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(Connect::new(Matcher::from_env(), tls));
        let client = Client::builder(TokioExecutor::new())
            // Fetches are minutes apart: a kept connection would mostly be one that was closed.
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self(client))
    }
}

impl HttpClient for JwksClient {
    fn send(&self, request: Request<()>) -> ClientFuture<'_> {
        const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        let mut request = request.map(|()| String::new());
        request.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        Box::pin(async move {
            let response = self.0.request(request).await.map_err(|error| {
                let fix = tls_error(&error).and_then(fix);
                ClientError::new(error).with_fix(fix)
            })?;
            Ok(response.map(ClientBody::new))
        })
    }
}

/// The error of TLS among the causes of an error.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        // The source of an I/O error is that of the error in it.
        let inner = error.downcast_ref().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn fix(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidCertificate(_) => Some(
            "expected a certificate for this host from a root of trust of the operating system: add a private \
             CA there",
        ),
        rustls::Error::InvalidMessage(_) => {
            Some("expected TLS: check the port, it may speak plain http")
        }
        _ => None,
    }
}
