//! Signing the tokens of sessions: at a login, at a renewal, after a refresh.

use std::time::Duration;

use crate::audit::handle::Draft;
use crate::claims::values::LAST_SECOND;
use crate::claims::write::Payload as TokenClaims;
use crate::clock::Timestamp;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::revocation::digest;
use crate::revocation::versions::Versions;
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::issued::IssuedToken;
use crate::sessions::login::Login;
use crate::sessions::session::Session;
use crate::store::feed::Digest;
use crate::token;
use crate::token::id::Ids;
use crate::token::verified::Verified;

/// How long the later tokens of a session may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Later {
    /// Longer than the one that is issued now: a session that can begin can be renewed.
    Longer,
    /// As this one: there was room for it when the session began.
    AsThis,
}

impl<C: SessionClaims> Sessions<C> {
    /// Signs the token of a new session, or of one that continues with other claims. With the event of a new
    /// session's login.
    pub(crate) fn sign_login(
        &self,
        login: &Login<C>,
        versions: Versions,
    ) -> Result<(IssuedToken, Option<Draft>), OperationError> {
        let now = self.now();
        if let Some(session) = &login.continues {
            let begun = session.authenticated_at().unwrap_or(now);
            let pu = self.persistent_until(login, begun, true)?.or(session.persistent_until());
            let claims = self.claims_of_login(login, session.session_id(), versions, now);
            let refreshing = self.0.refreshing.as_ref().filter(|_| login.bearer);
            let lifetime =
                refreshing.map_or(self.0.lifetimes.of_token(pu), |r| r.access_token_lifetime);
            let claims = TokenClaims { pu, ..claims };
            let token = self.sign_again(session, claims, lifetime, Later::Longer, now)?;
            return Ok((token, None));
        }
        let mut ids = Ids::default();
        let [session_id, jti] = ids.draw()?;
        let pu = self.persistent_until(login, now, true)?;
        let claims = self.claims_of_login(login, session_id, versions, now);
        let claims = TokenClaims { jti, pu, ..claims };
        let token = self.sign(now, self.0.lifetimes.of_token(pu), Later::Longer, claims)?;
        Ok((token, self.login_event(&login.subject, session_id)))
    }

    /// Issues the session anew, with its ID and its login's time, and with other claims if there are some,
    /// which were read after that version of stale claims.
    ///
    /// # Errors
    ///
    /// Fails if that gains neither time nor claims, the session was revoked, or no token can be issued.
    pub(crate) fn renew(
        &self,
        session: &Session<C>,
        claims: Option<&C>,
        version: u64,
    ) -> Result<IssuedToken, OperationError> {
        let renewed = self.sign_renewed(session, claims, version);
        if !matches!(&renewed, Err(error) if error.kind() == OperationErrorKind::LifetimeReached) {
            self.0.counters.issued(&renewed);
        }
        renewed
    }

    /// Whether a renewal gains time or claims, and is due now: a later request renews a session whose login was
    /// under a cutoff that this replica has not read. Without a login time there is no end to count from.
    pub(crate) fn gains_from_renewal(&self, session: &Session<C>) -> bool {
        session.authenticated_at().is_some_and(|begun| {
            let (until, now) = (session.persistent_until(), self.now());
            let latest =
                (now + self.0.lifetimes.of_token(until)).min(self.0.lifetimes.end_of(until, begun));
            let gains_time = now < latest && gains_time(session, latest);
            let gains = gains_time || self.has_stale_claims(session);
            gains && !self.has_unread_version(session.verified(), now)
        })
    }

    fn sign_renewed(
        &self,
        session: &Session<C>,
        claims: Option<&C>,
        version: u64,
    ) -> Result<IssuedToken, OperationError> {
        if !self.gains_from_renewal(session) {
            return Err(OperationError::lifetime_reached());
        }
        let (lifetime, now) = (self.0.lifetimes.of_token(session.persistent_until()), self.now());
        let old = self.claims_of(session.verified(), session.login_time()?, now);
        let claims = TokenClaims { claims: claims.unwrap_or(old.claims), rc: version, ..old };
        let token = self.sign_again(session, claims, lifetime, Later::AsThis, now)?;
        if !gains_time(session, token.expires_at) && !self.has_stale_claims(session) {
            return Err(OperationError::lifetime_reached());
        }
        Ok(token)
    }

    /// When the session of a login ends that began then, if it is a persistent one.
    ///
    /// # Errors
    ///
    /// If the login's lifetime is out of range, or nothing renews its token.
    pub(crate) fn persistent_until(
        &self,
        login: &Login<C>,
        begun: Timestamp,
        in_cookie: bool,
    ) -> Result<Option<Timestamp>, OperationError> {
        let Some(lifetime) = login.persistent else { return Ok(None) };
        let Some(longest) = self.0.lifetimes.persistent else {
            return Err(OperationError::not_configured(
                "`Login::persistent` was called, but the sessions have no `persistent_lifetime`: add \
                 `.persistent_lifetime(..)` to their builder",
            ));
        };
        if lifetime < Duration::from_secs(1) || lifetime > longest {
            return Err(OperationError::not_configured(format!(
                "`Login::persistent` is {lifetime:?}, expected 1s to the sessions' \
                 persistent_lifetime ({longest:?}): give one in this range, or raise \
                 `.persistent_lifetime(..)` on their builder"
            )));
        }
        if in_cookie && (login.bearer || self.transports().cookie.is_none()) {
            return Err(OperationError::not_configured(
                "`Login::persistent` was called for a bearer token without a refresh token, which is \
                 not renewed: add `.refresh_tokens(..)` to the sessions, or log in by cookie",
            ));
        }
        let until = begun + lifetime;
        in_range(until)?;
        Ok(Some(until))
    }

    /// Signs the next token of a session, unless it is revoked.
    fn sign_again(
        &self,
        session: &Session<C>,
        claims: TokenClaims<'_, C>,
        lifetime: Duration,
        later: Later,
        now: Timestamp,
    ) -> Result<IssuedToken, OperationError> {
        if !self.is_own(session) {
            let text = "only its own issuer can issue a session again: get a new token there";
            return Err(OperationError::not_configured(text));
        }
        let verified = session.verified();
        self.check_revocation(verified, now).map_err(OperationError::rejected)?;
        let auth_time = session.login_time()?;
        let mut ids = Ids::default();
        let [jti] = ids.draw()?;
        let claims = TokenClaims {
            jti,
            auth_time,
            // SECURITY: those of the login. A cutoff since then concerns this session.
            rv: self.next_subject_version(verified, now),
            rg: verified.versions.all,
            ..claims
        };
        self.sign(now, lifetime, later, claims)
    }

    /// The versions of the cutoffs under which a login is made, as the store has them.
    pub(crate) async fn versions_for_login(&self, login: &Login<C>) -> Versions {
        match self.revocations() {
            Some(revocations) => revocations.versions_for_login(&self.subject(login)).await,
            None => Versions::default(),
        }
    }

    /// The same, as this replica knows them.
    pub(crate) fn known_versions(&self, login: &Login<C>) -> Versions {
        let revocations = self.revocations();
        revocations.map_or_else(Versions::default, |it| it.versions(&self.subject(login)))
    }

    fn subject(&self, login: &Login<C>) -> Digest {
        digest::of_subject(&self.0.policy.issuers.first, &login.subject)
    }

    /// The claims of a new session's tokens; their IDs and times are set when they are signed.
    pub(crate) fn claims_of_login<'a>(
        &'a self,
        login: &'a Login<C>,
        session_id: &'a str,
        versions: Versions,
        now: Timestamp,
    ) -> TokenClaims<'a, C> {
        TokenClaims {
            iss: &self.0.policy.issuers.first,
            sub: &login.subject,
            aud: &self.0.policy.audiences.first,
            iat: now,
            exp: now,
            jti: "",
            sid: session_id,
            auth_time: now,
            scope: login.scope.as_deref(),
            rv: versions.subject,
            rg: versions.all,
            rc: versions.claims,
            pu: None,
            seq: None,
            claims: &login.claims,
        }
    }

    /// The claims of a session's next tokens; their IDs and times are set when they are signed.
    pub(crate) fn claims_of<'a>(
        &'a self,
        verified: &'a Verified<C>,
        auth_time: Timestamp,
        now: Timestamp,
    ) -> TokenClaims<'a, C> {
        TokenClaims {
            iss: &self.0.policy.issuers.first,
            sub: verified.texts.subject(),
            aud: &self.0.policy.audiences.first,
            iat: verified.issued_at,
            exp: verified.expires_at,
            jti: "",
            sid: verified.texts.session_id(),
            auth_time,
            scope: verified.texts.scope(),
            rv: self.next_subject_version(verified, now),
            rg: verified.versions.all,
            rc: self.kept_claims_version(verified),
            pu: verified.persistent_until,
            seq: None,
            claims: &verified.claims,
        }
    }

    /// Signs claims, for a lifetime or less; their times are set here.
    pub(crate) fn sign(
        &self,
        now: Timestamp,
        lifetime: Duration,
        later: Later,
        claims: TokenClaims<'_, C>,
    ) -> Result<IssuedToken, OperationError> {
        if claims.sub.is_empty() {
            let text = "the subject is empty";
            return Err(OperationError::new(OperationErrorKind::InvalidClaims, text));
        }
        in_range(now)?;
        let inner = &*self.0;
        let keys = inner.keys.keys(now);
        let key = keys.signer(now).ok_or_else(|| inner.keys.no_signing_key(&keys, now))?;
        // Tokens hold whole seconds.
        let whole = |time: Timestamp| Timestamp::from_unix_seconds(time.as_unix_seconds());
        let issued_at = whole(now);
        let times = &key.scheduled.times;
        let longest = inner.policy.issued_lifetime(times);
        let expires_at = (issued_at + lifetime.min(longest))
            .min(self.0.lifetimes.end_of(claims.pu, claims.auth_time))
            .min(times.verifies_until - inner.policy.leeway);
        let expires_at = whole(expires_at);
        if expires_at <= issued_at {
            return Err(OperationError::lifetime_reached());
        }
        in_range(expires_at)?;
        // A login is never later than its token, though a clock was set back.
        let auth_time = claims.auth_time.min(issued_at);
        let claims = TokenClaims { iat: issued_at, exp: expires_at, auth_time, ..claims };
        let token = token::encode::encode(&claims, key)?;
        let room = match later {
            Later::Longer => token::encode::room(&claims) + self.room_for_claims_version(claims.rc),
            Later::AsThis => 0,
        };
        let (bytes, limit) = (token.len() + room, inner.policy.max_token_bytes);
        if bytes > limit {
            let limit = format_args!("max_token_bytes ({limit})");
            return Err(OperationError::too_long("token", bytes, limit));
        }
        let is_persistent = claims.pu.is_some();
        Ok(IssuedToken { token, issued_at, expires_at, room, is_persistent })
    }
}

impl<C> Session<C> {
    /// The time of the login, which every later token has, too.
    ///
    /// # Errors
    ///
    /// Fails if the token does not say it.
    pub(crate) fn login_time(&self) -> Result<Timestamp, OperationError> {
        self.authenticated_at().ok_or_else(|| {
            let text =
                "the session's token has no `auth_time`, so it cannot be issued again: log in anew";
            OperationError::new(OperationErrorKind::InvalidClaims, text)
        })
    }
}

impl<C> Sessions<C> {
    /// How many characters a later token of the session may have more, since its claims were reloaded.
    fn room_for_claims_version(&self, rc: u64) -> usize {
        let may_be_reloaded = self.0.on_renewal.is_some() && self.0.revocations.is_some();
        if may_be_reloaded && rc == 0 { token::encode::room_for_claims_version() } else { 0 }
    }
}

/// Whether a token that expires then is a gain. The end of a persistent session stays: its new token has a
/// current key and current claims.
fn gains_time<C>(session: &Session<C>, expires_at: Timestamp) -> bool {
    match session.persistent_until() {
        Some(_) => expires_at >= session.expires_at(),
        None => expires_at > session.expires_at(),
    }
}

/// Refuses a time that no token can carry.
fn in_range(time: Timestamp) -> Result<(), OperationError> {
    let seconds = time.as_unix_seconds();
    match u64::try_from(seconds) {
        Ok(since) if since <= LAST_SECOND => Ok(()),
        _ => {
            let text = format!(
                "the clock shows {seconds} seconds since 1970, expected 0 to {LAST_SECOND} (the end \
                 of the year 9999): set the clock of this machine"
            );
            Err(OperationError::new(OperationErrorKind::ClockOutOfRange, text))
        }
    }
}
