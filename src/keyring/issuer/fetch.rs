//! Getting an issuer's documents: which URLs are taken, and the limits under which they are read.

use std::fmt;
use std::net::IpAddr;

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::response::Parts;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::Deserialize;

use crate::keyring::issuer::found;
use crate::keyring::issuer::found::Answer;
use crate::keyring::issuer::http_client::{ClientBody, ClientError, HttpClient};

/// A URL that a ring takes keys from: https, or http on loopback where that is allowed.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint(Uri);

impl Endpoint {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// With the fix, if it is not such a URL.
    pub(crate) fn parse(url: &str, allow_http_on_loopback: bool) -> Result<Self, &'static str> {
        // `Uri` would drop it.
        if url.contains('#') {
            return Err("give a URL without a fragment");
        }
        let uri: Uri = url.parse().map_err(|_| "give an absolute URL")?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("give an absolute URL")?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("give a URL without a user name");
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if allow_http_on_loopback && is_loopback(host) => Ok(Self(uri)),
            Some("http") if is_loopback(host) => {
                Err("give an https URL; for a test, set `allow_http_on_loopback`")
            }
            _ => Err(
                "give an https URL: with any other, an attacker on the network can replace the keys",
            ),
        }
    }

    /// Where an issuer describes itself (OpenID Connect Discovery 1.0, section 4).
    pub(crate) fn discovery(
        issuer: &str,
        allow_http_on_loopback: bool,
    ) -> Result<Self, &'static str> {
        if issuer.contains('?') {
            return Err("give an issuer without a query");
        }
        Self::parse(issuer, allow_http_on_loopback)?;
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let url = format!("{base}/.well-known/openid-configuration");
        Self::parse(&url, allow_http_on_loopback)
    }

    /// Gets the document, of at most `limit` bytes.
    pub(crate) async fn get(&self, client: &dyn HttpClient, limit: usize) -> Result<Answer, Cause> {
        let mut request = Request::new(());
        *request.uri_mut() = self.0.clone();
        let types = HeaderValue::from_static("application/jwk-set+json, application/json");
        request.headers_mut().insert(ACCEPT, types);
        // Without it a server may compress (RFC 9110, section 12.5.3).
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let (Parts { status, headers, .. }, body) = client.send(request).await?.into_parts();
        match status {
            StatusCode::OK => Ok(Answer { headers, body: read(body, limit).await? }),
            status if status.is_redirection() => Err(Cause::Redirect(status)),
            status => Err(Cause::Status(found::head(status, &headers))),
        }
    }

    pub(crate) fn error(&self, cause: impl Into<Cause>) -> FetchError {
        FetchError { url: self.to_string(), cause: cause.into() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether it is a loopback address or `localhost` (RFC 6761, section 6.3).
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Reads a body, and stops where it gets longer than `limit` or says that it will.
async fn read(mut body: ClientBody, limit: usize) -> Result<Vec<u8>, Cause> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Cause::TooLong { limit });
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Err(Cause::TooLong { limit });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// The members of a discovery document that are used (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
pub(crate) struct Description {
    pub(crate) issuer: String,
    pub(crate) jwks_uri: String,
}

/// Why an issuer's keys could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {cause}")]
pub(crate) struct FetchError {
    url: String,
    #[source]
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error(
        "found status {0}; expected 200 OK: redirects are not followed, give the URL it leads to"
    )]
    Redirect(StatusCode),
    #[error("found {0}; expected status 200 OK")]
    Status(String),
    #[error("the document is longer than {limit} bytes, the setting max_document_bytes")]
    TooLong { limit: usize },
    #[error("{0}")]
    Document(String),
}
