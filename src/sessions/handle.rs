//! [`Sessions`]: the object that an application builds. It makes the layers, and also issues and
//! validates directly.

use crate::sessions::counters::Counters;
use crate::sessions::issued::IssuedToken;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::HeaderValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::claims::values::LAST_SECOND;
use crate::claims::write::Payload as TokenClaims;
use crate::clock::Timestamp;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::error::rejection::{Rejection, RejectionKind};
use crate::keyring::ring::KeyRing;
use crate::revocation::handle::Revocations;
use crate::sessions::login::Login;
use crate::sessions::refresh_tokens::Refreshing;
use crate::sessions::session::Session;
use crate::token;
use crate::token::cache::TokenCache;
use crate::token::cache::entry::Shared;
use crate::token::checks::Nobody;
use crate::token::id::Ids;
use crate::token::policy::Policy;
use crate::token::verified::Verified;
use crate::transport::transports::Transports;

/// The bounds of an application's claims: serializable, deserializable, and shared by threads.
/// Implemented for every such type; use `()` for none.
///
/// They are written as members of the token's payload, beside the registered claims, whose names
/// they can't use: `iss sub aud iat nbf exp jti sid auth_time scope rv seq`.
pub trait SessionClaims: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<C: Serialize + DeserializeOwned + Send + Sync + 'static> SessionClaims for C {}

/// The sessions of a service: who issues them, for whom, how long, how they travel, with which
/// keys. `C` are the application's claims. Clones share it.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tower_jwt_session::{Login, KeyRing, Sessions, store::MemoryStore};
///
/// #[derive(Serialize, Deserialize)]
/// struct User {
///     name: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyRing::builder("app").store(MemoryStore::new()).open().await?;
/// let sessions = Sessions::<User>::builder(keys, "https://app.example", "app").build()?;
///
/// let login = Login::new("alice", User { name: "Alice".into() });
/// let token = sessions.issue(&login)?;
///
/// let session = sessions.validate(token.as_str())?;
/// assert_eq!(session.subject(), "alice");
/// assert_eq!(session.claims().name, "Alice");
///
/// let forged = format!("{}A", token.as_str());
/// assert!(sessions.validate(&forged).is_err());
/// # Ok(())
/// # }
/// ```
#[doc(alias = "jwt")]
pub struct Sessions<C>(pub(crate) Arc<Inner<C>>);

/// The identity of sessions; clones share it. A request carries it instead of a clone, whose reference
/// count all threads would write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionsId(u64);

impl SessionsId {
    pub(crate) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Relaxed))
    }
}

/// How long the later tokens of a session may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Later {
    /// Longer than the one that is issued now: a session that can begin can be renewed.
    Longer,
    /// As this one: there was room for it when the session began.
    AsThis,
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

pub(crate) struct Inner<C> {
    pub(crate) id: SessionsId,
    pub(crate) keys: KeyRing,
    pub(crate) counters: Counters,
    pub(crate) policy: Policy,
    pub(crate) idle_lifetime: Duration,
    pub(crate) absolute_lifetime: Duration,
    pub(crate) transports: Transports,
    pub(crate) cache: Option<TokenCache<C>>,
    pub(crate) refreshing: Option<Refreshing>,
    pub(crate) revocations: Option<Revocations>,
    /// Whether `iat` replaces a login time that is missing.
    pub(crate) revokes_by_issued_at: bool,
}

impl<C: SessionClaims> Sessions<C> {
    /// Issues a new session, with a new ID, for one idle lifetime.
    ///
    /// # Errors
    ///
    /// Fails if no key may sign, the claims can't be written, or the token is too long.
    #[doc(alias = "login")]
    pub fn issue(&self, login: &Login<C>) -> Result<IssuedToken, OperationError> {
        let issued = self.sign_login(login);
        self.0.counters.issued(&issued);
        issued
    }

    /// Returns a login that continues the session with other claims, for example after a role was
    /// granted; return it from the handler. The session keeps its ID, its scope and the time of its login.
    ///
    /// The old token stays valid until it expires. To remove a role, revoke the session, so that the user
    /// logs in again. A bearer client's refresh token keeps the claims of the login; this issues none.
    #[doc(alias = "role")]
    pub fn reissue(&self, session: &Session<C>, claims: C) -> Login<C> {
        let mut issue = Login::new(session.subject(), claims);
        issue.scope = session.scope().map(str::to_owned);
        issue.continues = Some(session.clone());
        issue
    }

    fn sign_login(&self, login: &Login<C>) -> Result<IssuedToken, OperationError> {
        let now = self.now();
        if let Some(session) = &login.continues {
            let claims = self.claims_of_login(login, session.session_id(), now);
            let refreshing = self.0.refreshing.as_ref().filter(|_| login.bearer);
            let lifetime = refreshing.map_or(self.0.idle_lifetime, |r| r.access_token_lifetime);
            return self.sign_again(session, claims, lifetime, Later::Longer, now);
        }
        let mut ids = Ids::default();
        let [session_id, jti] = ids.draw()?;
        let claims = self.claims_of_login(login, session_id, now);
        self.sign(now, self.0.idle_lifetime, Later::Longer, TokenClaims { jti, ..claims })
    }

    /// Returns the `Set-Cookie` field for a token, if no layer sets it.
    ///
    /// # Errors
    ///
    /// Fails if the sessions have no cookie transport, or name and value are too long for a cookie.
    pub fn set_cookie(&self, token: &IssuedToken) -> Result<HeaderValue, OperationError> {
        self.transports().cookie_of(token.as_str(), token.room)
    }

    /// Validates a token from a client.
    ///
    /// # Errors
    ///
    /// Fails if it is not a valid token of these sessions. The reason is for logs, not for the client.
    pub fn validate(&self, token: &str) -> Result<Session<C>, Rejection> {
        self.validate_bytes(token.as_bytes(), self.now())
    }

    /// Issues the session anew, with its ID and its login's time, if it is past half of its
    /// lifetime and that gains anything.
    pub(crate) fn renew(&self, session: &Session<C>) -> Result<IssuedToken, OperationError> {
        let renewed = self.sign_renewed(session);
        if !matches!(&renewed, Err(error) if error.kind() == OperationErrorKind::LifetimeReached) {
            self.0.counters.issued(&renewed);
        }
        renewed
    }

    fn sign_renewed(&self, session: &Session<C>) -> Result<IssuedToken, OperationError> {
        let now = self.now();
        // Without a login time there is no end to count from.
        let begun = session.authenticated_at().ok_or_else(OperationError::lifetime_reached)?;
        let latest = begun + self.0.absolute_lifetime;
        if (now + self.0.idle_lifetime).min(latest) <= session.expires_at() {
            return Err(OperationError::lifetime_reached());
        }
        let token = self.sign_again(
            session,
            self.claims_of(session.verified(), begun),
            self.0.idle_lifetime,
            Later::AsThis,
            now,
        )?;
        if token.expires_at <= session.expires_at() {
            return Err(OperationError::lifetime_reached());
        }
        Ok(token)
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
        let verified = session.verified();
        // The version is the one in which it was looked up, lest what was recorded between is missed.
        let rv = self.check_revocation(verified, now);
        let rv = rv.map_err(|kind| OperationError::rejected(Rejection::new(kind)))?;
        let auth_time = session.authenticated_at().ok_or_else(|| {
            let text =
                "the session's token has no `auth_time`, so it cannot be issued again: log in anew";
            OperationError::new(OperationErrorKind::InvalidClaims, text)
        })?;
        let mut ids = Ids::default();
        let [jti] = ids.draw()?;
        let claims = TokenClaims {
            jti,
            auth_time,
            // Never less than that of the login: revocations before it do not concern it.
            rv: rv.max(verified.revocations_version),
            ..claims
        };
        self.sign(now, lifetime, later, claims)
    }

    /// The claims of a new session's tokens; their IDs and times are set when they are signed.
    pub(crate) fn claims_of_login<'a>(
        &'a self,
        login: &'a Login<C>,
        session_id: &'a str,
        now: Timestamp,
    ) -> TokenClaims<'a, C> {
        TokenClaims {
            iss: &self.0.policy.issuer,
            sub: &login.subject,
            aud: &self.0.policy.audience,
            iat: now,
            exp: now,
            jti: "",
            sid: session_id,
            auth_time: now,
            scope: login.scope.as_deref(),
            rv: self.revocations().map_or(0, Revocations::version),
            seq: None,
            claims: &login.claims,
        }
    }

    /// The claims of a session's next tokens; their IDs and times are set when they are signed.
    pub(crate) fn claims_of<'a>(
        &'a self,
        verified: &'a Verified<C>,
        auth_time: Timestamp,
    ) -> TokenClaims<'a, C> {
        TokenClaims {
            iss: &self.0.policy.issuer,
            sub: verified.texts.subject(),
            aud: &self.0.policy.audience,
            iat: verified.issued_at,
            exp: verified.expires_at,
            jti: "",
            sid: verified.texts.session_id(),
            auth_time,
            scope: verified.texts.scope(),
            rv: verified.revocations_version,
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
        let key = keys.signer(now).ok_or_else(OperationError::no_signing_key)?;
        // Tokens hold whole seconds.
        let whole = |time: Timestamp| Timestamp::from_unix_seconds(time.as_unix_seconds());
        let issued_at = whole(now);
        let times = &key.scheduled.times;
        let longest = inner.policy.issued_lifetime(times);
        let expires_at = (issued_at + lifetime.min(longest))
            .min(claims.auth_time + inner.absolute_lifetime)
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
            Later::Longer => token::encode::room(&claims, self.revocations().is_some()),
            Later::AsThis => 0,
        };
        let (bytes, limit) = (token.len() + room, inner.policy.max_token_bytes);
        if bytes > limit {
            let limit = format_args!("max_token_bytes ({limit})");
            return Err(OperationError::too_long("token", bytes, limit));
        }
        Ok(IssuedToken { token, issued_at, expires_at, room })
    }
}

impl<C: DeserializeOwned + 'static> Sessions<C> {
    pub(crate) fn validate_bytes(
        &self,
        token: &[u8],
        now: Timestamp,
    ) -> Result<Session<C>, Rejection> {
        let (ring, mut is_cached) = (&self.0.keys, self.0.cache.as_ref().map(|_| true));
        let keys = ring.keys(now);
        let mut verify = || {
            is_cached = is_cached.map(|_| false);
            token::verify::verify(token, &keys, &self.0.policy, now, &mut Nobody)
        };
        let verified = match &self.0.cache {
            Some(cache) => cache.get_or_verify(token, &keys, now, verify),
            None => verify().map(Shared::Owned),
        };
        let checked = verified.and_then(|verified| {
            self.check_revocation(&verified, now).map_err(Rejection::new)?;
            Ok(verified)
        });
        match checked {
            Ok(verified) => {
                self.0.counters.valid(is_cached);
                Ok(Session::new(verified))
            }
            Err(rejection) => {
                self.note_invalid(is_cached, rejection.kind(), now);
                Err(rejection)
            }
        }
    }

    #[cold]
    fn note_invalid(&self, is_cached: Option<bool>, kind: RejectionKind, now: Timestamp) {
        let ring = &self.0.keys;
        self.0.counters.invalid(is_cached, kind);
        match kind {
            RejectionKind::UnknownKey => ring.request_refetch(now),
            RejectionKind::IssuedInFuture => ring.warn_of_future_token(now),
            _ => {}
        }
    }
}

impl<C> Sessions<C> {
    /// Returns the ring that signs these sessions.
    pub fn keys(&self) -> &KeyRing {
        &self.0.keys
    }

    /// Returns the revocations, if they are configured.
    pub fn revocations(&self) -> Option<&Revocations> {
        self.0.revocations.as_ref()
    }

    /// Refuses a session that is revoked. Returns the version of the revocations that it was checked
    /// against.
    pub(crate) fn check_revocation(
        &self,
        verified: &Verified<C>,
        now: Timestamp,
    ) -> Result<u64, RejectionKind> {
        let Some(revocations) = self.revocations() else { return Ok(0) };
        let mut candidate = verified.candidate();
        if candidate.authenticated_at.is_none() && self.0.revokes_by_issued_at {
            candidate.authenticated_at = Some(verified.issued_at);
        }
        revocations.check(candidate, self.0.policy.leeway, now)
    }

    pub(crate) fn transports(&self) -> &Transports {
        &self.0.transports
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.keys.now()
    }
}

impl<C> Clone for Sessions<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> fmt::Debug for Sessions<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("issuer", &self.0.policy.issuer)
            .field("audience", &self.0.policy.audience)
            .field("keys", &self.0.keys)
            .finish_non_exhaustive()
    }
}
