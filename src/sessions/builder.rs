//! The settings of [`Sessions`], checked together.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::refresh::Refreshing;
use crate::error::build::BuildError;
use crate::keyring::ring::KeyRing;
use crate::revocation::handle::Revocations;
use crate::sessions::counters::Counters;
use crate::sessions::external_tokens::ExternalTokens;
use crate::sessions::handle::{Inner, SessionClaims, Sessions, SessionsId};
use crate::sessions::refresh_tokens::RefreshTokens;
use crate::token::cache::TokenCache;
use crate::token::policy::Policy;
use crate::transport::cookie::CookieTransport;
use crate::transport::transports::Transports;
use crate::transport::web_socket::WebSocketProtocol;

/// Builds [`Sessions`].
#[derive(Debug)]
#[must_use]
pub struct SessionsBuilder<C> {
    pub(crate) keys: KeyRing,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) idle_lifetime: Duration,
    pub(crate) absolute_lifetime: Duration,
    pub(crate) max_token_bytes: usize,
    pub(crate) token_cache_bytes: usize,
    pub(crate) transports: Transports,
    pub(crate) revocations: Option<Revocations>,
    pub(crate) refresh_tokens: Option<RefreshTokens>,
    pub(crate) foreign: ExternalTokens,
    pub(crate) claims: PhantomData<fn() -> C>,
}

impl<C: SessionClaims> SessionsBuilder<C> {
    /// Sets the lifetime of a token, and so how long a session lives without a request. A cookie session
    /// past half of it is renewed by the next request. At least one second, at most the ring's
    /// [`max_token_lifetime`](crate::RotationPolicy::max_token_lifetime). Default: 1 hour.
    pub fn idle_lifetime(mut self, lifetime: Duration) -> Self {
        self.idle_lifetime = lifetime;
        self
    }

    /// Sets the longest life of a session from its login, however often it is renewed. Default: 12
    /// hours.
    pub fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.absolute_lifetime = lifetime;
        self
    }

    /// Sets the longest token that is issued or accepted, in bytes: 512 to 65,536. Default: 8,192.
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Sets the size of the verified-token cache in bytes: 65,536 to 1,073,741,824, or 0 for none. A
    /// cached token skips signature verification. A token of 420 bytes takes about 1,450. Default:
    /// 8,388,608.
    ///
    /// The cache changes the speed, never the answer: revoked keys and sessions are refused on hits, too.
    /// The application's claims count as much as their JSON; a type that takes far more memory is not
    /// bounded by this.
    pub fn token_cache_bytes(mut self, bytes: usize) -> Self {
        self.token_cache_bytes = bytes;
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

    /// Records revocations, and refuses the sessions that were revoked on any replica. Default: none: a
    /// logout only clears the cookie, and a copy of the token stays valid until it expires.
    pub fn revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Checks the settings and makes the sessions.
    ///
    /// # Errors
    ///
    /// Returns an error that names the setting, its value and how to fix it.
    pub fn build(self) -> Result<Sessions<C>, BuildError> {
        for (field, value) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if value.is_empty() {
                return Err(BuildError::invalid(
                    field,
                    "empty",
                    "set it to the name of this service",
                ));
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
            let help = "set it to 512 to 65,536 bytes";
            return Err(BuildError::invalid("max_token_bytes", self.max_token_bytes, help));
        }
        let cache_bytes = TokenCache::<C>::LEAST_BYTES..=TokenCache::<C>::MOST_BYTES;
        if self.token_cache_bytes != 0 && !cache_bytes.contains(&self.token_cache_bytes) {
            let help = "set it to 65,536 to 1,073,741,824 bytes, or to 0 for no cache";
            return Err(BuildError::invalid("token_cache_bytes", self.token_cache_bytes, help));
        }
        self.check_room()?;
        let cookie = self.transports.cookie.map(CookieTransport::build).transpose()?;
        let web_socket = self.transports.web_socket.map(WebSocketProtocol::build).transpose()?;
        if let Some(revocations) = &self.revocations {
            self.foreign.check_revocations(&self.keys, &token_type)?;
            revocations.keep_for(self.keys.longest_token_lifetime(), ring.clock_skew);
        }
        let takes_session_id = self.foreign.takes_session_id(&self.keys, &token_type);
        let policy = Policy {
            issuer: self.issuer.into(),
            audience: self.audience.into(),
            dialect: self.foreign.dialect(&self.keys),
            leeway: ring.clock_skew,
            max_lifetime: longest,
            max_token_bytes: self.max_token_bytes,
            token_type,
            without_token_id: self.foreign.without_token_id,
            without_issued_at: self.foreign.without_issued_at,
            takes_session_id,
            requires_auth_time: self.foreign.requires_auth_time,
        };
        let refreshing = self
            .refresh_tokens
            .map(|tokens| Refreshing::new(tokens, &self.keys, &policy, self.transports.bearer));
        Ok(Sessions(Arc::new(Inner {
            id: SessionsId::new(),
            policy,
            counters: Counters::new(self.keys.name().clone()),
            keys: self.keys,
            idle_lifetime: self.idle_lifetime,
            absolute_lifetime: self.absolute_lifetime,
            transports: Transports { cookie, web_socket, ..self.transports },
            cache: (self.token_cache_bytes != 0).then(|| TokenCache::new(self.token_cache_bytes)),
            refreshing: refreshing.transpose()?,
            revocations: self.revocations,
            revokes_by_issued_at: self.foreign.revokes_by_issued_at,
        })))
    }
}
