//! The [`IssueLayer`]: on the way out it turns what the handler returned into a session, takes one
//! away, or renews one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::respond::{self, Respond, WithBody};
use super::token_endpoint;
use super::validate::Presented;
use crate::error::IssueError;
use crate::issue::{Pending, PendingIssue};
use crate::session::Session;
use crate::sessions::{SessionClaims, Sessions};
use crate::transport::append_cookie;

/// Issues, ends and renews sessions: made by [`Sessions::issue_layer`].
pub struct IssueLayer<C, T = WithBody> {
    sessions: Sessions<C>,
    respond: T,
}

impl<C: SessionClaims, T> IssueLayer<C, T> {
    pub(crate) fn new(sessions: Sessions<C>, respond: T) -> Self {
        Self { sessions, respond }
    }

    /// Replaces how the layer's own answers get their bodies, or the answers themselves. See
    /// [`Respond`].
    pub fn respond_with<U>(self, respond: U) -> IssueLayer<C, U> {
        IssueLayer { sessions: self.sessions, respond }
    }

    /// Turns the handler's response into what goes out.
    fn finish<B>(&self, mut response: Response<B>, renewable: Option<&Session<C>>) -> Response<B>
    where
        T: Respond<B>,
    {
        // Logging in and logging out beat a renewal.
        if let Some(pending) = response.extensions_mut().remove::<PendingIssue<C>>() {
            let issued = self.issued(response, pending.take());
            return issued.unwrap_or_else(|error| self.failure(&error));
        }
        if let Some(session) = renewable {
            self.renew(response.headers_mut(), session);
        }
        response
    }

    fn issued<B>(
        &self,
        response: Response<B>,
        Pending { issue, whole, .. }: &Pending<C>,
    ) -> Result<Response<B>, IssueError>
    where
        T: Respond<B>,
    {
        let transports = self.sessions.transports();
        if issue.bearer || transports.cookie.is_none() {
            if !transports.bearer {
                return Err(IssueError::NoTransport("bearer"));
            }
            // A bearer token needs a body of its own.
            if !whole || !T::CARRIES_BODY {
                return Err(IssueError::NoTransport("cookie"));
            }
            let answer = if self.sessions.refreshes() && issue.continues.is_none() {
                token_endpoint::granted(&self.sessions.issue_with_refresh_token(issue)?)?
            } else {
                let token = self.sessions.issue(issue)?;
                token_endpoint::access_token(&token, issue.scope.as_deref())?
            };
            return Ok(self.whole(response, answer));
        }
        let cookie = self.sessions.set_cookie(&self.sessions.issue(issue)?)?;
        let mut response = response;
        if *whole {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            response = self.whole(response, answer);
        }
        transports.remove_set_cookie(response.headers_mut());
        append_cookie(response.headers_mut(), cookie);
        Ok(response)
    }

    /// The answer that the handler's whole response stood for, with the status that it was given,
    /// if it was.
    fn whole<B>(&self, response: Response<B>, mut answer: Response<Bytes>) -> Response<B>
    where
        T: Respond<B>,
    {
        if response.status() != StatusCode::INTERNAL_SERVER_ERROR {
            *answer.status_mut() = response.status();
        }
        respond::in_place_of(response, self.respond.respond(answer))
    }

    /// A renewal that fails leaves the session as it was.
    fn renew(&self, headers: &mut HeaderMap, session: &Session<C>) {
        let transports = self.sessions.transports();
        if transports.has_set_cookie(headers) {
            return;
        }
        let renewed = self.sessions.renew(session);
        match renewed.and_then(|token| self.sessions.set_cookie(&token)) {
            Ok(cookie) => append_cookie(headers, cookie),
            Err(IssueError::LifetimeReached | IssueError::Ended(_)) => {}
            Err(error) => tracing::warn!(%error, "a session could not be renewed"),
        }
    }

    fn failure<B>(&self, error: &IssueError) -> Response<B>
    where
        T: Respond<B>,
    {
        if let IssueError::Ended(rejection) = error {
            return self.respond.respond(respond::rejection(rejection.clone(), &self.sessions));
        }
        tracing::error!(%error, "a session could not be issued");
        let status = match error.is_temporary() {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        self.respond.respond(respond::problem(status))
    }
}

impl<S, C, T: Clone> Layer<S> for IssueLayer<C, T> {
    type Service = Issue<S, C, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Issue { inner, layer: self.clone() }
    }
}

/// The service of an [`IssueLayer`].
pub struct Issue<S, C, T = WithBody> {
    inner: S,
    layer: IssueLayer<C, T>,
}

impl<S, C, T, RequestBody, ResponseBody> Service<Request<RequestBody>> for Issue<S, C, T>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    C: SessionClaims,
    T: Respond<ResponseBody>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C, T>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let presented = request.extensions().get::<Presented<C>>();
        let renewable = presented
            .filter(|presented| presented.is_of(&self.layer.sessions) && presented.by_cookie())
            .and_then(Presented::past_half)
            // Another's sessions are not ours to renew.
            .filter(|_| self.layer.sessions.keys().issues())
            .cloned();
        ResponseFuture { future: self.inner.call(request), layer: self.layer.clone(), renewable }
    }
}

pin_project! {
    /// The response future of [`Issue`].
    pub struct ResponseFuture<F, C, T> {
        #[pin]
        future: F,
        layer: IssueLayer<C, T>,
        renewable: Option<Session<C>>,
    }
}

impl<F, C, T, B, E> Future for ResponseFuture<F, C, T>
where
    F: Future<Output = Result<Response<B>, E>>,
    C: SessionClaims,
    T: Respond<B>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(context))?;
        Poll::Ready(Ok(this.layer.finish(response, this.renewable.as_ref())))
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

impl<S: Clone, C, T: Clone> Clone for Issue<S, C, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, C, T> fmt::Debug for Issue<S, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issue").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}
