//! Revoking a session by one of its tokens: the logout of a client whose access token has expired.

use serde::de::IgnoredAny;

use crate::error::operation::OperationError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::sessions::handle::Sessions;
use crate::token;
use crate::token::checks::Nobody;
use crate::token::policy::Policy;

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
        let session_id = self.session_id_of(token).map_err(OperationError::rejected)?;
        self.revoke_session(&session_id).await
    }

    /// The session of a valid token of any type. Claims of another release, and revocations, do not matter:
    /// its session is to end.
    fn session_id_of(&self, token: &str) -> Result<Box<str>, Rejection> {
        let verify = |policy: &Policy| -> Result<Box<str>, Rejection> {
            let now = self.now();
            let keys = self.keys().keys(now);
            let verified = token::verify::verify::<IgnoredAny>(
                token.as_bytes(),
                &keys,
                policy,
                now,
                &mut Nobody,
            )?;
            Ok(verified.texts.session_id().into())
        };
        match self.0.refreshing.as_ref().map(|refreshing| verify(&refreshing.policy)) {
            Some(Err(rejection)) if rejection.kind() == RejectionKind::WrongType => {}
            Some(verified) => return verified,
            None => {}
        }
        verify(&self.0.policy)
    }
}
