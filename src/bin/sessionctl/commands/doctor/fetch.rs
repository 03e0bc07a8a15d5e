//! Asks a URL, within a time and a size.

use std::time::Duration;

use http::header::{ACCEPT, HeaderValue};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use tower_jwt_session::Timestamp;
use tower_jwt_session::http_client::{HttpClient as _, JwksClient};

use crate::failure::Failure;
use crate::time;

/// An HTTP client that follows no redirect. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: JwksClient,
    timeout: Duration,
}

/// An answer, and when it was given.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The middle between request and answer, by this machine's clock.
    pub(crate) at: Timestamp,
    /// Half of the time between them.
    pub(crate) uncertainty: Duration,
}

impl Fetcher {
    pub(crate) fn new(timeout: Duration) -> Result<Self, Failure> {
        Ok(Self { client: JwksClient::new()?, timeout })
    }

    /// Gets a URL. The error says what was found.
    pub(crate) async fn get(&self, url: &str) -> Result<Answer, String> {
        let mut request = Request::new(());
        *request.uri_mut() = url.parse().map_err(|_| format!("{url} is no URL"))?;
        let accepted = HeaderValue::from_static("application/json, */*;q=0.1");
        request.headers_mut().insert(ACCEPT, accepted);
        let began = time::now();
        let asking = async {
            let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
            let uncertainty = (time::now() - began) / 2;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, LONGEST).collect().await;
            let body = body.map_err(|error| format!("the body cannot be read: {error}"))?;
            let body = body.to_bytes().to_vec();
            let at = began + uncertainty;
            Ok(Answer { status: parts.status, headers: parts.headers, body, at, uncertainty })
        };
        let timeout = self.timeout;
        tokio::time::timeout(timeout, asking)
            .await
            .unwrap_or_else(|_| Err(format!("no whole answer within {timeout:?}")))
    }
}

/// Checks a URL.
pub(crate) fn url(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    let is_url = text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|it| !it.as_str().contains('@'))
    });
    match is_url {
        true => Ok(text.to_owned()),
        false => Err(Failure::usage(format!(
            "found {text:?}: expected an http or https URL without a user name, such as \
             http://10.0.0.5:9000"
        ))),
    }
}

/// Checks the URL under which routes are, with or without one of them.
pub(crate) fn base(text: &str) -> Result<String, Failure> {
    let text = url(text)?;
    let text = text.trim_end_matches('/');
    let text = ["/health/status", "/health/ready", "/health/live", "/health"]
        .iter()
        .find_map(|route| text.strip_suffix(route))
        .unwrap_or(text);
    Ok(text.to_owned())
}

const LONGEST: usize = 1024 * 1024;
