//! How [`Sessions`] end: by a logout, or because the service revokes them.

use crate::clock::Timestamp;
use crate::error::operation::OperationError;
use crate::revocation::writer::Revocation;
use crate::sessions::cause::{Cause, Whom};
use crate::sessions::handle::Sessions;
use crate::sessions::logout::Reach;
use crate::sessions::session::Session;
use crate::store::feed::RegisterId;

impl<C> Sessions<C> {
    /// Revokes a session: a logout where no layer does it. A handler returns [`Logout`](crate::Logout)
    /// instead.
    ///
    /// Afterwards no replica accepts a token of the session: this one as soon as this returns, the
    /// others within the revocations' [`refresh_bound`](crate::Revocations::refresh_bound), usually in
    /// milliseconds. [`clear_cookie`](Self::clear_cookie) is the field for the response. A session of
    /// [another issuer](crate::SessionsBuilder::also_accept_sessions) is revoked with the revocations of
    /// that one's sessions.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the store did not record it. The session then stays
    /// valid: keep its cookie, and let the user try again.
    pub async fn logout(&self, session: &Session<C>) -> Result<(), OperationError> {
        let home = self.home_of(session);
        home.record_session(Cause::Logout(Reach::This), Whom::of(session)).await
    }

    /// Revokes all sessions of the same subject, under every
    /// [accepted name](crate::SessionsBuilder::also_accept_issuer) of the issuer: a logout everywhere.
    /// Otherwise like [`logout`](Self::logout).
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the store did not record it.
    pub async fn logout_everywhere(&self, session: &Session<C>) -> Result<(), OperationError> {
        self.cut_off_subject_of(session, Reach::Everywhere).await.map(drop)
    }

    /// Revokes the session that a login replaces.
    pub(crate) async fn end_replaced(&self, session: &Session<C>) -> Result<(), OperationError> {
        let home = self.home_of(session);
        home.record_session(Cause::ReplacedByLogin, Whom::of(session)).await
    }

    /// Returns the version of the cutoff.
    pub(crate) async fn cut_off_subject_of(
        &self,
        session: &Session<C>,
        reach: Reach,
    ) -> Result<u64, OperationError> {
        let verified = session.verified();
        let login = verified.authenticated_at.unwrap_or(verified.issued_at);
        let home = self.home_of(session);
        home.cut_off_session(Cause::Logout(reach), session, home.now().max(login)).await
    }

    /// Revokes the session of that ID.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the store did not record it.
    pub async fn revoke_session(&self, session_id: &str) -> Result<(), OperationError> {
        let session_id = Some(session_id);
        self.record_session(Cause::RevokeSession, Whom { session_id, ..Whom::default() }).await
    }

    /// Revokes all sessions of a subject that have begun by now: after a change of the password, or
    /// when a user is removed.
    ///
    /// Later logins stay valid, whatever the clocks, on every replica: the layers and
    /// [`login`](Self::login) read from the store that there was this revocation. Only a login that could
    /// not read it, within 10 minutes, is revoked, too.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the store did not record it.
    pub async fn revoke_subject(&self, subject: &str) -> Result<(), OperationError> {
        self.cut_off_subject(None, subject).await
    }

    /// Revokes all sessions of a subject of one issuer, where these sessions accept several
    /// [tenants](crate::SessionsBuilder::tenants) or
    /// [issuers](crate::SessionsBuilder::also_accept_sessions): `issuer` is the `iss` of its tokens. Otherwise like
    /// [`revoke_subject`](Self::revoke_subject), which revokes the subject of every tenant.
    ///
    /// # Errors
    ///
    /// If these sessions do not accept the issuer, they have no revocations, or the store did not record it.
    pub async fn revoke_subject_of(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<(), OperationError> {
        let home = self.of_issuer(issuer).unwrap_or(self);
        home.cut_off_subject(Some(issuer), subject).await
    }

    /// Revokes all sessions of all subjects whose login was before `time`, at the latest now: after an
    /// incident. Renewals do not change the time of the login.
    ///
    /// Logins up to 10 minutes after `time` are revoked, too: clocks differ. It holds for all sessions
    /// with the same revocations.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or the store did not record it.
    pub async fn revoke_logins_before(&self, time: Timestamp) -> Result<(), OperationError> {
        // No session began before 1970.
        let earliest = Timestamp::from_unix_seconds(0);
        let at = time.clamp(earliest, self.now().max(earliest));
        let event = self.ending_event(Cause::RevokeLogins, Whom::default());
        let event = event.map(|mut draft| {
            draft.event.effective_at = Some(at);
            draft
        });
        self.record(Revocation::Cutoff { id: RegisterId::All, above: 0, at }, event).await.map(drop)
    }
}
