//! Claims that are to be reloaded: which sessions have stale ones.

use crate::error::operation::OperationError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::revocation::digest;
use crate::sessions::handle::Sessions;
use crate::sessions::session::Session;
use crate::token::verified::Verified;
use crate::transport::credential::Place;

impl<C> Sessions<C> {
    /// Has the claims of all sessions of a subject read again, by
    /// [`on_renewal`](crate::SessionsBuilder::on_renewal): after a role was granted or taken away. Nobody is
    /// logged out.
    ///
    /// On this replica from now on, on the others within
    /// [`refresh_bound`](crate::Revocations::refresh_bound):
    ///
    /// - A cookie session is renewed by its next request, at any age. That request itself still has the
    ///   old claims, and its response carries the new token. If the function fails, the claims stay, and
    ///   the next request tries again. A client that keeps the old cookie has the old claims until that token
    ///   expires.
    /// - A bearer token of sessions with refresh tokens is refused with 401 by the layers, as if it had
    ///   expired: the client redeems its refresh token, which calls the function. `validate` and
    ///   [`ended`](Self::ended) still accept it.
    /// - A bearer token of sessions without refresh tokens keeps its claims until it expires.
    ///
    /// To stop a session at once, [`revoke_subject`](Self::revoke_subject) instead.
    ///
    /// Tokens carry the version after which their claims were read (the claim `rc`; absent is 0), which the
    /// store raises with each call, and are stale below it. So clocks that differ neither hide a call nor
    /// repeat a renewal. The version is read before the function is called. A login within a minute and
    /// the clocks' difference after a call is renewed once more, since its handler may have read the claims
    /// before: with refresh tokens, its first access token is refused, and the client refreshes.
    ///
    /// # Errors
    ///
    /// If the sessions have no `on_renewal` or no revocations, or the store did not record it.
    #[doc(alias = "role")]
    #[doc(alias = "permission")]
    #[doc(alias = "SecurityStamp")]
    #[doc(alias = "session_auth_hash")]
    pub async fn reload_claims(&self, subject: &str) -> Result<(), OperationError> {
        if self.0.on_renewal.is_none() {
            return Err(OperationError::not_configured(
                "the sessions have no renewal hook that reads claims: add `.on_renewal(..)` to their \
                 builder",
            ));
        }
        self.mark_claims_stale(subject).await
    }

    /// Whether the claims of a session are to be reloaded.
    #[inline]
    pub(crate) fn has_stale_claims(&self, session: &Session<C>) -> bool {
        self.0.on_renewal.is_some() && self.is_stale(session.verified()) && self.is_own(session)
    }

    fn is_stale(&self, verified: &Verified<C>) -> bool {
        self.revocations().zip(verified.digests).is_some_and(|(revocations, digests)| {
            revocations.has_stale_claims(&digests.subject, verified.versions.claims)
        })
    }

    /// The version of stale claims that the next token of a session carries, if it has the same claims.
    /// Versions of two names of an issuer cannot be compared: under another name it begins at 0.
    pub(crate) fn kept_claims_version(&self, verified: &Verified<C>) -> u64 {
        let is_same_name = verified.texts.issuer() == &*self.0.policy.issuers.first;
        if is_same_name { verified.versions.claims } else { 0 }
    }

    /// The version that it carries if its claims are read now.
    pub(crate) fn next_claims_version(&self, verified: &Verified<C>) -> u64 {
        let revocations = self.revocations().filter(|_| self.0.on_renewal.is_some());
        let known = revocations.map_or(0, |revocations| {
            let (issuer, subject) = (&self.0.policy.issuers.first, verified.texts.subject());
            revocations.claims_version(&digest::of_subject(issuer, subject))
        });
        known.max(self.kept_claims_version(verified))
    }

    /// Refuses a session with stale claims whose client can get another token for its refresh token.
    ///
    /// # Errors
    ///
    /// Fails if the claims are stale, and the token did not come in the cookie.
    #[inline]
    pub(crate) fn refuse_stale_claims(
        &self,
        session: Session<C>,
        place: Place,
    ) -> Result<Session<C>, Rejection> {
        let is_refused = self.0.refreshing.is_some()
            && place != Place::Cookie
            && self.has_stale_claims(&session);
        if is_refused { Err(self.stale(session.verified())) } else { Ok(session) }
    }

    #[cold]
    fn stale(&self, verified: &Verified<C>) -> Rejection {
        let held = verified.versions.claims;
        let found = format_args!("claims of version {held}");
        let version = self.next_claims_version(verified);
        let expected = format_args!(
            "version {version}, by `reload_claims`; the client refreshes, also shortly after a login"
        );
        self.about_session(RejectionKind::StaleClaims.about("rc", found, expected), verified)
    }
}
