//! Whether a request that could carry the cookie comes from another site: tower-http's CSRF guard,
//! as a check on its own.
//!
//! The guard is a service; around one that only says that it was reached it becomes a function,
//! which the layer can leave out for bearer tokens, and ask about upgrades too.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::header::{HOST, ORIGIN, UPGRADE};
use http::{HeaderName, HeaderValue, Method, Request, Response};
use tower_http::csrf::{Csrf, CsrfLayer};
use tower_layer::Layer as _;
use tower_service::Service;

use super::origin;
use crate::error::build::BuildError;
use crate::transport::credential::one;
use crate::transport::origins_seen::OriginsSeen;

#[derive(Clone, Debug)]
pub(crate) struct CrossSiteCheck {
    guard: Csrf<Reached>,
    /// Trusted origins of apps and extensions, which the guard does not know.
    apps: Vec<String>,
    /// Origins of the same site that a warning names.
    warned: Arc<OriginsSeen>,
}

impl CrossSiteCheck {
    pub(crate) fn new(trusted_origins: &[String]) -> Result<Self, BuildError> {
        let (mut layer, mut apps) = (CsrfLayer::new(), Vec::new());
        for origin in trusted_origins {
            let invalid =
                |help| BuildError::invalid("trusted_origin", format_args!("{origin:?}"), help);
            let origin = origin::canonical(origin).map_err(invalid)?;
            if !origin.starts_with("http") {
                apps.push(origin);
                continue;
            }
            layer = layer.add_trusted_origin(origin).map_err(|error| invalid(error.to_string()))?;
        }
        Ok(Self { guard: layer.layer(Reached), apps, warned: Arc::default() })
    }

    /// Whether the request may pass. `is_secure` says that it carries a cookie which travels by
    /// https alone.
    ///
    /// An upgrade is a `GET`, which the guard lets pass; but a WebSocket that another site's page
    /// opens carries the cookie, and no browser asks us first. So it is checked like a `POST`.
    // Out of the way of requests that only read.
    #[inline(never)]
    pub(crate) fn passes<B>(
        &self,
        request: &Request<B>,
        has_cookie: bool,
        is_secure: bool,
    ) -> bool {
        let field = |name: &HeaderName| request.headers().get(name);
        let site = field(&SEC_FETCH_SITE).filter(|site| !site.is_empty());
        // Without what browsers say of the site, it is the origin and the host that are compared.
        // The guard would do so byte by byte; so it gets no host to compare.
        if site.is_none() && origin::is_same_origin(request, is_secure && has_cookie) {
            return true;
        }
        if self.is_trusted_app(request) {
            return true;
        }
        let mut asked = Request::new(());
        *asked.method_mut() = match is_upgrade(request) || !may_change(request) {
            true if has_cookie => Method::POST,
            true => Method::GET,
            false => request.method().clone(),
        };
        for name in [ORIGIN, SEC_FETCH_SITE] {
            if let Some(value) = field(&name) {
                asked.headers_mut().insert(name, value.clone());
            }
        }
        let mut guard = self.guard.clone();
        // The guard decides at once: its future is ready, and nothing ever wakes it.
        let answer = pin!(guard.call(asked)).poll(&mut Context::from_waker(Waker::noop()));
        let passes = matches!(answer, Poll::Ready(Ok(answer)) if answer.status().is_success());
        if !passes {
            self.log(request);
        }
        passes
    }

    /// Logs where a request comes from: at warn, once for each origin, if it is one of the same site, which may be
    /// a page of the application.
    #[cold]
    fn log<B>(&self, request: &Request<B>) {
        let field = |name: &HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
        let target = request.uri().authority().map(|authority| authority.as_str().as_bytes());
        let found = field(&ORIGIN).filter(|origin| *origin != b"null");
        let origin = shown(field(&ORIGIN));
        let host = shown(target.or(field(&HOST)));
        let site = field(&SEC_FETCH_SITE).filter(|site| !site.is_empty());
        let sec_fetch_site = shown(site);
        // From another site the cookie would not come, but from an app's page it may.
        let is_other_site = site == Some(b"cross-site") && origin.starts_with("http");
        let fix = found.map(|_| match is_other_site {
            true => OTHER_SITE.to_owned(),
            false => format!(
                "if it is yours, add `.trusted_origin(\"{origin}\")` to the `CookieTransport`, or take bearer tokens \
                 alone"
            ),
        });
        let is_same_site = site == Some(b"same-site");
        if is_same_site && found.is_some_and(|origin| self.warned.is_new(origin)) {
            tracing::warn!(
                origin,
                host,
                sec_fetch_site,
                fix,
                "a request comes from another origin"
            );
        } else {
            tracing::debug!(
                origin,
                host,
                sec_fetch_site,
                fix,
                "a request comes from another origin"
            );
        }
    }

    fn is_trusted_app<B>(&self, request: &Request<B>) -> bool {
        let origin = one(request.headers().get_all(ORIGIN)).ok().flatten();
        origin.is_some_and(|origin| self.apps.iter().any(|app| origin == app.as_str()))
    }
}

const OTHER_SITE: &str = "if it is yours, open it and this service by names of one site, or use bearer tokens: \
                          browsers send the cookie from no other site; a callback needs `.callback_path(..)`";
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A field's value for a log: not all of a long one, and nothing but printable ASCII.
fn shown(value: Option<&[u8]>) -> String {
    const MOST: usize = 128;
    let Some(value) = value else { return "none".into() };
    let more = if value.len() > MOST { "..." } else { "" };
    format!("{}{more}", value[..value.len().min(MOST)].escape_ascii())
}

/// Whether a page's script, image or other part asks for it, and no one navigates to it: with a cookie of
/// `SameSite=Lax`, browsers would not send it with such a request of another site.
pub(crate) fn is_subresource<B>(request: &Request<B>) -> bool {
    request.headers().get(SEC_FETCH_MODE).is_some_and(|mode| mode != "navigate")
}

/// Whether the guard would ask where the request comes from: what only reads, it lets pass, since
/// another site's page is not shown what was read.
pub(crate) fn may_change<B>(request: &Request<B>) -> bool {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    !reads || is_upgrade(request)
}

/// Whether the page that sends it came by plain http from another machine: browsers say of no such request from
/// which site it is (Fetch Metadata, section 2).
pub(crate) fn is_plain_page<B>(request: &Request<B>) -> bool {
    !request.headers().contains_key(SEC_FETCH_SITE) && origin::is_plain(request)
}

fn is_upgrade<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(UPGRADE) || *request.method() == Method::CONNECT
}

/// A service that answers 200 where the guard itself answers 403.
#[derive(Clone, Copy, Debug)]
struct Reached;

impl Service<Request<()>> for Reached {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}
