//! Whether a request that could carry the cookie comes from another site: tower-http's CSRF guard,
//! as a check on its own.
//!
//! The guard is a service; around one that hands a request's head straight back it becomes a
//! function, which the layer can leave out for bearer tokens, and ask about upgrades too.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::mem;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::header::UPGRADE;
use http::{Method, Request, Response};
use tower_http::csrf::{Csrf, CsrfLayer, ProtectionError, ResponseForProtectionError};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::error::BuildError;

#[derive(Clone, Debug)]
pub(crate) struct CrossSiteCheck(Csrf<HandBack, Refuse>);

impl CrossSiteCheck {
    pub(crate) fn new(trusted_origins: &[String]) -> Result<Self, BuildError> {
        let mut layer = CsrfLayer::new();
        for origin in trusted_origins {
            // As browsers write it: anything else would be taken, and never match.
            let is_default_port = origin.starts_with("https://") && origin.ends_with(":443")
                || origin.starts_with("http://") && origin.ends_with(":80");
            if is_default_port || origin.bytes().any(|byte| byte.is_ascii_uppercase()) {
                let mend = "write it as browsers do: in lower case, without a default port";
                let origin = format_args!("{origin:?}");
                return Err(BuildError::invalid("trusted_origin", origin, mend));
            }
            layer = layer.add_trusted_origin(origin).map_err(|error| {
                BuildError::invalid("trusted_origin", format_args!("{origin:?}"), error)
            })?;
        }
        Ok(Self(layer.with_rejection_response(Refuse).layer(HandBack)))
    }

    /// Whether the request may pass; one that may not is left without its headers.
    ///
    /// An upgrade is a `GET`, which the guard lets pass; but a WebSocket that another site's page
    /// opens carries the cookie, and no browser asks us first. So it is checked like a `POST`.
    // Out of the way of requests that only read.
    #[inline(never)]
    pub(crate) fn passes<B>(&self, request: &mut Request<B>, has_cookie: bool) -> bool {
        let mut asked = Request::new(());
        *asked.method_mut() = match is_upgrade(request) {
            true if has_cookie => Method::POST,
            true => Method::GET,
            false => request.method().clone(),
        };
        *asked.uri_mut() = mem::take(request.uri_mut());
        *asked.headers_mut() = mem::take(request.headers_mut());
        let mut guard = self.0.clone();
        // The guard decides at once: its future is ready, and nothing ever wakes it.
        let checked = match pin!(guard.call(asked)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => response.into_body(),
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => None,
        };
        let Some(mut asked) = checked else { return false };
        *request.uri_mut() = mem::take(asked.uri_mut());
        *request.headers_mut() = mem::take(asked.headers_mut());
        true
    }
}

/// Whether the guard would ask where the request comes from: what only reads, it lets pass, since
/// another site's page is not shown what was read.
pub(crate) fn may_change<B>(request: &Request<B>) -> bool {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    !reads || is_upgrade(request)
}

fn is_upgrade<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(UPGRADE) || *request.method() == Method::CONNECT
}

/// A service that hands its request back.
#[derive(Clone, Copy, Debug)]
struct HandBack;

impl Service<Request<()>> for HandBack {
    type Response = Response<Option<Request<()>>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Some(request))))
    }
}

/// Answers what may not pass with nothing.
#[derive(Clone, Copy, Debug)]
struct Refuse;

impl ResponseForProtectionError<Option<Request<()>>> for Refuse {
    fn response_for_protection_error(
        &mut self,
        _: ProtectionError,
    ) -> Response<Option<Request<()>>> {
        Response::new(None)
    }
}
