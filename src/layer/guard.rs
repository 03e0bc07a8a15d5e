//! The guard against cross-site requests. It stands only where sessions travel in a cookie, and
//! bearer requests never meet it: no browser sends those by itself.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::future::AnswerOr;
use super::respond::{self, Respond};
use crate::error::{Rejection, RejectionKind};
use crate::keys::KeyRing;
use crate::sessions::Sessions;
use crate::transport::{Credential, Place, Transports};

/// The outermost service of a [`SessionLayer`](super::SessionLayer).
#[derive(Clone, Debug)]
pub struct Guard<S, T> {
    inner: S,
    transports: Arc<Transports>,
    keys: KeyRing,
    respond: T,
}

impl<S, T> Guard<S, T> {
    pub(crate) fn new<C>(inner: S, sessions: &Sessions<C>, respond: T) -> Self {
        let (transports, keys) = (sessions.transports().clone(), sessions.keys().clone());
        Self { inner, transports, keys, respond }
    }

    /// Hands the request back if it may pass.
    fn check<B>(&self, request: Request<B>) -> Option<Request<B>> {
        let Some(cookie) = &self.transports.cookie else { return Some(request) };
        let has_cookie = match self.transports.read(request.headers()) {
            Ok(None) => false,
            Ok(Some(Credential { place: Place::Cookie, .. })) => true,
            Ok(Some(_)) => return Some(request),
            // Ambiguous: a cookie may be among them.
            Err(_) => true,
        };
        cookie.check(request, has_cookie)
    }
}

impl<S, T, RequestBody, ResponseBody> Service<Request<RequestBody>> for Guard<S, T>
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

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        match self.check(request) {
            Some(request) => AnswerOr::inner(self.inner.call(request)),
            None => {
                let rejection = Rejection::from(RejectionKind::CrossSite);
                let answer = respond::rejection(rejection, &self.transports, &self.keys);
                AnswerOr::answer(self.respond.respond(answer))
            }
        }
    }
}
