//! The bundled HTTP client: reqwest over rustls with the `ring` provider and the operating
//! system's roots of trust.

use std::sync::Arc;

use http::{Request, Response};
use reqwest::redirect;
use rustls_platform_verifier::BuilderVerifierExt;

use super::{ClientBody, ClientError, ClientFuture, HttpClient};
use crate::error::BuildError;

/// The bundled [`HttpClient`] (feature `jwks-client`), and the default where it is enabled.
///
/// It follows no redirects, keeps no cookies and no idle connections, decompresses nothing, and
/// speaks HTTP/1.1. A proxy is taken from `HTTPS_PROXY` and its like. It neither installs nor needs
/// a process-wide crypto provider.
#[derive(Clone, Debug)]
pub struct JwksClient(reqwest::Client);

impl JwksClient {
    /// A client that trusts what the operating system trusts.
    ///
    /// # Errors
    ///
    /// If the operating system has no roots of trust, as in an image without `ca-certificates`.
    pub fn new() -> Result<Self, BuildError> {
        Self::build().map_err(|error| {
            let mend = "install the system's root certificates, or give another client";
            BuildError::invalid("client", error, mend)
        })
    }

    fn build() -> Result<Self, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(ClientError::new)?
            .with_no_client_auth();
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .referer(false)
            // Fetches are minutes apart: a kept connection would mostly be one that was closed.
            .pool_max_idle_per_host(0)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
            .map_err(ClientError::new)
    }
}

impl HttpClient for JwksClient {
    fn send(&self, request: Request<()>) -> ClientFuture<'_> {
        Box::pin(async move {
            let request = request.map(|()| reqwest::Body::default());
            let request = reqwest::Request::try_from(request).map_err(ClientError::new)?;
            let response = self.0.execute(request).await.map_err(ClientError::new)?;
            Ok(Response::<reqwest::Body>::from(response).map(ClientBody::new))
        })
    }
}
