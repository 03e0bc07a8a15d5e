//! For axum: extractors, responses, and the JWKS route.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use axum::routing::{get, post};
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::error::operation::OperationError;
use crate::error::rejection::Rejection;
use crate::keyring::ring::KeyRing;
use crate::layer::presented::{Presented, Refused};
use crate::response::health;
use crate::response::respond::{problem, try_again};
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::login::Login;
use crate::sessions::logout::Logout;
use crate::sessions::pending::Intent;
use crate::sessions::return_to::ReturnTo;
use crate::sessions::session::Session;

/// Why a handler that asks for a [`Session`] is not called, or its response not sent.
///
/// Take it as `Result<Session<C>, SessionRejection>` to answer it in the handler, or turn it into an
/// application's own error with `From`. Its own response is the answer of the layer, with its challenge, cookie and
/// metrics.
pub struct SessionRejection(Reason);

enum Reason {
    /// The request has no valid session; the layer answers.
    Rejected(Refused),
    /// An application's mistake: it is shown at the first request, to the client too, so that it is
    /// seen. The text holds nothing but types.
    Mistake(String),
}

impl SessionRejection {
    #[cold]
    fn rejected(rejection: Rejection, parts: &Parts) -> Self {
        let request = Arc::new(parts.clone());
        Self(Reason::Rejected(Refused { rejection, request }))
    }

    /// Returns the status of the answer: 500 for a mistake of the application's, else that of the
    /// [rejection](Rejection::status).
    pub fn status(&self) -> StatusCode {
        self.rejection().map_or(StatusCode::INTERNAL_SERVER_ERROR, Rejection::status)
    }

    /// Why the request was rejected; `None` for a mistake of the application's.
    pub fn rejection(&self) -> Option<&Rejection> {
        match &self.0 {
            Reason::Rejected(Refused { rejection, .. }) => Some(rejection),
            Reason::Mistake(_) => None,
        }
    }
}

impl fmt::Debug for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Rejected(refused) => {
                f.debug_tuple("Rejected").field(&refused.rejection).finish()
            }
            Reason::Mistake(mistake) => f.debug_tuple("Mistake").field(mistake).finish(),
        }
    }
}

/// The kind alone: see [`Rejection`].
impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Rejected(refused) => refused.rejection.fmt(f),
            Reason::Mistake(mistake) => f.write_str(mistake),
        }
    }
}

impl std::error::Error for SessionRejection {}

/// The layer answers in its place: a body or a header field that is put into it is lost. For those of your own use
/// [`Respond`](crate::layer::Respond), or another response of the rejection's status.
impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        match self.0 {
            Reason::Rejected(refused) => {
                let mut response = problem(refused.rejection.status()).map(Body::from);
                response.extensions_mut().insert(refused);
                response
            }
            Reason::Mistake(mistake) => {
                tracing::error!(mistake, "a handler cannot use the sessions");
                (StatusCode::INTERNAL_SERVER_ERROR, mistake).into_response()
            }
        }
    }
}

fn presented<C: Send + Sync + 'static>(parts: &Parts) -> Result<&Presented<C>, SessionRejection> {
    parts.extensions.get::<Presented<C>>().ok_or_else(|| {
        let claims = std::any::type_name::<C>();
        SessionRejection(Reason::Mistake(format!(
            "a handler asks for `Session<{claims}>`, but no `sessions.layer()` or \
             `sessions.validate_layer()` of `Sessions<{claims}>` is around it; in axum, `.layer(..)` is \
             around the routes that were added before it"
        )))
    })
}

/// The session of the request; 401 if it has none.
impl<S: Sync, C: Send + Sync + 'static> FromRequestParts<S> for Session<C> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let session = presented(parts)?.session.clone();
        session.map_err(|rejection| SessionRejection::rejected(rejection, parts))
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
        let session = presented(parts)?.optional();
        session.map_err(|rejection| SessionRejection::rejected(rejection, parts))
    }
}

/// The whole response: 204 with the cookie, or 200 with the bearer token.
impl<C: Send + Sync + 'static> IntoResponse for Login<C> {
    fn into_response(self) -> Response {
        let mut response = unconsumed::<Self>();
        self.replace(response.extensions_mut());
        response
    }
}

/// The cookie as a part of another response.
impl<C: Send + Sync + 'static> IntoResponseParts for Login<C> {
    type Error = SessionRejection;

    fn into_response_parts(
        self,
        mut parts: ResponseParts,
    ) -> Result<ResponseParts, SessionRejection> {
        if self.bearer {
            let mistake = "a bearer token is a whole response: return `Login::bearer` by itself; for more \
                           members, see `Sessions::login_with_refresh_token`";
            return Err(SessionRejection(Reason::Mistake(mistake.into())));
        }
        self.insert_into(parts.extensions_mut());
        Ok(parts)
    }
}

/// The whole response: 204, and the session is over.
impl IntoResponse for Logout {
    fn into_response(self) -> Response {
        let mut response = unconsumed::<Self>();
        self.replace(response.extensions_mut());
        response
    }
}

/// The logout as a part of another response.
impl IntoResponseParts for Logout {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        self.insert_into(parts.extensions_mut());
        Ok(parts)
    }
}

/// From the parameter `next` of the query.
impl<S: Sync> FromRequestParts<S> for ReturnTo {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_query(parts.uri.query()))
    }
}

/// `303 See Other`.
impl IntoResponse for ReturnTo {
    fn into_response(self) -> Response {
        // It is visible ASCII.
        let to = HeaderValue::try_from(self.as_str()).unwrap_or(HeaderValue::from_static("/"));
        (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
    }
}

/// The response if no layer turns it into the answer.
fn unconsumed<T: Intent>() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, T::mistake()).into_response()
}

/// The [status](OperationError::status), and `Retry-After` with a 503. The reason goes to the log alone.
impl IntoResponse for OperationError {
    fn into_response(self) -> Response {
        tracing::error!(error = %self, "an operation of a handler failed");
        let mut answer = problem(self.status());
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            try_again(&mut answer);
        }
        answer.map(Body::from)
    }
}

impl<C: SessionClaims> Sessions<C> {
    /// The endpoints of clients with refresh tokens. They need no session: put them outside of a strict
    /// [`validate_layer`](Self::validate_layer).
    ///
    /// | route | |
    /// |---|---|
    /// | `POST /token` | renews the access token (RFC 6749, section 6): see [`token_response`](Self::token_response) |
    /// | `POST /revoke` | logs out by the refresh token (RFC 7009): see [`revocation_response`](Self::revocation_response) |
    pub fn token_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        if self.0.refreshing.is_none() {
            let mistake = "add `.refresh_tokens(..)` to the builder of the sessions";
            tracing::error!(mistake, "the token router has no refresh tokens");
        }
        let (sessions, revoking) = (self.clone(), self.clone());
        // Each byte of a token may be escaped as three, and other parameters may come with it.
        let limit = DefaultBodyLimit::max(3 * self.0.policy.max_token_bytes + 4096);
        let refresh = async move |headers: HeaderMap, body: Result<Bytes, BytesRejection>| {
            // What is cut short or too long is no request of this kind.
            let body = body.unwrap_or_default();
            sessions.token_response(&headers, &body).await.map(Body::from)
        };
        let revoke = async move |headers: HeaderMap, body: Result<Bytes, BytesRejection>| {
            let body = body.unwrap_or_default();
            revoking.revocation_response(&headers, &body).await.map(Body::from)
        };
        Router::new()
            .route("/token", post(refresh).layer(limit))
            .route("/revoke", post(revoke).layer(limit))
    }
}

impl<C: Send + Sync + 'static> Sessions<C> {
    /// A route that serves the public keys at `/.well-known/jwks.json` (RFC 7517), with `ETag`, and
    /// cached no longer than the ring publishes its keys ahead.
    pub fn jwks_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let keys = self.keys().clone();
        let serve = async move |headers: HeaderMap| keys.jwks_response(&headers).map(Body::from);
        Router::new().route(KeyRing::JWKS_PATH, get(serve))
    }

    /// A route that serves the metadata of the
    /// [`protected_resource`](crate::SessionsBuilder::protected_resource) at
    /// [`resource_metadata_path`](Self::resource_metadata_path) (RFC 9728, section 3). It needs no session.
    ///
    /// Clients in a browser, as of MCP, read it from another origin: put a CORS layer around it that allows
    /// any origin, and one around the resource that exposes the header `WWW-Authenticate`.
    #[doc(alias = "mcp")]
    pub fn resource_metadata_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let sessions = self.clone();
        let serve = async move || sessions.resource_metadata_response().map(Body::from);
        Router::new().route(self.resource_metadata_path(), get(serve))
    }

    /// Routes for balancers, orchestrators and dashboards. Each answer is a JSON object with the format's
    /// `version`, 1; within it, members are only added. Times are texts as of RFC 3339, in UTC. The documents
    /// of readiness and status have the replica's clock as `time`, and the version of this crate as
    /// `crate_version`.
    ///
    /// | route | answer |
    /// |---|---|
    /// | `GET /health/live` | 200: the process runs |
    /// | `GET /health/ready` | 200 if the replica should get requests, else 503: `ready`, `reasons`, `issuer`, `accepted_issuers`, `audiences`; of `ring` the `name`, `fingerprint`, `generation`, `clock_offset`, `reads_ok`, `writes_ok`; of `revocations`, or `null`, the `name`, `sessions`, `subjects`, `reads_ok`, `writes_ok`; `issuers` |
    /// | `GET /health/status` | 200: `ready`, `reasons`, `issuer`, `accepted_issuers`, `audiences`; `ring` is the [`KeyRingStatus`](crate::KeyRingStatus), `revocations` the [`RevocationsStatus`](crate::RevocationsStatus) or `null`; `issuers` |
    ///
    /// `issuers` has a row for each [accepted](crate::SessionsBuilder::also_accept_sessions) other issuer, with
    /// its `issuer`, `accepted_issuers`, `audiences`, `ready`, `ring` and `revocations`. The replica is not ready
    /// before the keys of each were fetched once;
    /// [`ready_without_keys`](crate::SessionsBuilder::ready_without_keys) is the exception. It stays ready if those of
    /// another issuer are later too old to verify: all replicas lose them at the same time, and its tokens are
    /// answered 503.
    ///
    /// # Security
    ///
    /// The status names keys and shows errors of the store: serve these routes on an internal port.
    pub fn status_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let (ready, status) = (self.clone(), self.clone());
        Router::new()
            .route("/health/live", get(async || health::live().map(Body::from)))
            .route("/health/ready", get(async move || health::ready(&ready).map(Body::from)))
            .route("/health/status", get(async move || health::status(&status).map(Body::from)))
    }
}
