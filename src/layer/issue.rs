//! The [`IssueLayer`]: issues the session of a [`Login`] that a handler returned, or renews the
//! request's.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Request, Response};
use tower_layer::Layer;

use crate::error::operation::{OperationError, OperationErrorKind};
use crate::layer::presented::Presented;
use crate::layer::service::{Around, SessionService, Work, Worked};
use crate::response::respond;
use crate::response::respond::{Respond, WithBody};
use crate::response::token_endpoint;
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::login::Login;
use crate::sessions::logout::Logout;
use crate::sessions::pending::Pending;
use crate::sessions::session::Session;
use crate::transport::transports::append_cookie;

/// Issues and renews sessions: made by [`Sessions::issue_layer`].
pub struct IssueLayer<C, T = WithBody> {
    sessions: Sessions<C>,
    respond: T,
}

impl<C, T> IssueLayer<C, T> {
    /// Replaces how the layer's own answers get their bodies, or the answers themselves. See
    /// [`Respond`].
    pub fn respond_with<U>(self, respond: U) -> IssueLayer<C, U> {
        IssueLayer { sessions: self.sessions, respond }
    }
}

impl<C: SessionClaims, T> IssueLayer<C, T> {
    pub(crate) fn new(sessions: Sessions<C>, respond: T) -> Self {
        Self { sessions, respond }
    }

    #[cold]
    fn issue<B>(
        &self,
        response: &mut Response<B>,
        Pending { intent: login, is_whole, .. }: &Pending<Login<C>>,
    ) -> Result<(), OperationError>
    where
        T: Respond<B>,
    {
        let transports = self.sessions.transports();
        if login.bearer || transports.cookie.is_none() {
            if !transports.bearer {
                return Err(OperationError::no_transport("bearer"));
            }
            // A bearer token needs a body of its own.
            if !is_whole || !T::CARRIES_BODY {
                return Err(OperationError::no_transport("cookie"));
            }
            let scope = login.scope.as_deref();
            let has_refresh_token =
                self.sessions.0.refreshing.is_some() && login.continues.is_none();
            let answer = if has_refresh_token {
                let tokens = self.sessions.issue_with_refresh_token(login)?;
                token_endpoint::granted(&tokens.access_token, Some(&tokens.refresh_token), scope)
            } else {
                token_endpoint::granted(&self.sessions.issue(login)?, None, scope)
            };
            respond::answer_whole(response, answer, &self.respond);
            return Ok(());
        }
        let cookie = self.sessions.set_cookie(&self.sessions.issue(login)?)?;
        if *is_whole {
            respond::answer_whole(response, respond::no_content(), &self.respond);
        }
        transports.remove_set_cookie(response.headers_mut());
        append_cookie(response.headers_mut(), cookie);
        Ok(())
    }

    /// Issues the session that the handler's response asks for, or renews the one of the request. A
    /// login and a logout take precedence over a renewal.
    pub(crate) fn issue_or_renew<B>(
        &self,
        response: &mut Response<B>,
        presented: Option<&Presented<C>>,
    ) -> Option<Work>
    where
        T: Respond<B>,
    {
        let extensions = response.extensions_mut();
        if let Some(pending) = extensions.remove::<Arc<Pending<Login<C>>>>() {
            let pending = pending.take();
            if let Err(error) = self.issue(response, pending) {
                *response = self.failure(&error);
                return None;
            }
            if let Some(logout) = response.extensions().get::<Arc<Pending<Logout>>>() {
                logout.take();
            }
            let replaced = presented?.session.as_ref().ok()?;
            return self.end(replaced).filter(|_| pending.intent.continues.is_none());
        }
        let session = presented?.past_half()?;
        if presented?.by_cookie() && extensions.get::<Arc<Pending<Logout>>>().is_none() {
            self.renew(response.headers_mut(), session);
        }
        None
    }

    /// Revokes the session that a login replaces (ASVS 7.2.4). The login succeeds if that fails.
    #[cold]
    fn end(&self, session: &Session<C>) -> Option<Work> {
        self.sessions.revocations()?;
        let (sessions, session) = (self.sessions.clone(), session.clone());
        Some(Box::pin(async move {
            if let Err(error) = sessions.logout(&session).await {
                let session_id = session.session_id();
                tracing::warn!(session_id, %error, "cannot revoke the session before a login");
            }
            Ok(())
        }))
    }

    /// A renewal that fails leaves the session as it was.
    #[cold]
    fn renew(&self, headers: &mut HeaderMap, session: &Session<C>) {
        // The keys of another issuer cannot renew.
        if self.sessions.transports().has_set_cookie(headers) || !self.sessions.keys().issues() {
            return;
        }
        let renewed = self.sessions.renew(session);
        match renewed.and_then(|token| self.sessions.set_cookie(&token)) {
            Ok(cookie) => append_cookie(headers, cookie),
            Err(error)
                if matches!(
                    error.kind(),
                    OperationErrorKind::LifetimeReached | OperationErrorKind::Rejected
                ) => {}
            Err(error) => tracing::warn!(%error, "a session could not be renewed"),
        }
    }

    #[cold]
    fn failure<B>(&self, error: &OperationError) -> Response<B>
    where
        T: Respond<B>,
    {
        if let Some(rejection) = error.rejection() {
            let answer = respond::rejection(rejection.clone(), &self.sessions);
            return self.respond.respond(answer, None);
        }
        tracing::error!(%error, "a session could not be issued");
        let mut answer = respond::problem(error.status());
        respond::retry_issuing(&mut answer, error, &self.sessions);
        self.respond.respond(answer, None)
    }
}

impl<S, C, T: Clone> Layer<S> for IssueLayer<C, T> {
    type Service = SessionService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, self.clone())
    }
}

impl<B, C: SessionClaims, T: Respond<B>> Around<B> for IssueLayer<C, T> {
    type Kept = Option<Presented<C>>;

    fn before<R>(&self, request: &mut Request<R>) -> Result<Self::Kept, Response<B>> {
        Ok(Presented::of(&self.sessions, request.extensions()))
    }

    fn after(&self, response: &mut Response<B>, presented: &Self::Kept) -> Option<Work> {
        self.issue_or_renew(response, presented.as_ref())
    }

    fn finish(&self, response: &mut Response<B>, _: Self::Kept, _: Option<Worked>) {
        self.sessions.transports().forbid_storing_cookie(response.headers_mut());
    }
}

impl<C, T: Clone> Clone for IssueLayer<C, T> {
    fn clone(&self) -> Self {
        Self { sessions: self.sessions.clone(), respond: self.respond.clone() }
    }
}

impl<C, T> fmt::Debug for IssueLayer<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssueLayer").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}
