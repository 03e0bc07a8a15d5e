//! The [`IssueLayer`]: issues the session of a [`Login`] that a handler returned, or renews the
//! request's.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use tower_layer::Layer;

use crate::audit::handle::Draft;
use crate::error::operation::OperationError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::layer::mistakes::Mistakes;
use crate::layer::presented::Presented;
use crate::layer::renew::{self, Renewer};
use crate::layer::service::{Around, Granted, SessionService, Work, Worked};
use crate::response::respond;
use crate::response::respond::{Respond, WithBody};
use crate::response::token_endpoint;
use crate::revocation::versions::Versions;
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::login::Login;
use crate::sessions::logout::Logout;
use crate::sessions::pending::{Passed, Pending};
use crate::sessions::session::Session;
use crate::transport::cookie_use::{CookieUse, Sets};
use crate::transport::transports::append_cookie;

/// How a login's session travels.
#[derive(Clone, Copy, Debug)]
enum Travel {
    Cookie,
    Bearer,
    /// With a refresh token.
    Pair,
}

/// Issues the session of a login, with the event that the caller has recorded.
fn grant<C: SessionClaims>(
    sessions: &Sessions<C>,
    login: &Login<C>,
    travel: Travel,
    versions: Versions,
) -> Result<(Granted, Option<Draft>), OperationError> {
    Ok(match travel {
        Travel::Pair => {
            let (pair, event) = sessions.issue_pair_under(login, versions)?;
            (Granted::Pair(pair), event)
        }
        Travel::Cookie | Travel::Bearer => {
            let (token, event) = sessions.issue_under(login, versions)?;
            (Granted::Token(token), event)
        }
    })
}

/// Issues and renews sessions: made by [`Sessions::issue_layer`].
pub struct IssueLayer<C, T = WithBody> {
    sessions: Sessions<C>,
    mistakes: Arc<Mistakes>,
    respond: T,
}

impl<C, T> IssueLayer<C, T> {
    /// Replaces how the layer's own answers get their bodies, or the answers themselves. See
    /// [`Respond`].
    pub fn respond_with<U>(self, respond: U) -> IssueLayer<C, U> {
        IssueLayer { sessions: self.sessions, mistakes: self.mistakes, respond }
    }
}

impl<C: SessionClaims, T> IssueLayer<C, T> {
    pub(crate) fn new(sessions: Sessions<C>, respond: T) -> Self {
        Self { sessions, mistakes: Arc::default(), respond }
    }

    /// How a login's session travels.
    ///
    /// # Errors
    ///
    /// Fails if no transport of the sessions fits the response.
    fn travel<B>(
        &self,
        Pending { intent: login, is_whole, .. }: &Pending<Login<C>>,
        cookie_use: CookieUse,
    ) -> Result<Travel, OperationError>
    where
        T: Respond<B>,
    {
        let transports = self.sessions.transports();
        if !login.bearer && transports.cookie.is_some() {
            return match cookie_use.sets {
                Sets::Allowed | Sets::Dropped => Ok(Travel::Cookie),
                Sets::FromAnotherSite => {
                    Err(OperationError::rejected(Rejection::new(RejectionKind::CrossSite)))
                }
                Sets::NotLocal => Err(OperationError::not_local()),
            };
        }
        if !transports.bearer {
            return Err(OperationError::no_transport("bearer"));
        }
        // A bearer token needs a body of its own.
        if !T::CARRIES_BODY {
            return Err(OperationError::not_configured(NO_BODY));
        }
        if !is_whole {
            let has_cookie = transports.cookie.is_some();
            return Err(OperationError::not_configured(if has_cookie { WHOLE } else { NO_COOKIE }));
        }
        let has_refresh_token = self.sessions.0.refreshing.is_some() && login.continues.is_none();
        Ok(if has_refresh_token { Travel::Pair } else { Travel::Bearer })
    }

    /// Begins to issue the session of a [`Login`] that the handler's response asks for, or renews the one
    /// of the request. A login and a logout take precedence over a renewal. Returns the work of a login in a
    /// store, without which [`complete`](Self::complete) issues, or that of a renewal.
    pub(crate) fn issue_or_renew<B>(
        &self,
        response: &mut Response<B>,
        presented: Option<&Presented<C>>,
        cookie_use: CookieUse,
    ) -> Option<Work>
    where
        T: Respond<B>,
    {
        let extensions = response.extensions();
        if let Some(pending) = extensions.get::<Arc<Pending<Login<C>>>>() {
            pending.take();
            if let Some(logout) = extensions.get::<Arc<Pending<Logout>>>() {
                logout.take();
            }
            let replaced = presented.and_then(|presented| presented.session.as_ref().ok());
            return self.log_in(pending, self.travel::<B>(pending, cookie_use).ok()?, replaced);
        }
        Renewer::new().begin(&self.sessions, presented?, response)
    }

    /// The work of a new session's login: it reads the cutoffs, issues, records the login, and revokes the
    /// session that the request came with (ASVS 7.2.4). The login succeeds if the last fails.
    #[cold]
    fn log_in(
        &self,
        pending: &Arc<Pending<Login<C>>>,
        travel: Travel,
        replaced: Option<&Session<C>>,
    ) -> Option<Work> {
        let has_work = self.sessions.revocations().is_some() || self.sessions.0.audit.has_sink();
        if !has_work || pending.intent.continues.is_some() {
            return None;
        }
        let (sessions, pending) = (self.sessions.clone(), pending.clone());
        let can_end = |session: &&Session<C>| sessions.home_of(session).revocations().is_some();
        let replaced = replaced.filter(can_end).cloned();
        Some(Box::pin(async move {
            let versions = sessions.versions_for_login(&pending.intent).await;
            let (granted, event) = grant(&sessions, &pending.intent, travel, versions)?;
            if let Some(event) = event {
                event.record_first().await?;
            }
            if let Some(session) = replaced
                && let Err(error) = sessions.end_replaced(&session).await
            {
                let session_id = session.session_id();
                tracing::warn!(session_id, %error, "cannot revoke the session before a login");
            }
            Ok(Some(granted))
        }))
    }

    /// Writes the tokens of a login into the response. Returns how other work went.
    pub(crate) fn complete<B>(
        &self,
        response: &mut Response<B>,
        worked: Option<Worked>,
        cookie_use: CookieUse,
    ) -> Option<Worked>
    where
        T: Respond<B>,
    {
        let Some(pending) = response.extensions_mut().remove::<Arc<Pending<Login<C>>>>() else {
            return worked;
        };
        let login = &pending.intent;
        let issued = self.travel::<B>(&pending, cookie_use).and_then(|travel| {
            let granted = match worked {
                Some(worked) => worked?,
                None => {
                    let versions = self.sessions.known_versions(login);
                    let (granted, event) = grant(&self.sessions, login, travel, versions)?;
                    event.into_iter().for_each(Draft::note);
                    Some(granted)
                }
            };
            self.write(response, &pending, travel, granted)
        });
        match issued {
            Ok(()) if !login.bearer && matches!(cookie_use.sets, Sets::Dropped) => {
                self.mistakes.cookie_is_dropped();
            }
            Ok(()) => {}
            Err(error) => {
                respond::refuse(response, self.failure(&error), &self.respond, &self.sessions)
            }
        }
        None
    }

    #[cold]
    fn write<B>(
        &self,
        response: &mut Response<B>,
        pending: &Pending<Login<C>>,
        travel: Travel,
        granted: Option<Granted>,
    ) -> Result<(), OperationError>
    where
        T: Respond<B>,
    {
        let scope = pending.intent.scope.as_deref();
        let answer = match (travel, granted) {
            (_, None | Some(Granted::Renewed(_) | Granted::Ended)) => return Ok(()),
            (Travel::Cookie, Some(Granted::Token(token))) => {
                let cookie = self.sessions.set_cookie(&token)?;
                if pending.is_whole {
                    respond::answer_whole(response, respond::no_content(), &self.respond);
                }
                self.sessions.transports().remove_set_cookie(response.headers_mut());
                append_cookie(response.headers_mut(), cookie);
                return Ok(());
            }
            (_, Some(Granted::Token(token))) => token_endpoint::granted(&token, None, scope),
            (_, Some(Granted::Pair(tokens))) => {
                token_endpoint::granted(&tokens.access_token, Some(&tokens.refresh_token), scope)
            }
        };
        respond::answer_whole(response, answer, &self.respond);
        Ok(())
    }

    #[cold]
    fn failure(&self, error: &OperationError) -> Response<Bytes> {
        if let Some(rejection) = error.rejection() {
            return respond::rejection(rejection.clone(), &self.sessions);
        }
        tracing::error!(%error, "a session could not be issued");
        let mut answer = respond::problem(error.status());
        respond::retry_issuing(&mut answer, error, &self.sessions);
        answer.extensions_mut().insert(error.clone());
        answer
    }
}

/// The state of a request that its response needs.
pub struct Found<C> {
    presented: Option<Presented<C>>,
    cookie_use: CookieUse,
}

impl<S, C, T: Clone> Layer<S> for IssueLayer<C, T> {
    type Service = SessionService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, self.clone())
    }
}

impl<B, C: SessionClaims, T: Respond<B>> Around<B> for IssueLayer<C, T> {
    type Kept = Found<C>;

    /// Refuses nothing: what comes from another site logs nobody in.
    fn before<R>(&self, request: &mut Request<R>) -> Result<Found<C>, Response<B>> {
        let presented = Presented::of(&self.sessions, request.extensions());
        let has_cookie = presented.as_ref().is_some_and(Presented::may_have_cookie);
        let is_other = presented.as_ref().is_some_and(|it| it.place.is_some()) && !has_cookie;
        let cookie_use = match &self.sessions.transports().cookie {
            Some(cookie) if is_other => cookie.unguarded(request),
            Some(cookie) => cookie.admit(request, has_cookie).unwrap_or(CookieUse::NONE),
            None => CookieUse::FULL,
        };
        Ok(Found { presented, cookie_use })
    }

    fn after(&self, response: &mut Response<B>, found: &Found<C>) -> Option<Work> {
        Passed::note::<C>(response.extensions(), "issue_layer");
        self.issue_or_renew(response, found.presented.as_ref(), found.cookie_use)
    }

    fn finish(&self, response: &mut Response<B>, found: Found<C>, worked: Option<Worked>) {
        if let Some(worked) = self.complete(response, worked, found.cookie_use) {
            renew::complete(&self.sessions, response, worked);
        }
        self.sessions.transports().forbid_storing_cookie(response.headers_mut());
    }
}

impl<C, T: Clone> Clone for IssueLayer<C, T> {
    fn clone(&self) -> Self {
        Self {
            sessions: self.sessions.clone(),
            mistakes: self.mistakes.clone(),
            respond: self.respond.clone(),
        }
    }
}

impl<C, T> fmt::Debug for IssueLayer<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssueLayer").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

const NO_BODY: &str = "a bearer token is in the body, and `respond_with` makes responses without one: \
                       give it a function that carries bodies";
const WHOLE: &str = "a bearer token is a whole response: return the `Login` by itself";
const NO_COOKIE: &str = "the sessions have no cookie transport, and a bearer token is a whole response: \
                         return the `Login` by itself, or add `Transport::cookie(..)` to the sessions";
