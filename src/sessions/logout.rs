//! Ending sessions before their time: at the client, and on every replica where the application
//! has a store for it.

use crate::clock::Timestamp;
use crate::revocation::handle::Revocations;
use crate::revocation::set::Revocation;
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::login::{EndError, EndSession};
use crate::sessions::session::Session;

impl<C: SessionClaims> Sessions<C> {
    /// Ends a session: for a logout. Return the result from the handler, so that the cookie is
    /// cleared.
    ///
    /// With [`revocations`](crate::SessionsBuilder::revocations), no replica accepts a token of the
    /// session any more: this one as soon as this returns, the others within the revocations'
    /// [`refresh_bound`](Revocations::refresh_bound), usually in milliseconds.
    ///
    /// Without, this takes the token from this client and does no more. A copy of the token, if
    /// someone has made one, stays valid until it expires, for at most one idle lifetime; a short
    /// idle lifetime is what bounds that.
    ///
    /// # Errors
    ///
    /// If the end could not be recorded. The session then goes on, with its cookie, and the error
    /// is answered 503: let the user try again.
    pub async fn logout(&self, session: &Session<C>) -> Result<EndSession, EndError> {
        if let Some(revocations) = self.revoking() {
            let made = self.now();
            revocations
                .record(Revocation::Session { sid: session.session_id().into(), made })
                .await?;
        }
        tracing::debug!(session_id = session.session_id(), "a session ends");
        Ok(self.end_at_client())
    }

    /// Ends all sessions of the same subject: for a logout everywhere. Otherwise like
    /// [`logout`](Self::logout).
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the end could not be recorded.
    pub async fn logout_everywhere(&self, session: &Session<C>) -> Result<EndSession, EndError> {
        self.revoke_subject(session.subject()).await?;
        Ok(self.end_at_client())
    }

    /// Ends the session of that ID, of which there need be no token at hand.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the end could not be recorded.
    pub async fn revoke_session(&self, session_id: &str) -> Result<(), EndError> {
        let revocations = self.revoking().ok_or(EndError::NoRevocations)?;
        let made = self.now();
        Ok(revocations.record(Revocation::Session { sid: session_id.into(), made }).await?)
    }

    /// Ends all sessions of a subject that have begun by now: for a password that was changed, or a
    /// user who is gone.
    ///
    /// A login that comes after it stands, whatever the clocks: on this replica at once, on the
    /// others as soon as they have heard of it. On a replica that has not, a login within the
    /// clocks' difference is ended with the others.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the end could not be recorded.
    pub async fn revoke_subject(&self, subject: &str) -> Result<(), EndError> {
        let revocations = self.revoking().ok_or(EndError::NoRevocations)?;
        let at = self.now();
        Ok(revocations.record(Revocation::Subject { sub: subject.into(), at, made: at }).await?)
    }

    /// Ends all sessions of everyone that began before `time`, at the latest now: for what was
    /// broken until then. What counts is the login, not the last renewal.
    ///
    /// It holds for all sessions with the same revocations.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the end could not be recorded.
    pub async fn revoke_logins_before(&self, time: Timestamp) -> Result<(), EndError> {
        let revocations = self.revoking().ok_or(EndError::NoRevocations)?;
        let made = self.now();
        // No session began before 1970.
        let at =
            time.clamp(Timestamp::from_unix_seconds(0), made.max(Timestamp::from_unix_seconds(0)));
        Ok(revocations.record(Revocation::All { at, made }).await?)
    }

    fn end_at_client(&self) -> EndSession {
        EndSession::new(self.transports().clearing_cookie())
    }

    /// Revocations are kept for as long as the ring's tokens need it: those of the ring's policy, and
    /// of keys that were made under another one and still verify.
    fn revoking(&self) -> Option<&Revocations> {
        let revocations = self.revocations()?;
        revocations.keep_for(self.keys().longest_token_lifetime(), self.keys().policy().clock_skew);
        Some(revocations)
    }
}
