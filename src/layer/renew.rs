//! Renewal on the way out: a cookie session past half of its life, or with stale claims, gets a new token.

use std::sync::Arc;

use http::{HeaderMap, Response};

use crate::error::operation::{OperationError, OperationErrorKind};
use crate::layer::presented::Presented;
use crate::layer::service::{Granted, Work, Worked};
use crate::sessions::handle::{SessionClaims, Sessions, SessionsId};
use crate::sessions::issued::IssuedToken;
use crate::sessions::logout::Logout;
use crate::sessions::pending::Pending;
use crate::sessions::renewal::Renewed;
use crate::sessions::session::Session;
use crate::transport::transports::append_cookie;

/// The functions of a layer for claims that can be issued. A layer of claims that are only read has none.
pub(crate) struct Renewer<C> {
    renew: fn(&Sessions<C>, &Session<C>, &mut HeaderMap) -> Option<Work>,
    /// Logs out the other sessions of the subject, of a session that came in the cookie or not.
    pub(crate) log_out_others: fn(Sessions<C>, Session<C>, bool) -> Work,
}

impl<C: SessionClaims> Renewer<C> {
    pub(crate) fn new() -> Self {
        Self { renew, log_out_others }
    }
}

impl<C> Renewer<C> {
    /// Begins the renewal of a request's session, if it is due and no layer of these sessions has tried
    /// it. A logout takes precedence, and a response that sets the cookie is left alone. Returns the work
    /// of a renewal with the application's hook.
    pub(crate) fn begin<B>(
        &self,
        sessions: &Sessions<C>,
        presented: &Presented<C>,
        response: &mut Response<B>,
    ) -> Option<Work> {
        let session = presented.to_renew(sessions)?;
        self.try_renew(sessions, session, response)
    }

    #[cold]
    fn try_renew<B>(
        &self,
        sessions: &Sessions<C>,
        session: &Session<C>,
        response: &mut Response<B>,
    ) -> Option<Work> {
        let extensions = response.extensions();
        let tried = extensions.get::<Tried>();
        // The keys of another issuer cannot renew.
        let is_done = tried.is_some_and(|Tried(id)| *id == sessions.0.id)
            || extensions.get::<Arc<Pending<Logout>>>().is_some()
            || sessions.transports().has_set_cookie(response.headers())
            || !sessions.keys().issues()
            || !sessions.is_own(session);
        if is_done {
            return None;
        }
        response.extensions_mut().insert(Tried(sessions.0.id));
        (self.renew)(sessions, session, response.headers_mut())
    }
}

/// In a response's extensions: a layer of these sessions has tried to renew the session.
#[derive(Clone, Copy)]
struct Tried(SessionsId);

/// Renews a session, or returns the work if the application says with which claims.
fn renew<C: SessionClaims>(
    sessions: &Sessions<C>,
    session: &Session<C>,
    headers: &mut HeaderMap,
) -> Option<Work> {
    if sessions.0.on_renewal.is_none() {
        let version = sessions.kept_claims_version(session.verified());
        set(sessions, headers, sessions.renew(session, None, version));
        return None;
    }
    // The application is not asked where its answer could not be used.
    sessions.gains_from_renewal(session).then(|| {
        let (sessions, session) = (sessions.clone(), session.clone());
        let work = async move {
            Ok(match sessions.renew_by_hook(&session).await? {
                Renewed::By(token) => Some(Granted::Renewed(token)),
                Renewed::Ended => Some(Granted::Ended),
                Renewed::Not => None,
            })
        };
        Box::pin(work) as Work
    })
}

/// Writes what came of a renewal into the response.
#[cold]
pub(crate) fn complete<B, C>(sessions: &Sessions<C>, response: &mut Response<B>, worked: Worked) {
    let headers = response.headers_mut();
    match worked {
        Ok(Some(Granted::Renewed(token))) => set(sessions, headers, Ok(token)),
        Ok(Some(Granted::Ended)) => sessions.transports().clear_cookie(headers),
        Ok(_) => {}
        Err(error) => set(sessions, headers, Err(error)),
    }
}

/// A renewal that fails leaves the session as it was.
fn set<C>(
    sessions: &Sessions<C>,
    headers: &mut HeaderMap,
    renewed: Result<IssuedToken, OperationError>,
) {
    match renewed.and_then(|token| sessions.set_cookie(&token)) {
        Ok(cookie) => append_cookie(headers, cookie),
        Err(error)
            if matches!(
                error.kind(),
                OperationErrorKind::LifetimeReached | OperationErrorKind::Rejected
            ) => {}
        Err(error) => tracing::warn!(%error, "a session could not be renewed"),
    }
}

fn log_out_others<C: SessionClaims>(
    sessions: Sessions<C>,
    session: Session<C>,
    by_cookie: bool,
) -> Work {
    Box::pin(async move {
        let granted = if by_cookie {
            Granted::Token(sessions.logout_others_by_cookie(&session).await?)
        } else if sessions.0.refreshing.is_some() {
            Granted::Pair(sessions.logout_others_with_refresh_token(&session).await?)
        } else {
            Granted::Token(sessions.logout_others(&session).await?)
        };
        Ok(Some(granted))
    })
}

impl<C> Clone for Renewer<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Renewer<C> {}
