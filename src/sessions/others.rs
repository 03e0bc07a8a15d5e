//! Logging out a subject's other sessions: a cutoff of all, above which the session at hand begins anew.

use crate::claims::write::Payload as TokenClaims;
use crate::error::operation::OperationError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::revocation::versions::Versions;
use crate::sessions::counters::LogoutOutcome;
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::hook::Renewal;
use crate::sessions::issued::{IssuedToken, IssuedTokens};
use crate::sessions::logout::Reach;
use crate::sessions::session::Session;
use crate::sessions::sign::Later;
use crate::store::feed::Register;
use crate::token::id::Ids;

/// Signs the tokens of a session that begins anew, with these claims instead of the old ones, if there are some.
type Sign<C, T> = fn(&Sessions<C>, &Session<C>, Versions, Option<&C>) -> Result<T, OperationError>;

impl<C: SessionClaims> Sessions<C> {
    /// Revokes all sessions of the same subject but this one, and returns the new token of this one: after
    /// a change of the password, where no layer does it. A handler returns
    /// [`Logout::others`](crate::Logout::others) instead.
    ///
    /// The session continues under a new ID, with its claims, its scope and the time of its login. Claims that are
    /// to be [reloaded](Self::reload_claims) are read again. All its
    /// tokens until now are revoked with the others, copies included. It is no new login: the
    /// [`absolute_lifetime`](crate::SessionsBuilder::absolute_lifetime) counts from the old one. To begin
    /// a new one, [`revoke_subject`](Self::revoke_subject) and return a [`Login`](crate::Login).
    ///
    /// The other sessions end on every replica as after [`logout_everywhere`](Self::logout_everywhere). If
    /// this replica stops before it answers, this session may be logged out, too.
    ///
    /// # Security
    ///
    /// Ask for the password on this route, or require
    /// [`max_auth_age`](crate::layer::ValidateLayer::max_auth_age): the holder of a stolen session can log
    /// out its owner. A session that was logged out before this call is refused. One that is logged out
    /// within the milliseconds in which this call writes can stay valid, to the end of its
    /// `absolute_lifetime`.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, the session was revoked, its new token can't be issued, or the
    /// store did not record it. No session has changed then.
    pub async fn logout_others(&self, session: &Session<C>) -> Result<IssuedToken, OperationError> {
        self.log_out_others(session, Self::sign_anew).await
    }

    /// Like [`logout_others`](Self::logout_others), for a client with a refresh token: returns the new pair.
    /// Its refresh token until now is revoked, too.
    ///
    /// # Errors
    ///
    /// If the sessions have no refresh tokens, and as [`logout_others`](Self::logout_others).
    pub async fn logout_others_with_refresh_token(
        &self,
        session: &Session<C>,
    ) -> Result<IssuedTokens, OperationError> {
        self.log_out_others(session, Self::sign_pair_anew).await
    }

    /// Like [`logout_others`](Self::logout_others), for a token that has to fit the cookie.
    pub(crate) async fn logout_others_by_cookie(
        &self,
        session: &Session<C>,
    ) -> Result<IssuedToken, OperationError> {
        let sign: Sign<C, IssuedToken> = |sessions, session, versions, claims| {
            let token = sessions.sign_anew(session, versions, claims)?;
            sessions.set_cookie(&token).map(|_| token)
        };
        self.log_out_others(session, sign).await
    }

    async fn log_out_others<T>(
        &self,
        session: &Session<C>,
        sign: Sign<C, T>,
    ) -> Result<T, OperationError> {
        if !self.is_own(session) {
            let text = "only its own issuer can issue a session again: use `logout_everywhere`";
            return Err(OperationError::not_configured(text));
        }
        let revocations = self.require_revocations()?;
        // SECURITY: before all is read, since a session can be logged out while the application answers.
        let (claims, claims_version) = self.claims_now(session).await?;
        // SECURITY: a session that was logged out elsewhere must not rise above its own cutoff, so all is
        // read that was recorded until now.
        let refreshed = revocations.refresh().await;
        refreshed.inspect_err(|_| {
            self.0.counters.logged_out(Reach::Others, LogoutOutcome::Failed);
        })?;
        let verified = session.verified();
        self.check_revocation(verified, self.now()).map_err(OperationError::rejected)?;
        // Before anything is recorded: a token that can't be issued shall not cost the session.
        let versions = |subject| Versions { subject, claims: claims_version, ..verified.versions };
        sign(self, session, versions(Register::MAX_VERSION), claims.as_ref())?;
        let version = self.cut_off_subject_of(session, Reach::Others).await?;
        let issued = sign(self, session, versions(version), claims.as_ref()).map_err(|error| {
            tracing::error!(%error, "a session could not be issued");
            // It has ended with the others.
            rejected(RejectionKind::Revoked)
        });
        self.0.counters.issued(&issued);
        issued
    }

    /// The claims in place of stale ones, and the version after which they were read.
    ///
    /// # Errors
    ///
    /// If the renewal hook ends the session, and if that could not be recorded.
    async fn claims_now(&self, session: &Session<C>) -> Result<(Option<C>, u64), OperationError> {
        let kept = self.kept_claims_version(session.verified());
        if !self.has_stale_claims(session) {
            return Ok((None, kept));
        }
        // SECURITY: before the application reads, so that a change meanwhile is not missed.
        let version = self.next_claims_version(session.verified());
        match self.ask_hook(session).await {
            // The next request asks again.
            None => Ok((None, kept)),
            Some(Renewal::Keep) => Ok((None, version)),
            Some(Renewal::Replace(claims)) => Ok((Some(claims), version)),
            Some(Renewal::End) => {
                self.end_by_hook(session).await?;
                Err(rejected(RejectionKind::Revoked))
            }
        }
    }

    fn sign_anew(
        &self,
        session: &Session<C>,
        versions: Versions,
        claims: Option<&C>,
    ) -> Result<IssuedToken, OperationError> {
        let mut ids = Ids::default();
        let [session_id, jti] = ids.draw()?;
        let claims = self.claims_anew(session, session_id, versions, claims)?;
        let lifetime = self.0.lifetimes.of_token(claims.pu);
        self.sign(self.now(), lifetime, Later::Longer, TokenClaims { jti, ..claims })
    }

    fn sign_pair_anew(
        &self,
        session: &Session<C>,
        versions: Versions,
        claims: Option<&C>,
    ) -> Result<IssuedTokens, OperationError> {
        let mut ids = Ids::default();
        let [session_id] = ids.draw()?;
        let claims = self.claims_anew(session, session_id, versions, claims)?;
        self.sign_pair(0, self.now(), Later::Longer, &claims)
    }

    fn claims_anew<'a>(
        &'a self,
        session: &'a Session<C>,
        sid: &'a str,
        versions: Versions,
        claims: Option<&'a C>,
    ) -> Result<TokenClaims<'a, C>, OperationError> {
        let old = self.claims_of(session.verified(), session.login_time()?, self.now());
        let claims = claims.unwrap_or(old.claims);
        let Versions { subject: rv, all: rg, claims: rc } = versions;
        Ok(TokenClaims { sid, rv, rg, rc, claims, ..old })
    }
}

fn rejected(kind: RejectionKind) -> OperationError {
    OperationError::rejected(Rejection::new(kind))
}
