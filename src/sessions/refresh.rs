//! Redeeming refresh tokens: which is good, and what follows it.

use std::sync::Arc;

use crate::audit::event::Outcome;
use crate::audit::handle::Draft;
use crate::base64url;
use crate::claims::write::Payload as TokenClaims;
use crate::clock::Timestamp;
use crate::crypto::backend;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::error::rejection::{Rejection, RejectionKind};
use crate::revocation::versions::Versions;
use crate::sessions::cause::{Cause, Whom};
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::hook::Renewal;
use crate::sessions::issued::IssuedTokens;
use crate::sessions::login::Login;
use crate::sessions::refresh_tokens::Refreshing;
use crate::sessions::session::Session;
use crate::sessions::sign::Later;
use crate::store::contract::{EntryName, StoreError};
use crate::store::redemption::Redemption;
use crate::token;
use crate::token::cache::entry::Shared;
use crate::token::checks::Nobody;
use crate::token::id::Ids;
use crate::token::verified::Verified;

impl<C: SessionClaims> Sessions<C> {
    /// Like [`login`](Self::login), for a client with a refresh token: returns an access token and a refresh
    /// token. For an answer with more members than the layer writes:
    ///
    /// ```
    /// use serde::Serialize;
    /// use tower_jwt_session::{Login, OperationError, Sessions, TokenResponse};
    ///
    /// #[derive(Serialize)]
    /// struct Answer<'a> {
    ///     #[serde(flatten)]
    ///     tokens: TokenResponse<'a>,
    ///     name: &'a str,
    /// }
    ///
    /// /// A body with the header `Cache-Control: no-store`.
    /// async fn log_in(sessions: &Sessions<()>) -> Result<serde_json::Value, OperationError> {
    ///     let tokens = sessions.login_with_refresh_token(&Login::new("alice", ())).await?;
    ///     let answer = Answer { tokens: tokens.response(), name: "Alice" };
    ///     Ok(serde_json::to_value(answer).unwrap_or_default())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the sessions have no refresh tokens, the session is one that was [reissued](Self::reissue), and as
    /// [`login`](Self::login).
    pub async fn login_with_refresh_token(
        &self,
        login: &Login<C>,
    ) -> Result<IssuedTokens, OperationError> {
        let (pair, event) = self.issue_pair_under(login, self.versions_for_login(login).await)?;
        if let Some(event) = event {
            event.record_first().await?;
        }
        Ok(pair)
    }

    /// Issues a new session like [`login_with_refresh_token`](Self::login_with_refresh_token), without reading
    /// the store. A login right after the subject was logged out everywhere by another replica may be revoked,
    /// too. An [audit sink](crate::audit::AuditSink) gets the event in the background.
    ///
    /// # Errors
    ///
    /// If the sessions have no refresh tokens, the session is one that was
    /// [reissued](Self::reissue), no key may sign, the claims can't be written, or a token gets too
    /// long.
    pub fn issue_with_refresh_token(
        &self,
        login: &Login<C>,
    ) -> Result<IssuedTokens, OperationError> {
        let (pair, event) = self.issue_pair_under(login, self.known_versions(login))?;
        event.into_iter().for_each(Draft::note);
        Ok(pair)
    }

    /// Issues the pair of a login, with the event that the caller has recorded.
    pub(crate) fn issue_pair_under(
        &self,
        login: &Login<C>,
        versions: Versions,
    ) -> Result<(IssuedTokens, Option<Draft>), OperationError> {
        if login.continues.is_some() {
            // Its client has one already.
            return Err(no_refresh_tokens());
        }
        let now = self.now();
        let mut ids = Ids::default();
        let [session_id] = ids.draw()?;
        let issued = self.persistent_until(login, now, false).and_then(|pu| {
            let claims = self.claims_of_login(login, session_id, versions, now);
            self.sign_pair(0, now, Later::Longer, &TokenClaims { pu, ..claims })
        });
        self.0.counters.issued(&issued);
        Ok((issued?, self.login_event(&login.subject, session_id)))
    }

    /// Redeems a refresh token for the next access token and the next refresh token.
    ///
    /// # Errors
    ///
    /// If it is not a good one, the [renewal hook](crate::SessionsBuilder::on_renewal) ends the session, the
    /// store can't record that it was redeemed, or its successor can't be issued. In the last two cases it
    /// may be tried again.
    pub async fn refresh(&self, refresh_token: &str) -> Result<IssuedTokens, OperationError> {
        let refreshed = self.redeem(refresh_token).await;
        self.0.counters.refreshed(&refreshed.as_ref().map(|(_, is_repeated)| *is_repeated));
        match &refreshed {
            Ok(_) => self.0.counters.issued(&Ok(())),
            // Tokens that could not be issued are counted where they are signed.
            Err(error) => {
                if let Some(kind) = error.rejection().map(Rejection::kind) {
                    self.0.counters.rejected(kind);
                    if kind == RejectionKind::IssuedInFuture {
                        self.0.keys.warn_of_future_token(self.now());
                    }
                }
            }
        }
        refreshed.map(|(tokens, _)| tokens)
    }

    /// Reads the revocations if a token claims the version of a cutoff that this replica has not read.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read or does not show that version: the client tries again.
    async fn read_claimed_version(&self, verified: &Verified<C>) -> Result<(), OperationError> {
        let Some(revocations) = self.revocations() else { return Ok(()) };
        if self.has_unread_version(verified, self.now()) {
            let read = revocations.refresh().await;
            if self.has_unread_version(verified, self.now()) {
                read?;
                return Err(OperationError::rejected(revocations.unread()));
            }
            self.check_revocation(verified, self.now()).map_err(OperationError::rejected)?;
        }
        Ok(())
    }

    /// Returns the next pair, and whether the token was redeemed before.
    async fn redeem(&self, refresh_token: &str) -> Result<(IssuedTokens, bool), OperationError> {
        let now = self.now();
        let refreshing = self.refreshing()?;
        let (verified, sequence) = self
            .verify_refresh_token(refresh_token, refreshing, now)
            .map_err(OperationError::rejected)?;
        self.read_claimed_version(&verified).await?;
        // For a repeated redemption, too: the old claims shall not come back by asking twice. What makes a
        // repetition is the token's number alone, whatever the claims.
        // SECURITY: before the application reads, so that a change meanwhile is not missed. If that fails, the
        // version counts, too: the access token would be refused again, and the next refresh asks anyway.
        let version = self.next_claims_version(&verified);
        let claims = self.ask_at_refresh(&verified).await?;
        let fresh = (claims.as_ref(), version);
        let now = self.now();
        // Before anything is recorded: what can't be issued shall not cost the token.
        let tokens = self.successor(&verified, fresh, sequence, now)?;
        let Some(redemptions) = &refreshing.redemptions else { return Ok((tokens, false)) };
        let redemption = self.redemption(&verified, sequence, now);
        let redemption = redemption.map_err(OperationError::rejected)?;
        let last = redemptions.redeem(&redemption).await;
        let last = last.map_err(|error| OperationError::store(Arc::new(error)))?;
        if (last.sequence, last.at) == (sequence, now) {
            return Ok((tokens, false));
        }
        let leeway = refreshing.policy.leeway;
        if last.at > now + leeway {
            // SECURITY: the successor's times follow from this one, and nothing seals it: someone who
            // can write the store shall not choose when a token is good.
            let at = last.at;
            let error = StoreError::new(format!(
                "the store says that a refresh token was redeemed at {at}, which is more than \
                 clock_skew ({leeway:?}) ahead of this replica's clock: check the clocks"
            ));
            return Err(OperationError::store(Arc::new(error)));
        }
        if last.sequence == sequence && now - last.at <= refreshing.grace + leeway {
            let mut tokens = self.successor(&verified, fresh, sequence, last.at)?;
            // The client counts its lifetime from now.
            let now = Timestamp::from_unix_seconds(now.as_unix_seconds());
            tokens.access_token.issued_at = tokens.access_token.issued_at.max(now);
            return Ok((tokens, true));
        }
        let whom = Whom {
            issuer: Some(verified.texts.issuer()),
            session_id: Some(verified.texts.session_id()),
            subject: Some(verified.texts.subject()),
        };
        if let Err(error) = self.record_session(Cause::ReusedRefreshToken, whom).await {
            if let Some(mut draft) = self.ending_event(Cause::ReusedRefreshToken, whom) {
                draft.event.outcome = Outcome::Failed;
                draft.record().await;
            }
            return Err(error);
        }
        let reused = Rejection::new(RejectionKind::Reused);
        Err(OperationError::rejected(self.about_session(reused, &verified)))
    }

    /// The claims with which the session goes on, in place of its own.
    ///
    /// # Errors
    ///
    /// Fails if the session ends, and if that could not be recorded.
    async fn ask_at_refresh(
        &self,
        verified: &Arc<Verified<C>>,
    ) -> Result<Option<C>, OperationError> {
        let session = Session::new(Shared::Owned(verified.clone()));
        let claims = match self.ask_hook(&session).await {
            None | Some(Renewal::Keep) => None,
            Some(Renewal::Replace(claims)) => Some(claims),
            Some(Renewal::End) => {
                self.end_by_hook(&session).await?;
                return Err(rejected(RejectionKind::Revoked));
            }
        };
        // It may have been revoked meanwhile.
        self.check_revocation(verified, self.now()).map_err(OperationError::rejected)?;
        Ok(claims)
    }

    fn verify_refresh_token(
        &self,
        refresh_token: &str,
        refreshing: &Refreshing,
        now: Timestamp,
    ) -> Result<(Arc<Verified<C>>, u32), Rejection> {
        let keys = self.0.keys.keys(now);
        let verified: Arc<Verified<C>> = token::verify::verify(
            refresh_token.as_bytes(),
            &keys,
            &refreshing.policy,
            now,
            &mut Nobody,
        )?;
        self.check_revocation(&verified, now)?;
        let missing = || Rejection::new(RejectionKind::MissingClaim("seq"));
        let sequence = verified.sequence.ok_or_else(missing)?;
        Ok((verified, sequence))
    }

    /// The pair that follows a refresh token which was redeemed at `at`.
    fn successor(
        &self,
        verified: &Verified<C>,
        (claims, rc): (Option<&C>, u64),
        sequence: u32,
        at: Timestamp,
    ) -> Result<IssuedTokens, OperationError> {
        let invalid = || rejected(RejectionKind::InvalidClaim("seq"));
        let next = sequence.checked_add(1).ok_or_else(invalid)?;
        let missing = || rejected(RejectionKind::MissingClaim("auth_time"));
        let begun = verified.authenticated_at.ok_or_else(missing)?;
        let old = self.claims_of(verified, begun, self.now());
        let claims = TokenClaims { claims: claims.unwrap_or(old.claims), rc, ..old };
        let pair = self.sign_pair(next, at, Later::AsThis, &claims);
        if matches!(&pair, Err(error) if error.kind() == OperationErrorKind::LifetimeReached) {
            return Err(rejected(RejectionKind::Expired));
        }
        if pair.is_err() {
            self.0.counters.issued(&pair);
        }
        pair
    }

    fn redemption(
        &self,
        verified: &Verified<C>,
        sequence: u32,
        at: Timestamp,
    ) -> Result<Redemption, Rejection> {
        let invalid = || Rejection::new(RejectionKind::InvalidClaim("sid"));
        let family = EntryName::parse(verified.texts.session_id()).ok_or_else(invalid)?;
        let policy = &self.0.policy;
        // As long as one of its tokens can be accepted that was issued until now, by any clock.
        let lifetime = policy.max_lifetime.max(verified.expires_at - verified.issued_at);
        let keep_for = lifetime.saturating_add(policy.leeway.saturating_mul(3));
        Ok(Redemption { family, sequence, at, keep_for })
    }

    fn refreshing(&self) -> Result<&Refreshing, OperationError> {
        self.0.refreshing.as_ref().ok_or_else(no_refresh_tokens)
    }

    /// Signs the pair of that sequence, which began at `at`.
    ///
    /// All that is new in it comes from its session, its sequence and `at`: with the same claims, every
    /// replica issues the same at any time.
    pub(crate) fn sign_pair(
        &self,
        sequence: u32,
        at: Timestamp,
        later: Later,
        claims: &TokenClaims<'_, C>,
    ) -> Result<IssuedTokens, OperationError> {
        let refreshing = self.refreshing()?;
        let derived = |token: &str| {
            let of = format!("{token}.{}.{sequence}.{}", claims.sid, at.as_unix_millis());
            backend::sha256([of.as_bytes()])
        };
        let [of_access, of_refresh] = [derived("access"), derived("refresh")];
        let [access_token_id, refresh_token_id] =
            [of_access, of_refresh].map(|hash| base64url::encode(&hash[..16]));
        let lifetime = refreshing.access_token_lifetime;
        let jitter = lifetime / JITTER_PART * u32::from(of_access[31]) / 256;
        let pair = |jti, seq| TokenClaims { jti, seq, ..*claims };
        let sign = |lifetime, claims| self.sign(at, lifetime, later, claims);
        let access_token = sign(lifetime - jitter, pair(&*access_token_id, None))?;
        let refresh_token = sign(refreshing.lifetime, pair(&*refresh_token_id, Some(sequence)))?;
        Ok(IssuedTokens { access_token, refresh_token, scope: claims.scope.map(Box::from) })
    }
}

/// An access token ends by up to this part of its lifetime early.
const JITTER_PART: u32 = 20;

fn rejected(kind: RejectionKind) -> OperationError {
    OperationError::rejected(Rejection::new(kind))
}

fn no_refresh_tokens() -> OperationError {
    OperationError::not_configured(
        "the sessions have no refresh tokens: add `.refresh_tokens(..)` to their builder",
    )
}
