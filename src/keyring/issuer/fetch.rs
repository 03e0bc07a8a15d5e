//! Getting an issuer's documents: which URLs are taken, and the limits under which they are read.
//! Where an issuer describes itself is in `discovery`.

use std::fmt;
use std::net::IpAddr;

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::response::Parts;
use http::uri::Authority;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::keyring::issuer::found;
use crate::keyring::issuer::found::Answer;
use crate::keyring::issuer::http_client::{ClientBody, ClientError, HttpClient};

/// A URL that a ring takes keys from: https, or http where that is allowed.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint(Uri);

/// The hosts that keys are fetched from over plain http. Default: none.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlainHttp {
    pub(crate) on_loopback: bool,
    /// Hosts that the application has named, each compared as a whole.
    pub(crate) hosts: Vec<String>,
}

impl PlainHttp {
    fn allows(&self, host: &str) -> bool {
        (self.on_loopback && is_loopback(host))
            || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    /// Checks the hosts that are named: one that is no host would match nothing.
    ///
    /// # Errors
    ///
    /// With the host, if it has a scheme, a port, a path or a wildcard.
    pub(crate) fn check(&self) -> Result<(), &str> {
        let is_host = |host: &&String| {
            let authority: Result<Authority, _> = host.parse();
            let is_whole = authority.is_ok_and(|authority| authority.host() == **host);
            is_whole && !host.contains(['*', '@', '%'])
        };
        self.hosts.iter().find(|host| !is_host(host)).map_or(Ok(()), |host| Err(host))
    }
}

impl Endpoint {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// With the fix, if it is not such a URL.
    pub(crate) fn parse(url: &str, plain_http: &PlainHttp) -> Result<Self, &'static str> {
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
            Some("http") if plain_http.allows(host) => Ok(Self(uri)),
            Some("http") if is_loopback(host) => {
                Err("give an https URL; for a test, set `allow_http_on_loopback`")
            }
            _ => Err(
                "give an https URL that begins with `https://`: with any other, an attacker on the network can \
                 replace the keys; inside of a network of your own, `dangerous_allow_http` allows http",
            ),
        }
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
            status => Err(Cause::Status { status, head: found::head(status, &headers) }),
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
pub(crate) fn is_loopback(host: &str) -> bool {
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

/// Why an issuer's keys could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {cause}")]
pub(crate) struct FetchError {
    url: String,
    #[source]
    cause: Cause,
}

impl FetchError {
    /// Whether the network or the issuer is at fault, so that the same fetch may succeed later. A
    /// redirect, another status and a wrong document are the mark of a wrong setting.
    pub(crate) fn is_outage(&self) -> bool {
        match &self.cause {
            Cause::Client(_) | Cause::NoKeys => true,
            Cause::Status { status, .. } => {
                let is_early = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_server_error() || is_early.contains(status)
            }
            _ => false,
        }
    }

    /// Whether the error names what to do about it.
    pub(crate) fn has_fix(&self) -> bool {
        matches!(&self.cause, Cause::Client(error) if error.has_fix())
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error(
        "found status {0}; expected 200 OK: redirects are not followed, give the URL it leads to"
    )]
    Redirect(StatusCode),
    #[error("found {head}; expected status 200 OK")]
    Status { status: StatusCode, head: String },
    #[error("found {head}; expected status 200 OK there, or at {others}")]
    NoDescription { head: String, others: String },
    #[error("the document is longer than {limit} bytes, the setting max_document_bytes")]
    TooLong { limit: usize },
    /// As an issuer publishes it that has not made its first key yet.
    #[error("the JWKS holds no key that can be used: `keys` is empty")]
    NoKeys,
    #[error("{0}")]
    Document(String),
}
