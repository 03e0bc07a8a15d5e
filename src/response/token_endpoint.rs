//! The token endpoint of RFC 6749: what a client that asks for tokens is answered, and why it gets
//! none.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use crate::error::operation::OperationError;
use crate::response::respond;
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::issued::{IssuedToken, IssuedTokens};

impl<C: SessionClaims> Sessions<C> {
    /// Answers a request to the token endpoint (RFC 6749, section 6), in any framework: a form with
    /// `grant_type=refresh_token` and the `refresh_token`. It is for `POST` alone.
    ///
    /// | | |
    /// |---|---|
    /// | 200 | the next access token and refresh token (RFC 6749, section 5.1) |
    /// | 400 | `invalid_request`: not such a form; `unsupported_grant_type` (RFC 6749, section 5.2) |
    /// | 400 | `invalid_grant`, whatever is wrong with the token: log in again |
    /// | 503 | `temporarily_unavailable`: the store is down, or no key may sign; try the same token again |
    ///
    /// Every error has an `error_description`. The request's `scope` is ignored: the tokens have the
    /// login's, and the answer names it. Clients are not authenticated. The reason of an
    /// `invalid_grant` is in the response's extensions, as a [`Rejection`](crate::Rejection).
    pub async fn token_response(&self, headers: &HeaderMap, body: &[u8]) -> Response<Bytes> {
        let refresh_token = match refresh_token(headers, body) {
            Ok(refresh_token) => refresh_token,
            Err(code) => return refused(StatusCode::BAD_REQUEST, code),
        };
        match self.refresh(&refresh_token).await {
            Ok(IssuedTokens { access_token, refresh_token, scope }) => {
                granted(&access_token, Some(&refresh_token), scope.as_deref())
            }
            Err(error) => {
                let mut answer = failed(&error);
                respond::retry_issuing(&mut answer, &error, self);
                answer
            }
        }
    }
}

/// Finds the refresh token in a form. A parameter that comes twice is ambiguous, and one without a
/// value has not come (RFC 6749, section 3.2).
fn refresh_token<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, str>, &'static str> {
    let [grant_type, refresh_token] = parameters(headers, body, ["grant_type", "refresh_token"])?;
    match grant_type.as_deref() {
        None => Err(INVALID_REQUEST),
        Some("refresh_token") => refresh_token.ok_or(INVALID_REQUEST),
        Some(_) => Err(UNSUPPORTED),
    }
}

/// The values of a form's parameters.
pub(crate) fn parameters<'b, const N: usize>(
    headers: &HeaderMap,
    body: &'b [u8],
    names: [&str; N],
) -> Result<[Option<Cow<'b, str>>; N], &'static str> {
    if !is_form(headers) {
        return Err(INVALID_REQUEST);
    }
    let mut values = [const { None }; N];
    for (name, value) in form_urlencoded::parse(body) {
        let Some(place) = names.iter().position(|known| *known == name) else { continue };
        if values[place].replace(value).is_some() {
            return Err(INVALID_REQUEST);
        }
    }
    Ok(values.map(|value| value.filter(|value| !value.is_empty())))
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

/// The answer with tokens: RFC 6749, section 5.1.
pub(crate) fn granted(
    access_token: &IssuedToken,
    refresh_token: Option<&IssuedToken>,
    scope: Option<&str>,
) -> Response<Bytes> {
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
    let granted = Granted {
        access_token: access_token.as_str(),
        token_type: "Bearer",
        expires_in: access_token.lifetime().as_secs(),
        refresh_token: refresh_token.map(IssuedToken::as_str),
        scope,
    };
    respond::json(StatusCode::OK, &granted)
}

/// A code and its fixed text, without the reason.
fn refused(status: StatusCode, error: &'static str) -> Response<Bytes> {
    let description = match error {
        INVALID_REQUEST => "expected one form with grant_type=refresh_token and one refresh_token",
        UNSUPPORTED => "expected grant_type=refresh_token",
        INVALID_GRANT => {
            "the refresh token is invalid, expired, revoked or already used; log in again"
        }
        UNAVAILABLE => "try again later with the same refresh token",
        _ => "the service is misconfigured",
    };
    failure(status, error, description)
}

/// RFC 6749, section 5.2: a code and a text.
pub(crate) fn failure(
    status: StatusCode,
    error: &'static str,
    error_description: &'static str,
) -> Response<Bytes> {
    #[derive(Serialize)]
    struct Failure {
        error: &'static str,
        error_description: &'static str,
    }
    respond::json(status, &Failure { error, error_description })
}

fn failed(error: &OperationError) -> Response<Bytes> {
    let status = error.status();
    let mut answer = match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            let mut answer = refused(status, UNAVAILABLE);
            // Soon enough for the grace, if it was redeemed all the same.
            respond::try_again(&mut answer);
            answer
        }
        StatusCode::INTERNAL_SERVER_ERROR => refused(status, "server_error"),
        _ => refused(StatusCode::BAD_REQUEST, INVALID_GRANT),
    };
    let Some(rejection) = error.rejection() else {
        tracing::error!(%error, "a refresh token could not be redeemed");
        return answer;
    };
    let (reason, about) = (rejection.kind(), rejection.about());
    let (found, expected) = (rejection.found(), rejection.expected());
    tracing::debug!(%reason, about, found, expected, "refused a refresh token");
    answer.extensions_mut().insert(rejection.clone());
    answer
}

pub(crate) const INVALID_REQUEST: &str = "invalid_request";
const INVALID_GRANT: &str = "invalid_grant";
const UNSUPPORTED: &str = "unsupported_grant_type";
pub(crate) const UNAVAILABLE: &str = "temporarily_unavailable";
