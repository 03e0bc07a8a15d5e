//! [`Sessions`]: the one object an application builds. It hands out the layers, and also issues and
//! validates directly.

mod foreign;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::error::{BuildError, IssueError, Rejection, RejectionKind};
use crate::issue::{EndError, EndSession, IssueSession};
use crate::keys::KeyRing;
use crate::session::Session;
use crate::token::{self, Policy, TokenClaims};
use crate::transport::{CookieTransport, Transports, WebSocketProtocol};
use foreign::ForeignTokens;

/// What an application's claims have to be: written and read by serde, and shared by threads.
/// Implemented for everything that is; `()` for none.
///
/// They are written as members of the token's payload, beside the registered claims, whose names
/// they can't use: `iss sub aud iat nbf exp jti sid auth_time scope rv`.
pub trait SessionClaims: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<C: Serialize + DeserializeOwned + Send + Sync + 'static> SessionClaims for C {}

/// The sessions of a service: who issues them, for whom, how long, how they travel, with which
/// keys. `C` are the application's claims. Clones share it.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tower_jwt_session::{IssueSession, KeyRing, Sessions, store::MemoryStore};
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
/// let login = IssueSession::new("alice", User { name: "Alice".into() });
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
pub struct Sessions<C>(Arc<Inner<C>>);

struct Inner<C> {
    keys: KeyRing,
    policy: Policy,
    idle_lifetime: Duration,
    absolute_lifetime: Duration,
    transports: Transports,
    claims: PhantomData<fn() -> C>,
}

impl<C: SessionClaims> Sessions<C> {
    /// Begins the sessions of `issuer` for `audience`, signed by `keys`. Tokens of another issuer
    /// or for another audience are refused.
    pub fn builder(
        keys: KeyRing,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> SessionsBuilder<C> {
        SessionsBuilder {
            keys,
            issuer: issuer.into(),
            audience: audience.into(),
            idle_lifetime: Duration::from_secs(60 * 60),
            absolute_lifetime: Duration::from_secs(12 * 60 * 60),
            max_token_bytes: 8 * 1024,
            transports: Transports::default(),
            foreign: ForeignTokens::default(),
            claims: PhantomData,
        }
    }

    /// Issues a new session: with an ID of its own, for one idle lifetime.
    ///
    /// # Errors
    ///
    /// If no key may sign, the claims can't be written, or the token gets too long.
    pub fn issue(&self, login: &IssueSession<C>) -> Result<IssuedToken, IssueError> {
        let now = self.now();
        let [session_id, token_id] = token::random_ids(now)?;
        self.sign(
            now,
            TokenClaims {
                iss: &self.0.policy.issuer,
                sub: &login.subject,
                aud: &self.0.policy.audience,
                iat: now,
                exp: now,
                jti: &token_id,
                sid: &session_id,
                auth_time: now,
                scope: login.scope.as_deref(),
                claims: &login.claims,
            },
        )
    }

    /// The `Set-Cookie` field that carries a token, where no layer does it.
    ///
    /// # Errors
    ///
    /// If the sessions have no cookie transport, or name and value are too long for a cookie.
    pub fn set_cookie(&self, token: &IssuedToken) -> Result<HeaderValue, IssueError> {
        self.transports().cookie_of(token.as_str())
    }

    /// Validates a token as it came from a client.
    ///
    /// # Errors
    ///
    /// If it is not a valid token of these sessions. The reason is for logs, not for the client.
    pub fn validate(&self, token: &str) -> Result<Session<C>, Rejection> {
        self.validate_bytes(token.as_bytes(), self.now())
    }

    /// Ends a session: for a logout. Return the result from the handler, so that the layer clears
    /// the cookie.
    ///
    /// What it can and cannot do: it takes the token from this client. A copy of the token, if
    /// someone has made one, stays valid until it expires, for at most one idle lifetime; a short
    /// idle lifetime is what bounds that.
    ///
    /// # Errors
    ///
    /// If the end had to be recorded and could not be. Nothing is recorded yet, so this does not
    /// happen yet.
    pub async fn end(&self, session: &Session<C>) -> Result<EndSession, EndError> {
        tracing::debug!(session_id = session.session_id(), "a session ends");
        Ok(EndSession::new(self.transports().clearing_cookie()))
    }

    /// Issues the session anew, with its ID and its login's time, if it is past half of its
    /// lifetime and that gains anything.
    pub(crate) fn renew(&self, session: &Session<C>) -> Result<IssuedToken, IssueError> {
        let now = self.now();
        let latest = session.authenticated_at() + self.0.absolute_lifetime;
        if (now + self.0.idle_lifetime).min(latest) <= session.expires_at() {
            return Err(IssueError::LifetimeReached);
        }
        let [token_id] = token::random_ids(now)?;
        let token = self.sign(
            now,
            TokenClaims {
                iss: &self.0.policy.issuer,
                sub: session.subject(),
                aud: &self.0.policy.audience,
                iat: now,
                exp: now,
                jti: &token_id,
                sid: session.session_id(),
                auth_time: session.authenticated_at(),
                scope: session.scope(),
                claims: session.claims(),
            },
        )?;
        if token.expires_at <= session.expires_at() {
            return Err(IssueError::LifetimeReached);
        }
        Ok(token)
    }

    /// Signs claims; their `exp` is set here.
    fn sign(&self, now: Timestamp, claims: TokenClaims<'_, C>) -> Result<IssuedToken, IssueError> {
        if claims.sub.is_empty() {
            return Err(IssueError::EmptySubject);
        }
        let inner = &*self.0;
        let keys = inner.keys.keys(now);
        let key = keys.signer(now).ok_or(IssueError::NoSigningKey)?;
        // Tokens hold whole seconds.
        let whole = |time: Timestamp| Timestamp::from_unix_seconds(time.as_unix_seconds());
        let issued_at = whole(now);
        let times = &key.scheduled.times;
        let longest = inner.policy.issued_lifetime(times);
        let expires_at = (issued_at + inner.idle_lifetime.min(longest))
            .min(claims.auth_time + inner.absolute_lifetime)
            .min(times.verifies_until - inner.policy.leeway);
        let expires_at = whole(expires_at);
        if expires_at <= issued_at {
            return Err(IssueError::LifetimeReached);
        }
        let token = token::encode(&TokenClaims { exp: expires_at, ..claims }, key)?;
        let limit = inner.policy.max_token_bytes;
        if token.len() > limit {
            return Err(IssueError::TokenTooLong { bytes: token.len(), limit });
        }
        Ok(IssuedToken { token, issued_at, expires_at })
    }
}

impl<C: DeserializeOwned> Sessions<C> {
    pub(crate) fn validate_bytes(
        &self,
        token: &[u8],
        now: Timestamp,
    ) -> Result<Session<C>, Rejection> {
        let verified = token::verify(token, &self.0.keys.keys(now), &self.0.policy, now);
        let verified = verified.inspect_err(|kind| {
            if *kind == RejectionKind::UnknownKey {
                self.0.keys.note_unknown_key(now);
            }
        })?;
        Ok(Session::new(verified))
    }
}

impl<C> Sessions<C> {
    /// The ring that signs these sessions.
    pub fn keys(&self) -> &KeyRing {
        &self.0.keys
    }

    pub(crate) fn transports(&self) -> &Transports {
        &self.0.transports
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.keys.now()
    }

    /// Whether both are clones of one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
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

/// Builds [`Sessions`].
#[derive(Debug)]
#[must_use]
pub struct SessionsBuilder<C> {
    keys: KeyRing,
    issuer: String,
    audience: String,
    idle_lifetime: Duration,
    absolute_lifetime: Duration,
    max_token_bytes: usize,
    transports: Transports,
    foreign: ForeignTokens,
    claims: PhantomData<fn() -> C>,
}

impl<C: SessionClaims> SessionsBuilder<C> {
    /// How long a token is valid, and so how long a session lives without a request. A cookie
    /// session past half of it is renewed by the next request. At least one second, at most the
    /// ring's [`max_token_lifetime`](crate::RotationPolicy::max_token_lifetime). Default: 1 hour.
    pub fn idle_lifetime(mut self, lifetime: Duration) -> Self {
        self.idle_lifetime = lifetime;
        self
    }

    /// How long a session lives at most, from its login, however often it is renewed. Default: 12
    /// hours.
    pub fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.absolute_lifetime = lifetime;
        self
    }

    /// The longest token that is issued or accepted, in bytes: 512 to 65,536. Default: 8,192.
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Carries sessions in this cookie, and accepts bearer tokens too.
    #[cfg(feature = "cookie")]
    pub fn cookie(mut self, cookie: CookieTransport) -> Self {
        self.transports.cookie = Some(cookie);
        self
    }

    /// Carries sessions in this cookie, and leaves the `Authorization` header alone.
    #[cfg(feature = "cookie")]
    pub fn cookie_only(mut self, cookie: CookieTransport) -> Self {
        self.transports.bearer = false;
        self.transports.cookie = Some(cookie);
        self
    }

    /// Carries sessions as bearer tokens in the `Authorization` header, and leaves cookies alone.
    pub fn bearer_only(mut self) -> Self {
        self.transports.bearer = true;
        self.transports.cookie = None;
        self
    }

    /// Accepts a bearer token also as `name.<token>` among the protocols that a WebSocket's opening
    /// request offers (RFC 6455, section 1.9), for scripts in browsers, which can set no other
    /// header: `new WebSocket(url, ["chat", "session." + token])`. Handlers don't see it among the
    /// protocols; agree to another one, as browsers want it. Default: not accepted.
    ///
    /// A token never comes in a URL, which logs and histories keep.
    pub fn web_socket_protocol(mut self, name: &str) -> Self {
        self.transports.web_socket = Some(WebSocketProtocol::new(name));
        self
    }

    /// Checks the settings and makes the sessions.
    ///
    /// # Errors
    ///
    /// If a setting can't be used: the error names it, its value and the mend.
    pub fn build(self) -> Result<Sessions<C>, BuildError> {
        for (field, value) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if value.is_empty() {
                return Err(BuildError::invalid(field, "empty", "say which service this is"));
            }
        }
        let token_type = self.foreign.check(&self.keys, &self.issuer)?;
        let ring = self.keys.policy();
        let longest = ring.max_token_lifetime;
        // How long sessions live is the issuer's to say, where that is another service.
        let issues = self.keys.followed_issuer().is_none();
        if issues && (self.idle_lifetime < Duration::from_secs(1) || self.idle_lifetime > longest) {
            return Err(BuildError::invalid(
                "idle_lifetime",
                format_args!("{:?}", self.idle_lifetime),
                format_args!(
                    "make it at least 1s and at most the ring's max_token_lifetime ({longest:?}), \
                     or make that longer: keys are kept for as long"
                ),
            ));
        }
        if self.absolute_lifetime < self.idle_lifetime {
            return Err(BuildError::invalid(
                "absolute_lifetime",
                format_args!("{:?}", self.absolute_lifetime),
                format_args!("make it at least the idle_lifetime ({:?})", self.idle_lifetime),
            ));
        }
        if !(512..=65_536).contains(&self.max_token_bytes) {
            let mend = "make it 512 to 65,536 bytes";
            return Err(BuildError::invalid("max_token_bytes", self.max_token_bytes, mend));
        }
        let cookie = self.transports.cookie.map(CookieTransport::build).transpose()?;
        let web_socket = self.transports.web_socket.map(WebSocketProtocol::build).transpose()?;
        let policy = Policy {
            issuer: self.issuer.into(),
            audience: self.audience.into(),
            leeway: ring.clock_skew,
            max_lifetime: longest,
            max_token_bytes: self.max_token_bytes,
            token_type,
            without_token_id: self.foreign.without_token_id,
            without_issued_at: self.foreign.without_issued_at,
        };
        Ok(Sessions(Arc::new(Inner {
            policy,
            keys: self.keys,
            idle_lifetime: self.idle_lifetime,
            absolute_lifetime: self.absolute_lifetime,
            transports: Transports { cookie, web_socket, ..self.transports },
            claims: PhantomData,
        })))
    }
}

/// A token that was issued. `Debug` does not show it; it is wiped when dropped.
pub struct IssuedToken {
    token: Zeroizing<String>,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

impl IssuedToken {
    /// The compact token.
    pub fn as_str(&self) -> &str {
        &self.token
    }

    /// When it expires.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// How long it lives, in whole seconds.
    pub fn lifetime(&self) -> Duration {
        self.expires_at - self.issued_at
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
