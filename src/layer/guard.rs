//! The guard against cross-site requests. It stands only where sessions travel in a cookie, and
//! bearer requests never meet it: no browser sends those by itself.

use std::fmt;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::future::AnswerOr;
use super::respond::{self, Respond};
use crate::error::RejectionKind;
use crate::sessions::Sessions;
use crate::transport::Place;

/// The outermost service of a [`SessionLayer`](super::SessionLayer).
pub struct Guard<S, C, T> {
    inner: S,
    sessions: Sessions<C>,
    respond: T,
}

impl<S, C, T> Guard<S, C, T> {
    pub(super) fn new(inner: S, sessions: Sessions<C>, respond: T) -> Self {
        Self { inner, sessions, respond }
    }

    fn passes<B>(&self, request: &mut Request<B>) -> bool {
        let transports = self.sessions.transports();
        let cookie = transports.cookie.as_ref().filter(|cookie| cookie.guards(request));
        let Some(cookie) = cookie else { return true };
        let has_cookie = match transports.read(request.headers()) {
            Ok(Some(credential)) if credential.place != Place::Cookie => return true,
            Ok(credential) => credential.is_some(),
            // Ambiguous: a cookie may be among them.
            Err(_) => true,
        };
        cookie.passes(request, has_cookie)
    }
}

impl<S, C, T, RequestBody, ResponseBody> Service<Request<RequestBody>> for Guard<S, C, T>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    T: Respond<ResponseBody>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = AnswerOr<S::Future, ResponseBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        if self.passes(&mut request) {
            return AnswerOr::inner(self.inner.call(request));
        }
        let answer = respond::rejection(RejectionKind::CrossSite.into(), &self.sessions);
        AnswerOr::answer(self.respond.respond(answer))
    }
}

impl<S: Clone, C, T: Clone> Clone for Guard<S, C, T> {
    fn clone(&self) -> Self {
        let Self { inner, sessions, respond } = self;
        Self { inner: inner.clone(), sessions: sessions.clone(), respond: respond.clone() }
    }
}

impl<S: fmt::Debug, C, T> fmt::Debug for Guard<S, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("inner", &self.inner).finish_non_exhaustive()
    }
}
