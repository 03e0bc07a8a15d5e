//! [`Presented`]: the session of a request, or why there is none, in the request's extensions.

use std::sync::Arc;

use http::Extensions;
use http::request::Parts;

use crate::clock::Timestamp;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::sessions::handle::{Sessions, SessionsId};
use crate::sessions::session::Session;
use crate::transport::credential::Place;

/// The session that a request presents, or why there is none.
pub(crate) struct Presented<C> {
    pub(crate) session: Result<Session<C>, Rejection>,
    pub(crate) place: Option<Place>,
    /// The time of the request, read once.
    pub(crate) now: Timestamp,
    /// The sessions that have validated it.
    pub(crate) sessions: SessionsId,
}

impl<C: Send + Sync + 'static> Presented<C> {
    /// What a layer of these sessions has found for the request with these extensions.
    pub(crate) fn of(sessions: &Sessions<C>, extensions: &Extensions) -> Option<Self> {
        let presented = extensions.get::<Self>();
        presented.filter(|presented| presented.sessions == sessions.0.id).cloned()
    }
}

impl<C> Presented<C> {
    /// The session, if it came in the cookie, and either more than half of its token's life or of an
    /// idle lifetime is over, or its claims are stale.
    pub(crate) fn to_renew(&self, sessions: &Sessions<C>) -> Option<&Session<C>> {
        let session = self.session.as_ref().ok()?;
        let lifetime = session.expires_at() - session.issued_at();
        let lifetime = lifetime.min(sessions.0.lifetimes.idle);
        let is_past_half = self.now - session.issued_at() > lifetime / 2;
        let is_due = is_past_half || sessions.has_stale_claims(session);
        (is_due && self.by_cookie()).then_some(session)
    }

    /// The session for `Option<Session<C>>`: none for an anonymous request, and for an invalid cookie,
    /// whatever the reason.
    #[cfg(feature = "axum")]
    pub(crate) fn optional(&self) -> Result<Option<Session<C>>, Rejection> {
        match &self.session {
            Ok(session) => Ok(Some(session.clone())),
            Err(rejection) if rejection.is_missing() => Ok(None),
            Err(rejection) if self.by_cookie() && !rejection.is_temporary() => Ok(None),
            Err(rejection) => Err(rejection.clone()),
        }
    }

    /// Whether the credential is an invalid cookie that is cleared.
    pub(crate) fn is_final_cookie(&self) -> bool {
        self.by_cookie()
            && self.session.as_ref().is_err_and(|rejection| is_final(rejection.kind()))
            && !self.is_revoked()
    }

    /// Whether the session was revoked. Its cookie stays: the session may continue under a new ID, or a login
    /// may have replaced it, and this response may reach the browser after the one with the new cookie.
    pub(crate) fn is_revoked(&self) -> bool {
        self.session.as_ref().is_err_and(|rejection| rejection.kind() == RejectionKind::Revoked)
    }

    /// Whether the credential came in a cookie.
    pub(crate) fn by_cookie(&self) -> bool {
        self.place == Some(Place::Cookie)
    }

    /// Whether the request has the cookie, or may have it: one of several credentials may be it.
    pub(crate) fn may_have_cookie(&self) -> bool {
        let kind = self.session.as_ref().err().map(Rejection::kind);
        self.by_cookie() || kind == Some(RejectionKind::Ambiguous)
    }
}

/// Whether no replica accepts such a token now or later, whatever its clock, keys and release. The table is
/// in [`layer`](crate::layer).
pub(crate) fn is_final(kind: RejectionKind) -> bool {
    matches!(
        kind,
        RejectionKind::Expired
            | RejectionKind::Revoked
            | RejectionKind::Malformed
            | RejectionKind::BadSignature
            | RejectionKind::WrongAlgorithm
    )
}

impl<C: Send + Sync + 'static> Session<C> {
    /// The session that a layer has found for the request with these extensions: for services without
    /// axum's extractors, such as those of tonic and hyper.
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Presented<C>>()?.session.as_ref().ok()
    }
}

/// In a response's extensions: an extractor has refused the request, and the layer answers.
#[derive(Clone)]
pub(crate) struct Refused {
    pub(crate) rejection: Rejection,
    pub(crate) request: Arc<Parts>,
}

impl<C> Clone for Presented<C> {
    fn clone(&self) -> Self {
        let Self { session, place, now, sessions } = self;
        Self { session: session.clone(), place: *place, now: *now, sessions: *sessions }
    }
}
