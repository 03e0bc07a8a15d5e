//! [`Client`]: sends requests to a service in the same process, and keeps cookies as a browser does.

use std::fmt::{self, Debug};
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, REFERER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use serde::Serialize;
use tower_service::Service;

use crate::clock::{Clock, Timestamp};
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::login::Login;
use crate::testing::cookies::Cookies;
use crate::testing::manual_clock::ManualClock;

/// A client of an axum router, or another Tower service, for tests: no sockets, and cookies kept as a
/// browser keeps them. It behaves like one page's browser at `https://app.example`.
///
/// - Cookies are kept by name, until `Max-Age` is over or clears them. One that a browser would refuse
///   (`__Host-` without `Secure`, for example) is a panic. `Path`, `Domain` and `Expires` are not read.
/// - A request has `Host` and `Sec-Fetch-Site: same-origin`, unless it brings its own `Host`, `Origin` or
///   `Sec-Fetch-Site`.
/// - Redirects are followed by [`visit`](Self::visit) and [`submit`](Self::submit) alone.
///
/// ```
/// use std::time::Duration;
///
/// use axum::{Router, http::StatusCode, routing::{get, post}};
/// use tower_jwt_session::testing::{self, Client, ManualClock};
/// use tower_jwt_session::{Login, Logout, Session, Sessions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::default();
/// let keys = testing::fixed_ring(clock.clone());
/// let sessions = Sessions::<()>::builder(keys, "https://app.example", "app").build()?;
/// let app = Router::new()
///     .route("/me", get(async |session: Session<()>| session.subject().to_owned()))
///     .route("/logout", post(async || Logout::new()))
///     .layer(sessions.layer());
///
/// let mut client = Client::new(app).clock(&clock);
/// assert_eq!(client.get("/me").await.status(), StatusCode::UNAUTHORIZED);
/// client.login_as(&sessions, "alice", ()).await;
/// client.advance(Duration::from_secs(40 * 60)); // the next request renews the session
/// assert_eq!(client.get("/me").await.body(), "alice");
/// client.advance(Duration::from_secs(40 * 60));
/// assert_eq!(client.get("/me").await.body(), "alice");
/// client.post("/logout").await;
/// assert_eq!(client.get("/me").await.status(), StatusCode::UNAUTHORIZED);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client<S> {
    service: S,
    cookies: Cookies,
    bearer: Option<HeaderValue>,
    clock: Option<ManualClock>,
    /// The page that the browser shows.
    page: Option<Uri>,
}

impl<S> Client<S> {
    /// A client of `service` without cookies.
    pub fn new(service: S) -> Self {
        Self { service, cookies: Cookies::default(), bearer: None, clock: None, page: None }
    }

    /// Sets the clock that the service reads: [`advance`](Self::advance) moves it, and cookies expire by
    /// it. Without one, no cookie expires.
    #[must_use]
    pub fn clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    /// Moves the [`clock`](Self::clock), for the service and the cookies.
    ///
    /// # Panics
    ///
    /// Panics if the client has no clock.
    pub fn advance(&self, duration: Duration) {
        let clock = self.clock.as_ref();
        clock.expect("a clock: call `Client::clock` with that of the key ring").advance(duration);
    }

    /// Logs in without the application's form: issues a session of `subject` as a login does, and keeps its
    /// cookie, or sends it as a bearer token if the sessions have no cookie. A bearer token of before is sent
    /// no more.
    ///
    /// # Panics
    ///
    /// Panics if the session cannot be issued.
    pub async fn login_as<C: SessionClaims>(
        &mut self,
        sessions: &Sessions<C>,
        subject: impl Into<String>,
        claims: C,
    ) {
        self.login(sessions, &Login::new(subject, claims)).await;
    }

    /// Logs in like [`login_as`](Self::login_as), with a scope, or as a [bearer](Login::bearer) client.
    ///
    /// # Panics
    ///
    /// Panics if the session cannot be issued.
    pub async fn login<C: SessionClaims>(&mut self, sessions: &Sessions<C>, login: &Login<C>) {
        let token = sessions.login(login).await;
        let token = token.unwrap_or_else(|error| panic!("cannot log in: {error}"));
        if login.bearer || sessions.clear_cookie().is_none() {
            return self.set_bearer(token.as_str());
        }
        let cookie = sessions.set_cookie(&token);
        let cookie = cookie.unwrap_or_else(|error| panic!("cannot log in: {error}"));
        self.cookies.set(&cookie, self.now());
        self.bearer = None;
    }

    /// Sends `Authorization: Bearer` and this token with each request from now on.
    ///
    /// # Panics
    ///
    /// Panics if the token cannot be the value of a header.
    pub fn set_bearer(&mut self, token: &str) {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).expect("a header's value");
        value.set_sensitive(true);
        self.bearer = Some(value);
    }

    /// Forgets all cookies and the bearer token.
    pub fn forget(&mut self) {
        self.cookies.clear();
        self.bearer = None;
    }

    /// Closes the browser and opens it again: cookies without `Max-Age` are gone.
    pub fn restart_browser(&mut self) {
        self.cookies.end_browser_session();
    }

    /// Returns the value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name)
    }

    fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(Clock::now)
    }
}

impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Debug,
    B: Body,
    B::Error: Debug,
{
    /// Sends a `GET`, as a script does.
    ///
    /// # Panics
    ///
    /// Panics if the path is not one, or the service fails.
    pub async fn get(&mut self, path: &str) -> Response<Bytes> {
        self.send(request(Method::GET, path)).await
    }

    /// Sends a `POST` without a body.
    ///
    /// # Panics
    ///
    /// Panics if the path is not one, or the service fails.
    pub async fn post(&mut self, path: &str) -> Response<Bytes> {
        self.send(request(Method::POST, path)).await
    }

    /// Sends a form as a script does, as `application/x-www-form-urlencoded`; [`submit`](Self::submit) sends
    /// it as a browser does.
    ///
    /// # Panics
    ///
    /// Panics if the path is not one, or the service fails.
    pub async fn post_form(&mut self, path: &str, fields: &[(&str, &str)]) -> Response<Bytes> {
        self.send(form(path, fields)).await
    }

    /// Sends a JSON document.
    ///
    /// # Panics
    ///
    /// Panics if the path is not one, the value cannot be JSON, or the service fails.
    pub async fn post_json(&mut self, path: &str, value: &impl Serialize) -> Response<Bytes> {
        let body = serde_json::to_vec(value).expect("a JSON document");
        self.send(post(path, "application/json", body)).await
    }

    /// Opens a page as a link or the address bar does, and follows up to 10 redirects.
    ///
    /// # Panics
    ///
    /// Panics if the path is not one, the service fails, or a redirect leads to another site or in a
    /// circle.
    pub async fn visit(&mut self, path: &str) -> Response<Bytes> {
        let mut page = request(Method::GET, path);
        page.headers_mut().insert(SEC_FETCH_SITE, HeaderValue::from_static("none"));
        self.navigate(page).await
    }

    /// Submits a form of a page of this site: a `POST` as `application/x-www-form-urlencoded` with the
    /// headers of a navigation, `Origin`, and the page that was visited last as `Referer`. Follows up to 10
    /// redirects, and returns the page that a user then sees. The cross-site guard, login pages and error pages answer as they answer a browser.
    ///
    /// # Panics
    ///
    /// Panics if the path is not one, the service fails, or a redirect leads to another site or in a
    /// circle.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Response<Bytes> {
        let mut form = form(path, fields);
        form.headers_mut().insert(ORIGIN, HeaderValue::from_static(SITE));
        form.headers_mut().insert(SEC_FETCH_SITE, HeaderValue::from_static("same-origin"));
        if let Some(page) = &self.page {
            let page = HeaderValue::try_from(format!("{SITE}{page}"));
            form.headers_mut().insert(REFERER, page.expect("a path is a header's value"));
        }
        self.navigate(form).await
    }

    async fn navigate(&mut self, mut page: Request<Bytes>) -> Response<Bytes> {
        for (name, value) in NAVIGATION {
            page.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        for _ in 0..=10 {
            let response = self.send(page.clone()).await;
            let status = response.status();
            if !is_redirect(status) {
                self.page = Some(page.uri().clone());
                return response;
            }
            *page.uri_mut() = uri(&target(response.headers()));
            // The others repeat the request with its method and body (RFC 9110, section 15.4).
            if !matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
                *page.method_mut() = Method::GET;
                *page.body_mut() = Bytes::new();
                page.headers_mut().remove(CONTENT_TYPE);
                page.headers_mut().remove(ORIGIN);
            }
        }
        panic!("too many redirects, the last one to {}", page.uri());
    }

    /// Sends any request with the client's cookies and bearer token, and keeps the cookies of the response.
    ///
    /// # Panics
    ///
    /// Panics if the service, or the body of its response, fails.
    pub async fn send<D: Into<Bytes>>(&mut self, request: Request<D>) -> Response<Bytes> {
        let mut request = request.map(|body| Full::new(body.into()));
        let (now, bearer) = (self.now(), self.bearer.clone());
        let headers = request.headers_mut();
        if let Some(cookies) = self.cookies.field(now) {
            headers.entry(COOKIE).or_insert(cookies);
        }
        if let Some(bearer) = bearer {
            headers.entry(AUTHORIZATION).or_insert(bearer);
        }
        if ![HOST, ORIGIN, SEC_FETCH_SITE].iter().any(|name| headers.contains_key(name)) {
            headers.insert(SEC_FETCH_SITE, HeaderValue::from_static("same-origin"));
        }
        headers.entry(HOST).or_insert(HeaderValue::from_static(AUTHORITY));
        let mut service = self.service.clone();
        poll_fn(|context| service.poll_ready(context)).await.expect("a service that is ready");
        let response = service.call(request).await.expect("a response of the service");
        self.cookies.read(response.headers(), now);
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the whole body of the response");
        Response::from_parts(parts, body.to_bytes())
    }
}

impl<S> Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cookies: Vec<_> = self.cookies.names().collect();
        f.debug_struct("Client").field("cookies", &cookies).finish_non_exhaustive()
    }
}

fn request(method: Method, path: &str) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = method;
    *request.uri_mut() = uri(path);
    request
}

fn uri(path: &str) -> Uri {
    let uri = path.parse().ok().filter(|_| path.starts_with('/'));
    uri.unwrap_or_else(|| panic!("{path:?} is not a path"))
}

fn post(path: &str, media_type: &'static str, body: impl Into<Bytes>) -> Request<Bytes> {
    let mut request = request(Method::POST, path).map(|_| body.into());
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    request
}

fn form(path: &str, fields: &[(&str, &str)]) -> Request<Bytes> {
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    post(path, "application/x-www-form-urlencoded", form)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The path of a redirect to the same site.
fn target(headers: &HeaderMap) -> String {
    let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let location = location.expect("a `Location` of the redirect");
    let path = location.strip_prefix(SITE).unwrap_or(location);
    let is_here = path.starts_with('/') && !path.starts_with("//");
    assert!(is_here, "a redirect leads to another site: {location}");
    path.to_owned()
}

const SITE: &str = "https://app.example";
const AUTHORITY: &str = "app.example";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The headers of a browser that opens a page.
const NAVIGATION: [(HeaderName, &str); 3] = [
    (ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8"),
    (HeaderName::from_static("sec-fetch-dest"), "document"),
    (HeaderName::from_static("sec-fetch-mode"), "navigate"),
];
