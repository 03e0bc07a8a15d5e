//! Renewals whose claims the application's hook answers.

use crate::error::operation::OperationError;
use crate::sessions::cause::{Cause, Whom};
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::hook::Renewal;
use crate::sessions::issued::IssuedToken;
use crate::sessions::session::Session;

/// How a renewal went.
pub(crate) enum Renewed {
    By(IssuedToken),
    Ended,
    /// The session stays as it is.
    Not,
}

impl<C: SessionClaims> Sessions<C> {
    /// Asks the application with which claims a session goes on. None if there is no hook, or it failed,
    /// hung or panicked: then the claims stay.
    pub(crate) async fn ask_hook(&self, session: &Session<C>) -> Option<Renewal<C>> {
        let hook = self.0.on_renewal.as_ref()?;
        hook.ask(session.clone(), self.keys().name(), self.now()).await
    }

    /// Renews a session with the claims that the hook answers. If the hook fails, the session stays as it
    /// is, and the next request tries again: the old claims go on until the end of this token, and no
    /// further.
    ///
    /// # Errors
    ///
    /// Fails if no token can be issued.
    pub(crate) async fn renew_by_hook(
        &self,
        session: &Session<C>,
    ) -> Result<Renewed, OperationError> {
        // SECURITY: before the application reads, so that a change meanwhile is not missed.
        let version = self.next_claims_version(session.verified());
        let claims = match self.ask_hook(session).await {
            None => return Ok(Renewed::Not),
            Some(Renewal::Keep) => None,
            Some(Renewal::Replace(claims)) => Some(claims),
            Some(Renewal::End) => {
                let session_id = session.session_id();
                if let Err(error) = self.end_by_hook(session).await {
                    tracing::error!(session_id, %error, "cannot revoke a session that the renewal hook ended");
                }
                return Ok(Renewed::Ended);
            }
        };
        self.renew(session, claims.as_ref(), version).map(Renewed::By)
    }

    /// Revokes a session that the hook has ended, if there are revocations.
    ///
    /// # Errors
    ///
    /// Fails if the store did not record it.
    pub(crate) async fn end_by_hook(&self, session: &Session<C>) -> Result<(), OperationError> {
        let cause = Cause::RenewalHook;
        if self.revocations().is_some() {
            return self.record_session(cause, Whom::of(session)).await;
        }
        if let Some(event) = self.cookie_event(cause, session) {
            event.record().await;
        }
        Ok(())
    }
}
