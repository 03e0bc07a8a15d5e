//! Revoking sessions, on every replica: `logout`, `logout_everywhere`, `revoke_session`,
//! `revoke_subject`, `revoke_logins_before`.

use http::HeaderValue;

use crate::clock::Timestamp;
use crate::error::operation::OperationError;
use crate::revocation::set::Revocation;
use crate::sessions::handle::Sessions;
use crate::sessions::session::Session;

impl<C> Sessions<C> {
    /// Revokes a session: a logout where no layer does it. A handler returns [`Logout`](crate::Logout)
    /// instead.
    ///
    /// Afterwards no replica accepts a token of the session: this one as soon as this returns, the
    /// others within the revocations' [`refresh_bound`](crate::Revocations::refresh_bound), usually in
    /// milliseconds. [`clear_cookie`](Self::clear_cookie) is the field for the response.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the store did not record it. The session then stays
    /// valid: keep its cookie, and let the user try again.
    pub async fn logout(&self, session: &Session<C>) -> Result<(), OperationError> {
        self.revoke_session(session.session_id()).await
    }

    /// Revokes all sessions of the same subject: a logout everywhere. Otherwise like
    /// [`logout`](Self::logout).
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the store did not record it.
    pub async fn logout_everywhere(&self, session: &Session<C>) -> Result<(), OperationError> {
        self.revoke_subject(session.subject()).await
    }

    /// Revokes the session of that ID.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the store did not record it.
    pub async fn revoke_session(&self, session_id: &str) -> Result<(), OperationError> {
        let made = self.now();
        self.record(Revocation::Session { sid: session_id.into(), made }).await?;
        tracing::debug!(session_id, "revoked a session");
        Ok(())
    }

    /// Revokes all sessions of a subject that have begun by now: after a change of the password, or
    /// when a user is removed.
    ///
    /// Later logins stay valid regardless of clock skew: on this replica at once, on others as soon as
    /// they have read the revocation. Until then, a login there within the clock skew may be revoked,
    /// too.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the store did not record it.
    pub async fn revoke_subject(&self, subject: &str) -> Result<(), OperationError> {
        let at = self.now();
        self.record(Revocation::Subject { sub: subject.into(), at, made: at }).await
    }

    /// Revokes all sessions of all subjects whose login was before `time`, at the latest now: after an
    /// incident. Renewals do not change the time of the login.
    ///
    /// It holds for all sessions with the same revocations.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the store did not record it.
    pub async fn revoke_logins_before(&self, time: Timestamp) -> Result<(), OperationError> {
        let made = self.now();
        // No session began before 1970.
        let at =
            time.clamp(Timestamp::from_unix_seconds(0), made.max(Timestamp::from_unix_seconds(0)));
        self.record(Revocation::All { at, made }).await
    }

    /// The `Set-Cookie` field that clears the session's cookie, where no layer does it; `None` if the
    /// sessions have no cookie.
    pub fn clear_cookie(&self) -> Option<HeaderValue> {
        self.transports().clearing_cookie()
    }

    /// Revocations are kept for as long as the ring's tokens need it: those of the ring's policy, and
    /// of keys that were made under another one and still verify.
    async fn record(&self, revocation: Revocation) -> Result<(), OperationError> {
        let revocations = self.revocations().ok_or_else(|| {
            OperationError::not_configured(
                "the sessions have no revocations: add `.revocations(..)` to their builder",
            )
        })?;
        revocations.keep_for(self.keys().longest_token_lifetime(), self.keys().policy().clock_skew);
        let recorded = revocations.record(revocation).await;
        recorded.map_err(|error| OperationError::store(error))
    }
}
