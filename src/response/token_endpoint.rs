//! The token endpoint of RFC 6749: what a client that asks for tokens is answered, and why it gets
//! none.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::response::respond;
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::issued::IssuedToken;
use crate::sessions::refresh_tokens::{IssuedTokens, RefreshError};

impl<C: SessionClaims> Sessions<C> {
    /// Answers a request to the token endpoint (RFC 6749, section 6), in any framework: a form with
    /// `grant_type=refresh_token` and the `refresh_token`. It is for `POST` alone.
    ///
    /// | | |
    /// |---|---|
    /// | 200 | the next access token and refresh token (RFC 6749, section 5.1) |
    /// | 400 | `invalid_request`: it is no such form; `unsupported_grant_type` |
    /// | 401 | `invalid_grant`, whatever is wrong with the token: log in again |
    /// | 503 | the store is down, or no key may sign: the same token may be tried again |
    ///
    /// A `scope` is not looked at: the tokens have that of the login, and the answer tells it. Clients
    /// are not authenticated. The reason of a 401 is in the response's extensions, as a
    /// [`Rejection`](crate::Rejection).
    pub async fn token_response(&self, headers: &HeaderMap, body: &[u8]) -> Response<Bytes> {
        let refresh_token = match refresh_token(headers, body) {
            Ok(refresh_token) => refresh_token,
            Err(code) => return refused(StatusCode::BAD_REQUEST, code),
        };
        let tokens = self.refresh(&refresh_token).await;
        let answer = tokens.map(|tokens| granted(&tokens));
        answer.unwrap_or_else(|error| {
            let mut answer = failed(&error);
            if let RefreshError::NotIssued(error) = &error {
                respond::retry_issuing(&mut answer, error, self);
            }
            answer
        })
    }

    /// More than any form takes that is good.
    #[cfg(feature = "axum")]
    pub(crate) fn max_form_bytes(&self) -> usize {
        // Each byte may be escaped as three, and other parameters may come with it.
        3 * self.max_token_bytes() + 4096
    }
}

/// Finds the refresh token in a form. A parameter that comes twice is ambiguous, and one without a
/// value has not come (RFC 6749, section 3.2).
fn refresh_token<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, str>, &'static str> {
    if !is_form(headers) {
        return Err(INVALID_REQUEST);
    }
    let (mut grant_type, mut refresh_token) = (None, None);
    for (name, value) in form_urlencoded::parse(body) {
        let parameter = match &*name {
            "grant_type" => &mut grant_type,
            "refresh_token" => &mut refresh_token,
            _ => continue,
        };
        if parameter.replace(value).is_some() {
            return Err(INVALID_REQUEST);
        }
    }
    match grant_type.as_deref() {
        None | Some("") => Err(INVALID_REQUEST),
        Some("refresh_token") => {
            refresh_token.filter(|token| !token.is_empty()).ok_or(INVALID_REQUEST)
        }
        Some(_) => Err("unsupported_grant_type"),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut content_types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(content_type), None) = (content_types.next(), content_types.next()) else {
        return false;
    };
    let media_type = content_type.to_str().unwrap_or_default().split(';').next();
    let media_type = media_type.unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// RFC 6749, section 5.1.
#[derive(Serialize)]
struct Granted<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

impl<'a> Granted<'a> {
    fn new(token: &'a IssuedToken, scope: Option<&'a str>) -> Self {
        let expires_in = token.lifetime().as_secs();
        let access_token = token.as_str();
        Self { access_token, token_type: "Bearer", expires_in, refresh_token: None, scope }
    }
}

/// The answer with an access token alone.
pub(crate) fn access_token(token: &IssuedToken, scope: Option<&str>) -> Response<Bytes> {
    json(StatusCode::OK, &Granted::new(token, scope))
}

/// The answer with both tokens.
pub(crate) fn granted(tokens: &IssuedTokens) -> Response<Bytes> {
    let refresh_token = Some(tokens.refresh_token().as_str());
    let granted = Granted::new(tokens.access_token(), tokens.scope());
    json(StatusCode::OK, &Granted { refresh_token, ..granted })
}

/// RFC 6749, section 5.2: a code, and nothing of the reason.
fn refused(status: StatusCode, code: &'static str) -> Response<Bytes> {
    #[derive(Serialize)]
    struct Refused {
        error: &'static str,
    }
    json(status, &Refused { error: code })
}

fn failed(error: &RefreshError) -> Response<Bytes> {
    let status = error.status();
    let RefreshError::Refused(rejection) = error else {
        tracing::error!(%error, "a refresh token could not be redeemed");
        return unavailable(status);
    };
    let (reason, about) = (rejection.kind(), rejection.about());
    let (found, expected) = (rejection.found(), rejection.expected());
    tracing::debug!(%reason, about, found, expected, "refused a refresh token");
    let mut answer = match status {
        StatusCode::SERVICE_UNAVAILABLE => unavailable(status),
        status => refused(status, "invalid_grant"),
    };
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110, section 15.5.2.
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer.extensions_mut().insert(rejection.clone());
    answer
}

fn unavailable(status: StatusCode) -> Response<Bytes> {
    let mut answer = respond::problem(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        // Soon enough for the grace, if it was redeemed all the same.
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    answer
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    // A struct of strings and numbers always serializes.
    let mut answer = Response::new(Bytes::from(serde_json::to_vec(body).unwrap_or_default()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

const INVALID_REQUEST: &str = "invalid_request";
