//! The [`ValidateLayer`]: turns a request's credential into a session, or into a reason why there
//! is none.

use std::fmt;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use tower_layer::Layer;

use crate::error::build::BuildError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::layer::logout;
use crate::layer::mistakes::Mistakes;
use crate::layer::presented::{Presented, Refused};
use crate::layer::renew::{self, Renewer};
use crate::layer::service::{Around, SessionService, Work, Worked};
use crate::response::login_redirect::{self, Outcome};
use crate::response::respond;
use crate::response::respond::{Respond, WithBody};
use crate::sessions::handle::{ReadClaims, Sessions};
use crate::sessions::login_page::LoginPage;
use crate::sessions::logout::Logout;
use crate::sessions::pending::{Passed, Pending};
use crate::sessions::session::Session;
use crate::transport::cookie_use::{CookieUse, Sets};
use crate::transport::credential::{Credential, Place};
use crate::transport::navigation;
use crate::transport::old_cookies::OldCookies;

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
    pub(crate) checks: Vec<Check<C>>,
    /// The required scopes, for challenges.
    pub(crate) scope: Option<Arc<str>>,
    /// None if the claims cannot be issued.
    renewer: Option<Renewer<C>>,
    login_page: Option<LoginPage>,
    mistakes: Arc<Mistakes>,
    respond: T,
}

/// A requirement on a valid session: the rejection of one that fails it.
type Check<C> = Arc<dyn Fn(&Session<C>) -> Option<Rejection> + Send + Sync>;

impl<C> ValidateLayer<C> {
    pub(crate) fn new(sessions: Sessions<C>, renewer: Option<Renewer<C>>) -> Self {
        let (login_page, checks) = (sessions.0.login_page.clone(), Vec::new());
        Self {
            sessions,
            optional: false,
            guards_all: false,
            checks,
            scope: None,
            renewer,
            login_page,
            mistakes: Arc::default(),
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
        ValidateLayer {
            sessions: self.sessions,
            optional: self.optional,
            guards_all: self.guards_all,
            checks: self.checks,
            scope: self.scope,
            renewer: self.renewer,
            login_page: self.login_page,
            mistakes: self.mistakes,
            respond,
        }
    }

    /// Sends browsers that navigate to these routes without a valid session to this page, in place of the
    /// one of the [sessions](crate::SessionsBuilder::login_page).
    ///
    /// # Errors
    ///
    /// Fails if `path` is not a path of this site.
    pub fn login_page(mut self, path: &str) -> Result<Self, BuildError> {
        self.login_page = Some(LoginPage::parse(path)?);
        Ok(self)
    }

    pub(crate) fn guard_all(mut self) -> Self {
        self.guards_all = true;
        self
    }
}

impl<C: ReadClaims, T> ValidateLayer<C, T> {
    /// Validates a request's credential.
    fn presented(
        &self,
        credential: Result<Option<Credential<'_>>, RejectionKind>,
        headers: &HeaderMap,
    ) -> Presented<C> {
        let now = self.sessions.now();
        let (session, place) = match credential {
            Ok(Some(Credential { token, place })) => {
                let valid = self.sessions.validate_bytes(token, now);
                (valid.and_then(|it| self.sessions.refuse_stale_claims(it, place)), Some(place))
            }
            Ok(None) => (Err(Rejection::new(RejectionKind::Missing)), None),
            Err(_) => (Err(self.sessions.transports().ambiguous(headers)), None),
        };
        Presented { session, place, now, sessions: self.sessions.0.id }
    }

    /// What the request may do with the cookie, by where it comes from: no browser sends a bearer token by
    /// itself.
    fn cookie_use<B>(
        &self,
        request: &Request<B>,
        place: Option<Place>,
        may_have_cookie: bool,
    ) -> Result<CookieUse, RejectionKind> {
        let is_other = place.is_some() && !may_have_cookie;
        match &self.sessions.transports().cookie {
            Some(cookie) if may_have_cookie || (self.guards_all && !is_other) => {
                cookie.admit(request, may_have_cookie)
            }
            Some(cookie) if self.guards_all => Ok(cookie.unguarded(request)),
            _ => Ok(CookieUse::FULL),
        }
    }

    /// Why the layer itself refuses what was presented, if it does.
    fn refusal(&self, presented: &Presented<C>) -> Option<Rejection> {
        match &presented.session {
            Ok(session) => {
                let rejection = self.checks.iter().find_map(|check| check(session))?;
                let home = self.sessions.home_of(session);
                let rejection = home.about_session(rejection, session.verified());
                Some(rejection.of_ring(home.keys().name()))
            }
            Err(rejection) => (!self.optional).then(|| rejection.clone()),
        }
    }

    /// Returns the outcome of the credential, or the response that refuses the request.
    pub(crate) fn admit<R, B>(&self, request: &mut Request<R>) -> Result<Kept<C>, Response<B>>
    where
        T: Respond<B>,
    {
        let found = Presented::of(&self.sessions, request.extensions());
        let transports = self.sessions.transports();
        let (presented, cookie_use, is_first, old) = match found {
            // The layer that has found it has asked, as far as it concerns a request with a session.
            Some(found) => {
                let cookie_use = match self.guards_all {
                    true => self.cookie_use(request, found.place, found.may_have_cookie()),
                    false => Ok(CookieUse::FULL),
                };
                match cookie_use {
                    Ok(cookie_use) => (found, cookie_use, false, None),
                    Err(kind) => return Err(self.reject(Rejection::new(kind), request)),
                }
            }
            None => {
                let credential = transports.read(request.headers());
                let place = credential.ok().flatten().map(|credential| credential.place);
                let has_cookie = place == Some(Place::Cookie) || credential.is_err();
                let cookie_use = match self.cookie_use(request, place, has_cookie) {
                    Ok(cookie_use) => cookie_use,
                    Err(kind) => return Err(self.reject(Rejection::new(kind), request)),
                };
                if cookie_use.reads {
                    let old = transports.old_cookies(request.headers());
                    (self.presented(credential, request.headers()), cookie_use, true, old)
                } else {
                    (self.presented(Ok(None), request.headers()), cookie_use, true, None)
                }
            }
        };
        if let Some(rejection) = self.refusal(&presented) {
            let mut answer = self.reject(rejection, request);
            self.clear(&mut answer, &presented);
            self.replace_old_cookies(&mut answer, &presented, old.as_deref());
            return Err(answer);
        }
        if let Some(protocol) = &self.sessions.transports().web_socket {
            protocol.remove(request.headers_mut());
        }
        let is_get = request.method() == Method::GET;
        let is_login_page = is_get && is_first && self.is_login_page(request);
        Ok(Kept { presented, cookie_use, is_first, is_get, is_login_page, old })
    }

    fn is_login_page<R>(&self, request: &Request<R>) -> bool {
        // Nested routers remove their prefix: the whole path is asked for only if what is left is the page's.
        self.login_page.as_ref().is_some_and(|page| {
            page.is_at(request.uri().path())
                && navigation::target(request.uri(), request.extensions())
                    .is_some_and(|target| page.is_at(&target))
        })
    }

    /// Answers in the place of the inner service, which does not get the request any more.
    #[cold]
    fn reject<R, B>(&self, rejection: Rejection, request: &mut Request<R>) -> Response<B>
    where
        T: Respond<B>,
    {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = mem::take(request.method_mut());
        parts.uri = mem::take(request.uri_mut());
        parts.version = request.version();
        parts.headers = mem::take(request.headers_mut());
        parts.extensions = mem::take(request.extensions_mut());
        self.respond.respond(self.answer(rejection, &parts), Some(&parts))
    }

    /// The answer to a rejected request: for a navigation without a session, the way to the login page.
    #[cold]
    fn answer(&self, rejection: Rejection, request: &Parts) -> Response<Bytes> {
        let rejection = self.sessions.transports().describe(rejection, &request.headers);
        let mut answer = respond::rejection_where(rejection, &self.sessions, self.scope.as_deref());
        if let Some(page) = &self.login_page
            && login_redirect::redirect(&mut answer, page, request) == Outcome::PageItself
        {
            self.mistakes.page_requires_session(page, self.optional);
        }
        answer
    }

    /// Clears a cookie that no replica accepts any more, unless the response sets a new one.
    fn clear<B>(&self, response: &mut Response<B>, presented: &Presented<C>) {
        if presented.is_final_cookie() {
            self.sessions.transports().clear_cookie(response.headers_mut());
        }
    }

    fn replace_old_cookies<B>(
        &self,
        response: &mut Response<B>,
        presented: &Presented<C>,
        old: Option<&OldCookies>,
    ) {
        if let Some(old) = old {
            let session = presented.session.as_ref().ok();
            let persistent = session.filter(|session| session.persistent_until().is_some());
            let max_age = persistent.map(|session| session.expires_at() - presented.now);
            let (headers, is_valid) = (response.headers_mut(), session.is_some());
            self.sessions.transports().replace_old_cookies(headers, old, is_valid, max_age);
        }
    }

    /// The work of a logout that the response asks for, if this layer has found the session.
    pub(crate) fn log_out<B>(&self, response: &mut Response<B>, kept: &Kept<C>) -> Option<Work>
    where
        T: Respond<B>,
    {
        let pending =
            response.extensions().get::<Arc<Pending<Logout>>>().filter(|_| kept.is_first)?;
        let pending = pending.take();
        let (logout, has_body) = (pending.intent, pending.is_whole && T::CARRIES_BODY);
        if matches!(kept.cookie_use.sets, Sets::FromAnotherSite) {
            let rejection = Rejection::new(RejectionKind::CrossSite);
            let answer = respond::rejection(rejection, &self.sessions);
            respond::refuse(response, answer, &self.respond, &self.sessions);
            return None;
        }
        if kept.is_get && kept.presented.by_cookie() {
            self.mistakes.logout_by_get();
        }
        let renewer = self.renewer.as_ref();
        let begun = logout::begin(&self.sessions, &kept.presented, logout, renewer, has_body);
        begun.unwrap_or_else(|answer| {
            respond::refuse(response, *answer, &self.respond, &self.sessions);
            None
        })
    }

    pub(crate) fn complete<B>(
        &self,
        response: &mut Response<B>,
        kept: &Kept<C>,
        worked: Option<Worked>,
    ) where
        T: Respond<B>,
    {
        let logout = response.extensions().get::<Arc<Pending<Logout>>>().map(|it| it.intent);
        if let Some(logout) = logout.filter(|_| kept.is_first) {
            match worked {
                Some(Err(error)) => {
                    let answer = logout::failed(&self.sessions, logout, &error);
                    respond::refuse(response, answer, &self.respond, &self.sessions);
                }
                worked => {
                    let granted = worked.and_then(Result::ok).flatten();
                    let (sessions, presented) = (&self.sessions, &kept.presented);
                    logout::complete(sessions, presented, response, &self.respond, granted);
                }
            }
        } else if let Some(worked) = worked {
            renew::complete(&self.sessions, response, worked);
        }
        if kept.is_login_page
            && response.status() == StatusCode::NOT_FOUND
            && let Some(page) = &self.login_page
        {
            self.mistakes.page_not_found(page);
        }
        if kept.presented.session.is_err() {
            if let Some(Refused { rejection, request }) =
                response.extensions_mut().remove::<Refused>()
            {
                let answer = self.answer(rejection, &request);
                let answer = self.respond.respond(answer, Some(&request));
                respond::put_in_place(response, answer);
            }
            self.clear(response, &kept.presented);
        }
        if matches!(kept.cookie_use.sets, Sets::FromAnotherSite) {
            // Whatever is inside of this layer: another site sets no cookie here.
            let headers = response.headers_mut();
            headers.remove(SET_COOKIE);
            headers.remove(HeaderName::from_static("clear-site-data"));
        }
        self.replace_old_cookies(response, &kept.presented, kept.old.as_deref());
        self.sessions.transports().forbid_storing_cookie(response.headers_mut());
    }
}

/// The state of an admitted request that its response needs.
pub struct Kept<C> {
    pub(crate) presented: Presented<C>,
    pub(crate) cookie_use: CookieUse,
    /// The old cookies of the request, if this layer has found the session.
    old: Option<Box<OldCookies>>,
    /// Whether no outer layer of the same sessions has found it.
    is_first: bool,
    is_get: bool,
    is_login_page: bool,
}

impl<S, C, T: Clone> Layer<S> for ValidateLayer<C, T> {
    type Service = SessionService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, self.clone())
    }
}

impl<B, C: ReadClaims, T: Respond<B>> Around<B> for ValidateLayer<C, T> {
    type Kept = Kept<C>;

    fn before<R>(&self, request: &mut Request<R>) -> Result<Kept<C>, Response<B>> {
        let kept = self.admit(request)?;
        request.extensions_mut().insert(kept.presented.clone());
        Ok(kept)
    }

    fn after(&self, response: &mut Response<B>, kept: &Kept<C>) -> Option<Work> {
        Passed::note::<C>(response.extensions(), "validate_layer");
        let renewer = self.renewer.as_ref().filter(|_| kept.is_first);
        let work = renewer.and_then(|it| it.begin(&self.sessions, &kept.presented, response));
        self.log_out(response, kept).or(work)
    }

    fn finish(&self, response: &mut Response<B>, kept: Kept<C>, worked: Option<Worked>) {
        self.complete(response, &kept, worked);
    }
}

impl<C, T: Clone> Clone for ValidateLayer<C, T> {
    fn clone(&self) -> Self {
        Self {
            sessions: self.sessions.clone(),
            optional: self.optional,
            guards_all: self.guards_all,
            checks: self.checks.clone(),
            scope: self.scope.clone(),
            renewer: self.renewer,
            login_page: self.login_page.clone(),
            mistakes: self.mistakes.clone(),
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
