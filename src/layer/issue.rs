//! The [`IssueLayer`]: on the way out it turns what the handler returned into a session, takes one
//! away, or renews one.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use tower_layer::Layer;

use super::service::{Around, SessionService};
use super::validate::Presented;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::response::respond;
use crate::response::respond::{Respond, WithBody};
use crate::response::token_endpoint;
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::login::{Pending, PendingIssue};
use crate::sessions::session::Session;
use crate::transport::transports::append_cookie;

/// Issues, ends and renews sessions: made by [`Sessions::issue_layer`].
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

    /// The session, if its cookie is to be renewed.
    pub(crate) fn renewable(&self, presented: &Presented<C>) -> Option<Session<C>> {
        let is_ours = presented.is_of(&self.sessions) && presented.by_cookie();
        let session = presented.past_half().filter(|_| is_ours)?;
        // What a ring follows, another issues and renews.
        self.sessions.keys().issues().then(|| session.clone())
    }

    #[cold]
    fn issue<B>(
        &self,
        response: &mut Response<B>,
        Pending { issue, whole, .. }: &Pending<C>,
    ) -> Result<(), OperationError>
    where
        T: Respond<B>,
    {
        let transports = self.sessions.transports();
        if issue.bearer || transports.cookie.is_none() {
            if !transports.bearer {
                return Err(OperationErrorKind::NoTransport("bearer").into());
            }
            // A bearer token needs a body of its own.
            if !whole || !T::CARRIES_BODY {
                return Err(OperationErrorKind::NoTransport("cookie").into());
            }
            let answer = if self.sessions.refreshes() && issue.continues.is_none() {
                token_endpoint::granted(&self.sessions.issue_with_refresh_token(issue)?)
            } else {
                let token = self.sessions.issue(issue)?;
                token_endpoint::access_token(&token, issue.scope.as_deref())
            };
            self.answer_whole(response, answer);
            return Ok(());
        }
        let cookie = self.sessions.set_cookie(&self.sessions.issue(issue)?)?;
        if *whole {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            self.answer_whole(response, answer);
        }
        transports.remove_set_cookie(response.headers_mut());
        append_cookie(response.headers_mut(), cookie);
        Ok(())
    }

    /// Turns what the handler returned into a session, or renews the one that it was called with.
    pub(crate) fn finish<B>(&self, response: &mut Response<B>, renewable: Option<Session<C>>)
    where
        T: Respond<B>,
    {
        // Logging in and logging out beat a renewal.
        if let Some(pending) = response.extensions_mut().remove::<PendingIssue<C>>() {
            if let Err(error) = self.issue(response, pending.take()) {
                *response = self.failure(&error);
            }
        } else if let Some(session) = renewable {
            self.renew(response.headers_mut(), &session);
        }
    }

    /// The answer that the handler's whole response stood for, with the status that it was given,
    /// if it was.
    fn answer_whole<B>(&self, response: &mut Response<B>, mut answer: Response<Bytes>)
    where
        T: Respond<B>,
    {
        if response.status() != StatusCode::INTERNAL_SERVER_ERROR {
            *answer.status_mut() = response.status();
        }
        respond::put_in_place(response, self.respond.respond(answer));
    }

    /// A renewal that fails leaves the session as it was.
    #[cold]
    fn renew(&self, headers: &mut HeaderMap, session: &Session<C>) {
        let transports = self.sessions.transports();
        if transports.has_set_cookie(headers) {
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
            return self.respond.respond(respond::rejection(rejection.clone(), &self.sessions));
        }
        tracing::error!(%error, "a session could not be issued");
        let status = match error.is_temporary() {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut answer = respond::problem(status);
        respond::retry_issuing(&mut answer, error, &self.sessions);
        self.respond.respond(answer)
    }
}

impl<S, C, T: Clone> Layer<S> for IssueLayer<C, T> {
    type Service = SessionService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, self.clone())
    }
}

impl<B, C: SessionClaims, T: Respond<B>> Around<B> for IssueLayer<C, T> {
    /// The session that may be renewed.
    type Kept = Option<Session<C>>;

    fn before<R>(&self, request: &mut Request<R>) -> Result<Self::Kept, Response<B>> {
        let presented = request.extensions().get::<Presented<C>>();
        Ok(presented.and_then(|presented| self.renewable(presented)))
    }

    fn after(&self, response: &mut Response<B>, renewable: Self::Kept) {
        self.finish(response, renewable);
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
