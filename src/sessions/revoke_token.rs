//! Revoking a session by one of its tokens: the logout of a client whose access token has expired.

use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::error::operation::OperationError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::sessions::cause::{Cause, Whom};
use crate::sessions::handle::Sessions;
use crate::token;
use crate::token::checks::Nobody;
use crate::token::policy::Policy;
use crate::token::verified::Verified;

impl<C> Sessions<C> {
    /// Revokes the session of a refresh token, or of a session token: no token of the session is accepted
    /// any more, and no refresh token redeemed. A refresh token that was redeemed before will do.
    /// [`token_router`](Self::token_router) has the route (RFC 7009).
    ///
    /// # Errors
    ///
    /// Fails if the sessions have no revocations, the token is not a valid one of these sessions (its
    /// [`rejection`](OperationError::rejection) says why), or the store did not record it. In the last
    /// case the session stays valid: try again.
    pub async fn revoke_token(&self, token: &str) -> Result<(), OperationError> {
        // Before the token is looked at: the answer is the same for every token.
        self.require_revocations()?;
        let verified = self.verify_any(token).map_err(OperationError::rejected)?;
        let (session_id, subject) = (verified.texts.session_id(), verified.texts.subject());
        let issuer = Some(verified.texts.issuer());
        let whom = Whom { issuer, session_id: Some(session_id), subject: Some(subject) };
        self.record_session(Cause::RevokeToken, whom).await
    }

    /// A valid token of any type. Claims of another release, and revocations, do not matter: its session is
    /// to end.
    fn verify_any(&self, token: &str) -> Result<Arc<Verified<IgnoredAny>>, Rejection> {
        let verify = |policy: &Policy| {
            let now = self.now();
            let keys = self.keys().keys(now);
            token::verify::verify(token.as_bytes(), &keys, policy, now, &mut Nobody)
        };
        match self.0.refreshing.as_ref().map(|refreshing| verify(&refreshing.policy)) {
            Some(Err(rejection)) if rejection.kind() == RejectionKind::WrongType => {}
            Some(verified) => return verified,
            None => {}
        }
        verify(&self.0.policy)
    }
}
