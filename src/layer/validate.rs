//! The [`ValidateLayer`]: turns a request's credential into a session, or into a reason why there
//! is none.

use std::fmt;
use std::sync::Arc;

use http::{Extensions, HeaderMap, Request, Response};
use serde::de::DeserializeOwned;
use tower_layer::Layer;

use super::require::Check;
use super::service::{Around, SessionService};
use crate::clock::Timestamp;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::response::respond;
use crate::response::respond::{Respond, WithBody};
use crate::sessions::handle::{SessionClaims, Sessions, SessionsId};
use crate::sessions::session::Session;
use crate::transport::transports::{Credential, Place, append_cookie};

/// Validates requests: made by [`Sessions::validate_layer`]. Strict unless made
/// [`optional`](Self::optional).
///
/// ```
/// use axum::{Router, routing::{get, post}};
/// use tower_jwt_session::{Session, Sessions};
///
/// # fn app(sessions: Sessions<()>) -> Router {
/// let orders = Router::new()
///     .route("/orders", post(|session: Session<()>| async move { session.subject().to_owned() }))
///     .route_layer(sessions.validate_layer().require_scope("orders:write"));
///
/// Router::new().route("/", get(|| async { "anyone" })).merge(orders).layer(sessions.layer())
/// # }
/// ```
pub struct ValidateLayer<C, T = WithBody> {
    pub(crate) sessions: Sessions<C>,
    optional: bool,
    /// Whether requests without a credential have to come from the own site, too: what they are
    /// answered may set a cookie.
    guards_all: bool,
    pub(crate) checks: Arc<[Check<C>]>,
    respond: T,
}

impl<C: SessionClaims> ValidateLayer<C> {
    pub(crate) fn new(sessions: Sessions<C>) -> Self {
        Self {
            sessions,
            optional: false,
            guards_all: false,
            checks: Arc::new([]),
            respond: WithBody,
        }
    }
}

impl<C, T> ValidateLayer<C, T> {
    /// Lets requests without a session through. What is required of a session then holds for those
    /// that have one.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Replaces how the layer's own answers get their bodies, or the answers themselves. See
    /// [`Respond`].
    pub fn respond_with<U>(self, respond: U) -> ValidateLayer<C, U> {
        let Self { sessions, optional, guards_all, checks, .. } = self;
        ValidateLayer { sessions, optional, guards_all, checks, respond }
    }

    pub(crate) fn guard_all(mut self) -> Self {
        self.guards_all = true;
        self
    }
}

impl<C: DeserializeOwned + Send + Sync + 'static, T> ValidateLayer<C, T> {
    /// What an outer layer of the same sessions has found.
    fn found(&self, extensions: &Extensions) -> Option<Presented<C>> {
        let presented = extensions.get::<Presented<C>>();
        presented.filter(|presented| presented.is_of(&self.sessions)).cloned()
    }

    /// What a request with these headers presents, at `now`.
    fn presented(&self, headers: &HeaderMap, now: Timestamp) -> Presented<C> {
        let (session, place) = match self.sessions.transports().read(headers) {
            Ok(Some(Credential { token, place })) => {
                (self.sessions.validate_bytes(token, now), Some(place))
            }
            Ok(None) => (Err(RejectionKind::Missing.into()), None),
            Err(kind) => {
                self.sessions.transports().log_ambiguous(headers);
                (Err(kind.into()), None)
            }
        };
        Presented { session, place, now, sessions: self.sessions.id() }
    }

    /// Whether the request does not come from another site, as far as it matters: no browser sends a
    /// bearer token by itself.
    fn passes<B>(&self, request: &Request<B>) -> bool {
        let transports = self.sessions.transports();
        let cookie = transports.cookie.as_ref().filter(|cookie| cookie.guards(request));
        let Some(cookie) = cookie else { return true };
        let has_cookie = match transports.read(request.headers()) {
            Ok(Some(credential)) if credential.place != Place::Cookie => return true,
            Ok(credential) => credential.is_some(),
            // Ambiguous: a cookie may be among them.
            Err(_) => true,
        };
        (!has_cookie && !self.guards_all) || cookie.passes(request, has_cookie)
    }

    /// Why the layer itself refuses what was presented, if it does.
    fn refusal(&self, presented: &Presented<C>) -> Option<Rejection> {
        match &presented.session {
            Ok(session) => {
                self.checks.iter().find_map(|check| check.refusal(session)).map(Rejection::from)
            }
            Err(rejection) => (!self.optional).then(|| rejection.clone()),
        }
    }

    /// What a request presents, if it may go on; else the answer to it.
    pub(crate) fn admit<R, B>(&self, request: &mut Request<R>) -> Result<Presented<C>, Response<B>>
    where
        T: Respond<B>,
    {
        let found = self.found(request.extensions());
        // Who has found it has asked, as far as it concerns who comes with a session.
        if (found.is_none() || self.guards_all) && !self.passes(request) {
            return Err(self.reject(RejectionKind::CrossSite.into()));
        }
        let presented =
            found.unwrap_or_else(|| self.presented(request.headers(), self.sessions.now()));
        if let Some(rejection) = self.refusal(&presented) {
            return Err(self.refuse(rejection, presented.unvalidated()));
        }
        if let Some(protocol) = &self.sessions.transports().web_socket {
            protocol.remove(request.headers_mut());
        }
        Ok(presented)
    }

    #[cold]
    fn refuse<B>(&self, rejection: Rejection, unvalidated: Option<Unvalidated>) -> Response<B>
    where
        T: Respond<B>,
    {
        let mut answer = self.reject(rejection);
        if let Some(unvalidated) = unvalidated {
            self.clear(&mut answer, &unvalidated);
        }
        answer
    }

    #[cold]
    fn reject<B>(&self, rejection: Rejection) -> Response<B>
    where
        T: Respond<B>,
    {
        self.respond.respond(respond::rejection(rejection, &self.sessions))
    }

    /// Clears a cookie that nothing accepts any more, unless the response sets a new one.
    fn clear<B>(&self, response: &mut Response<B>, unvalidated: &Unvalidated) {
        let transports = self.sessions.transports();
        let headers = response.headers_mut();
        if unvalidated.clears_cookie
            && !transports.has_set_cookie(headers)
            && let Some(cookie) = transports.clearing_cookie()
        {
            append_cookie(headers, cookie);
        }
    }
}

/// What a request presents: its session, or why there is none. In the request's extensions.
pub(crate) struct Presented<C> {
    pub(crate) session: Result<Session<C>, Rejection>,
    place: Option<Place>,
    /// The time of the request, read once.
    now: Timestamp,
    /// Whose it is.
    sessions: SessionsId,
}

impl<C> Presented<C> {
    /// The session, if more than half of its life is over.
    pub(crate) fn past_half(&self) -> Option<&Session<C>> {
        let session = self.session.as_ref().ok()?;
        let lifetime = session.expires_at() - session.issued_at();
        (self.now - session.issued_at() > lifetime / 2).then_some(session)
    }

    /// The session as far as it is optional: none for an anonymous request, and for an invalid
    /// cookie, whatever the reason.
    #[cfg(feature = "axum")]
    pub(crate) fn optional(&self) -> Result<Option<Session<C>>, Rejection> {
        match &self.session {
            Ok(session) => Ok(Some(session.clone())),
            Err(rejection) if rejection.is_missing() => Ok(None),
            Err(rejection) if self.by_cookie() && !rejection.is_temporary() => Ok(None),
            Err(rejection) => Err(rejection.clone()),
        }
    }

    /// Whether a layer of these sessions has found it.
    pub(crate) fn is_of(&self, sessions: &Sessions<C>) -> bool {
        self.sessions == sessions.id()
    }

    /// What is kept of a request without a good session.
    pub(crate) fn unvalidated(&self) -> Option<Unvalidated> {
        let rejection = self.session.as_ref().err()?;
        let clears_cookie = self.by_cookie() && is_final(rejection.kind());
        Some(Unvalidated { clears_cookie })
    }

    /// Whether the credential came in a cookie.
    pub(crate) fn by_cookie(&self) -> bool {
        self.place == Some(Place::Cookie)
    }
}

/// Whether no replica accepts such a token now or later, whatever its clock, keys and release, so
/// that its cookie can be cleared. The table is in [`layer`](crate::layer).
fn is_final(kind: RejectionKind) -> bool {
    matches!(
        kind,
        RejectionKind::Expired
            | RejectionKind::Revoked
            | RejectionKind::Malformed
            | RejectionKind::BadSignature
            | RejectionKind::WrongAlgorithm
    )
}

/// That a request came without a valid session: an extractor may have refused it, and its cookie may
/// have to be cleared. Public as [`Around::Kept`] alone.
pub struct Unvalidated {
    clears_cookie: bool,
}

impl<C: Send + Sync + 'static> Session<C> {
    /// The session that a layer has found for a request: for services without extractors.
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Presented<C>>()?.session.as_ref().ok()
    }
}

/// In a response's extensions: an extractor has refused the request, and the layer answers.
#[derive(Clone)]
pub(crate) struct Refused(pub(crate) Rejection);

impl<S, C, T: Clone> Layer<S> for ValidateLayer<C, T> {
    type Service = SessionService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, self.clone())
    }
}

impl<B, C, T> Around<B> for ValidateLayer<C, T>
where
    C: DeserializeOwned + Send + Sync + 'static,
    T: Respond<B>,
{
    type Kept = Option<Unvalidated>;

    fn before<R>(&self, request: &mut Request<R>) -> Result<Self::Kept, Response<B>> {
        let presented = self.admit(request)?;
        let unvalidated = presented.unvalidated();
        request.extensions_mut().insert(presented);
        Ok(unvalidated)
    }

    fn after(&self, response: &mut Response<B>, kept: Self::Kept) {
        if let Some(unvalidated) = kept {
            if let Some(Refused(rejection)) = response.extensions_mut().remove::<Refused>() {
                respond::put_in_place(response, self.reject(rejection));
            }
            self.clear(response, &unvalidated);
        }
        self.sessions.transports().forbid_storing_cookie(response.headers_mut());
    }
}

impl<C, T: Clone> Clone for ValidateLayer<C, T> {
    fn clone(&self) -> Self {
        Self {
            sessions: self.sessions.clone(),
            optional: self.optional,
            guards_all: self.guards_all,
            checks: self.checks.clone(),
            respond: self.respond.clone(),
        }
    }
}

impl<C, T> fmt::Debug for ValidateLayer<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateLayer")
            .field("sessions", &self.sessions)
            .field("optional", &self.optional)
            .field("checks", &self.checks.len())
            .finish_non_exhaustive()
    }
}

impl<C> Clone for Presented<C> {
    fn clone(&self) -> Self {
        let Self { session, place, now, sessions } = self;
        Self { session: session.clone(), place: *place, now: *now, sessions: *sessions }
    }
}
