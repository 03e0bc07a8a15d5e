//! For axum: extractors, responses, and the JWKS route.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use axum::routing::{get, post};
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::error::rejection::Rejection;
use crate::keyring::ring::KeyRing;
use crate::layer::validate::{Presented, Refused};
use crate::response::respond::{problem, problem_because};
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::login::{EndError, EndSession, Login};
use crate::sessions::session::Session;

/// Why a handler that asks for a [`Session`] is not called.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionRejection {
    /// The request has no good session; the layer answers.
    Rejected(Rejection),
    /// No layer of sessions with these claims stands around the handler: the application's mistake.
    MissingLayer(&'static str),
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Rejected(rejection) => {
                let mut response = problem(rejection.status()).map(Body::from);
                response.extensions_mut().insert(Refused(rejection));
                response
            }
            Self::MissingLayer(claims) => misplaced(&format!(
                "a handler asks for `Session<{claims}>`, but no `sessions.layer()` or \
                 `sessions.validate_layer()` of `Sessions<{claims}>` stands around it"
            )),
        }
    }
}

/// An application's mistake: it is told at the first request, to the client too, so that it is
/// seen. The text holds nothing but types.
fn misplaced(mistake: &str) -> Response {
    tracing::error!(mistake, "no layer of these sessions");
    (StatusCode::INTERNAL_SERVER_ERROR, mistake.to_owned()).into_response()
}

fn presented<C: Send + Sync + 'static>(parts: &Parts) -> Result<&Presented<C>, SessionRejection> {
    let missing = || SessionRejection::MissingLayer(std::any::type_name::<C>());
    parts.extensions.get::<Presented<C>>().ok_or_else(missing)
}

/// The session of the request; 401 if it has none.
impl<S: Sync, C: Send + Sync + 'static> FromRequestParts<S> for Session<C> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        presented(parts)?.session.clone().map_err(SessionRejection::Rejected)
    }
}

/// The session of the request, if it has one. An invalid cookie reads as none; a bad
/// bearer token is a 401, and an ambiguous credential a 400.
impl<S: Sync, C: Send + Sync + 'static> OptionalFromRequestParts<S> for Session<C> {
    type Rejection = SessionRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> Result<Option<Self>, SessionRejection> {
        presented(parts)?.optional().map_err(SessionRejection::Rejected)
    }
}

/// The whole response: 204 with the cookie, or 200 with the bearer token.
impl<C: Send + Sync + 'static> IntoResponse for Login<C> {
    fn into_response(self) -> Response {
        // What the client sees if no layer turns it into the answer.
        let mistake = "a handler returned `Login`, but no `sessions.layer()` or \
                       `sessions.issue_layer()` of the same claims stands around it";
        let mut response = (StatusCode::INTERNAL_SERVER_ERROR, mistake).into_response();
        response.extensions_mut().insert(self.pending(true));
        response
    }
}

/// The cookie beside another response.
impl<C: Send + Sync + 'static> IntoResponseParts for Login<C> {
    type Error = SessionMisuse;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, SessionMisuse> {
        if self.bearer {
            return Err(SessionMisuse(()));
        }
        parts.extensions_mut().insert(self.pending(false));
        Ok(parts)
    }
}

/// A bearer token was issued beside another response, which has a body of its own.
#[derive(Debug)]
pub struct SessionMisuse(());

impl IntoResponse for SessionMisuse {
    fn into_response(self) -> Response {
        misplaced("a bearer token is a whole response: return `Login::bearer` by itself")
    }
}

/// The whole response: 204, and the cookie is gone.
impl IntoResponse for EndSession {
    fn into_response(self) -> Response {
        (self, StatusCode::NO_CONTENT).into_response()
    }
}

/// The cookie goes with another response.
impl IntoResponseParts for EndSession {
    type Error = std::convert::Infallible;

    fn into_response_parts(
        self,
        mut parts: ResponseParts,
    ) -> Result<ResponseParts, std::convert::Infallible> {
        self.write_to(parts.headers_mut());
        Ok(parts)
    }
}

impl IntoResponse for EndError {
    fn into_response(self) -> Response {
        match self {
            Self::NotRecorded(error) => {
                tracing::error!(%error, "the end of a session could not be recorded");
                let detail = "The session was not ended everywhere: that could not be recorded. \
                              Try again.";
                let mut response = problem_because(StatusCode::SERVICE_UNAVAILABLE, detail);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
                response.map(Body::from)
            }
            Self::NoRevocations => misplaced(
                "a handler ends sessions that are not at hand, but these sessions have no \
                 revocations: give them to their builder",
            ),
        }
    }
}

impl<C: SessionClaims> Sessions<C> {
    /// The token endpoint at `POST /token`, where clients renew their access tokens (RFC 6749,
    /// section 6): see [`token_response`](Self::token_response).
    ///
    /// It needs no session, so that it stands outside of a strict
    /// [`validate_layer`](Self::validate_layer).
    pub fn token_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let sessions = self.clone();
        let limit = DefaultBodyLimit::max(self.max_form_bytes());
        let refresh = async move |headers: HeaderMap, body: Result<Bytes, BytesRejection>| {
            // What is cut short or too long is no request of this kind.
            let body = body.unwrap_or_default();
            sessions.token_response(&headers, &body).await.map(Body::from)
        };
        Router::new().route("/token", post(refresh).layer(limit))
    }
}

impl<C: 'static> Sessions<C> {
    /// A route that serves the public keys at `/.well-known/jwks.json` (RFC 7517), with `ETag`, and
    /// cached no longer than the ring publishes its keys ahead.
    pub fn jwks_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let keys = self.keys().clone();
        let serve = async move |headers: HeaderMap| keys.jwks_response(&headers).map(Body::from);
        Router::new().route(KeyRing::JWKS_PATH, get(serve))
    }
}
