//! The token endpoint of RFC 6749: what a client that asks for tokens is answered, and why it gets
//! none.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use crate::error::operation::OperationError;
use crate::response::respond;
use crate::sessions::failure_log::Entrance;
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::issued::{IssuedToken, IssuedTokens, TokenResponse};

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
            Err(not_good) => return not_good.into_response(),
        };
        match self.refresh(&refresh_token).await {
            Ok(IssuedTokens { access_token, refresh_token, scope }) => {
                granted(&access_token, Some(&refresh_token), scope.as_deref())
            }
            Err(error) => {
                let mut answer = failed(&error);
                if let Some(rejection) = error.rejection() {
                    self.0.failure_log.log(rejection, Entrance::TokenEndpoint, self.now());
                }
                respond::retry_issuing(&mut answer, &error, self);
                answer
            }
        }
    }
}

/// Finds the refresh token in a form. A parameter that comes twice is ambiguous, and one without a
/// value has not come (RFC 6749, section 3.2).
fn refresh_token<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, str>, BadForm> {
    let [grant_type, refresh_token] = parameters(headers, body, ["grant_type", "refresh_token"])?;
    match grant_type.as_deref() {
        None => Err(BadForm::Parameter("grant_type", "none")),
        Some("refresh_token") => refresh_token.ok_or(BadForm::Parameter("refresh_token", "none")),
        Some(_) => Err(BadForm::GrantType),
    }
}

/// Why a request is no form of these endpoints.
pub(crate) enum BadForm {
    /// The media type found.
    MediaType(String),
    /// The parameter that is missing or repeated, and how often it was found.
    Parameter(&'static str, &'static str),
    GrantType,
}

impl BadForm {
    /// RFC 6749, section 5.2, with what was found.
    pub(crate) fn into_response(self) -> Response<Bytes> {
        let (code, description) = match self {
            Self::MediaType(found) => {
                (INVALID_REQUEST, format!("expected content-type {FORM}, found {found}"))
            }
            Self::Parameter(name, found) => {
                (INVALID_REQUEST, format!("expected the parameter {name} once, found {found}"))
            }
            Self::GrantType => (UNSUPPORTED, "expected grant_type=refresh_token".to_owned()),
        };
        failure(StatusCode::BAD_REQUEST, code, &description)
    }
}

/// The values of a form's parameters.
pub(crate) fn parameters<'b, const N: usize>(
    headers: &HeaderMap,
    body: &'b [u8],
    names: [&'static str; N],
) -> Result<[Option<Cow<'b, str>>; N], BadForm> {
    is_form(headers)?;
    let mut values = [const { None }; N];
    for (name, value) in form_urlencoded::parse(body) {
        let Some(place) = names.iter().position(|known| *known == name) else { continue };
        if values[place].replace(value).is_some() {
            return Err(BadForm::Parameter(names[place], "more"));
        }
    }
    Ok(values.map(|value| value.filter(|value| !value.is_empty())))
}

fn is_form(headers: &HeaderMap) -> Result<(), BadForm> {
    let mut content_types = headers.get_all(CONTENT_TYPE).iter();
    let found = match (content_types.next(), content_types.next()) {
        (None, _) => "none".to_owned(),
        (Some(_), Some(_)) => "more than one".to_owned(),
        (Some(content_type), None) => {
            let media_type = content_type.as_bytes().split(|byte| *byte == b';').next();
            let media_type = media_type.unwrap_or_default().trim_ascii();
            if media_type.eq_ignore_ascii_case(FORM.as_bytes()) {
                return Ok(());
            }
            media_type[..media_type.len().min(LONGEST_SHOWN)].escape_ascii().to_string()
        }
    };
    Err(BadForm::MediaType(found))
}

/// The answer with tokens: RFC 6749, section 5.1.
pub(crate) fn granted(
    access_token: &IssuedToken,
    refresh_token: Option<&IssuedToken>,
    scope: Option<&str>,
) -> Response<Bytes> {
    let granted = TokenResponse::new(access_token, refresh_token, scope);
    respond::json(StatusCode::OK, &granted)
}

/// A code and its fixed text, without the reason.
fn refused(status: StatusCode, error: &'static str) -> Response<Bytes> {
    let description = match error {
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
    error_description: &str,
) -> Response<Bytes> {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: &'static str,
        error_description: &'a str,
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
    answer.extensions_mut().insert(rejection.clone());
    answer
}

const FORM: &str = "application/x-www-form-urlencoded";
/// Bytes of a media type in a description.
const LONGEST_SHOWN: usize = 64;
const INVALID_REQUEST: &str = "invalid_request";
const INVALID_GRANT: &str = "invalid_grant";
const UNSUPPORTED: &str = "unsupported_grant_type";
pub(crate) const UNAVAILABLE: &str = "temporarily_unavailable";
