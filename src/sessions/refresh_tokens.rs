//! [`RefreshTokens`]: their settings, and the pair of tokens that is issued.

use std::sync::Arc;
use std::time::Duration;

use crate::error::build::BuildError;
use crate::keyring::ring::KeyRing;
use crate::revocation::handle::Revocations;
use crate::store::contract::StoreError;
use crate::store::measured::{self, REDEEM, measured};
use crate::store::polling::{check_durations, within};
use crate::store::redemption::{Redeemed, Redemption, RefreshTokenStore};
use crate::token::header_rules::{HeaderRules, TokenType};
use crate::token::policy::Policy;

/// Refresh tokens for clients that keep their tokens themselves: a short access token, and a long refresh token
/// with which the client gets the next two. Given to
/// [`SessionsBuilder::refresh_tokens`](crate::SessionsBuilder::refresh_tokens).
///
/// 1. A login with [`Login::bearer`](crate::Login::bearer) is then answered with both;
///    [`Sessions::token_router`](crate::Sessions::token_router), or
///    [`Sessions::refresh`](crate::Sessions::refresh), redeems a refresh token for the next two.
/// 2. Neither is ever taken for the other: a refresh token has a `typ` of its own, `refresh+jwt`.
/// 3. A session's refresh tokens are numbered. The [`store`](Self::store) remembers which was redeemed
///    last, so that each is redeemed once: one that comes again within the [`grace`](Self::grace) gets the same successor, for two tabs, a retry, or two
///    replicas at once. Later, or when its successor was redeemed too, someone has a copy that they
///    should not have: the session is ended, at every replica (RFC 9700, section 4.14.2).
/// 4. However often it is renewed, a session ends with its
///    [`absolute_lifetime`](crate::SessionsBuilder::absolute_lifetime).
///
/// ```
/// use tower_jwt_session::store::{RefreshTokenStore, RevocationStore};
/// use tower_jwt_session::{BuildError, KeyRing, RefreshTokens, Revocations, Sessions};
///
/// async fn sessions(
///     keys: KeyRing,
///     store: impl RevocationStore + RefreshTokenStore + Clone,
/// ) -> Result<Sessions<()>, BuildError> {
///     let revocations = Revocations::builder("app").store(store.clone()).open().await?;
///     Sessions::builder(keys, "https://app.example", "app")
///         .revocations(revocations)
///         .refresh_tokens(RefreshTokens::new().store(store))
///         .build()
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RefreshTokens {
    pub(crate) access_token_lifetime: Duration,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) grace: Duration,
    store: Option<Arc<dyn RefreshTokenStore>>,
    redeem_timeout: Duration,
    without_reuse_detection: bool,
}

impl RefreshTokens {
    /// With the defaults.
    pub fn new() -> Self {
        Self {
            access_token_lifetime: Duration::from_secs(5 * 60),
            lifetime: None,
            grace: Duration::from_secs(30),
            store: None,
            redeem_timeout: Duration::from_secs(10),
            without_reuse_detection: false,
        }
    }

    /// Sets the store that remembers which refresh token of a session was redeemed last, the same for
    /// all replicas. Required, unless
    /// [`dangerous_without_reuse_detection`](Self::dangerous_without_reuse_detection) is set. It can be
    /// the store of the keys or the revocations.
    ///
    /// The sessions need [`revocations`](crate::SessionsBuilder::revocations) too, since reuse of a
    /// token ends its session. Their name separates services in one store.
    pub fn store(mut self, store: impl RefreshTokenStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets how long the store may take to redeem one token: 1 millisecond or more. After that the
    /// refresh is answered 503, and the client may try the same token again. Default: 10 seconds.
    pub fn redeem_timeout(mut self, timeout: Duration) -> Self {
        self.redeem_timeout = timeout;
        self
    }

    /// How long an access token is valid, and [`clock_skew`](crate::RotationPolicy::clock_skew) longer; up to a twentieth less, so that clients which logged in
    /// together don't come back together. At least 10 seconds. Default: 5 minutes.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token_lifetime = lifetime;
        self
    }

    /// How long a refresh token is valid, and so how long a client may stay away. At least the
    /// access token's lifetime. Default and upper bound: the ring's
    /// [`max_token_lifetime`](crate::RotationPolicy::max_token_lifetime), 24 hours. No token lives past
    /// [`absolute_lifetime`](crate::SessionsBuilder::absolute_lifetime) after the login: 12 hours by default.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// How long after it was redeemed a refresh token is answered with the same successor, rather
    /// than taken for stolen. At most half of the access token's lifetime. Default: 30 seconds.
    ///
    /// The time is that of the replica that redeemed it; so that clocks which differ
    /// end no session, the ring's [`clock_skew`](crate::RotationPolicy::clock_skew) is added.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Issues refresh tokens without a [`store`](Self::store).
    ///
    /// # Security
    ///
    /// Each refresh token is then valid until it expires, a copy like the original: a stolen one goes
    /// unnoticed. Without [`revocations`](crate::SessionsBuilder::revocations) a logout does not end it
    /// either.
    pub fn dangerous_without_reuse_detection(mut self) -> Self {
        self.without_reuse_detection = true;
        self
    }
}

impl Default for RefreshTokens {
    fn default() -> Self {
        Self::new()
    }
}

/// The settings, checked.
#[derive(Debug)]
pub(crate) struct Refreshing {
    /// That of session tokens, but for the type.
    pub(crate) policy: Policy,
    pub(crate) access_token_lifetime: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) grace: Duration,
    /// Reuse is detected if there is one.
    pub(crate) redemptions: Option<Redemptions>,
}

/// The record of the redeemed tokens.
#[derive(Debug)]
pub(crate) struct Redemptions {
    store: Arc<dyn RefreshTokenStore>,
    /// The name of the revocations: of services that share a store, each has its own, whatever their
    /// keys are.
    ring: Arc<str>,
    /// The ring that metrics name.
    keys: Arc<str>,
    timeout: Duration,
}

impl Redemptions {
    /// Records a redemption, unless that token or a later one of its family was redeemed. Returns the
    /// latest.
    pub(crate) async fn redeem(&self, redemption: &Redemption) -> Result<Redeemed, StoreError> {
        let redeeming = measured(&self.keys, REDEEM, self.store.redeem(&self.ring, redemption));
        within(self.timeout, "redeeming a refresh token", redeeming).await
    }
}

impl Refreshing {
    pub(crate) fn new(
        tokens: RefreshTokens,
        keys: &KeyRing,
        sessions: &Policy,
        bearer: bool,
        revocations: Option<&Revocations>,
    ) -> Result<Self, BuildError> {
        let mistake = match (&tokens.store, revocations) {
            (None, _) if !tokens.without_reuse_detection => Some((
                "set without a store",
                "add `.store(..)` to `RefreshTokens` and `.revocations(..)` to the sessions, or accept \
                 undetected reuse with `RefreshTokens::dangerous_without_reuse_detection`",
            )),
            (Some(_), _) if tokens.without_reuse_detection => Some((
                "set with a store and with `dangerous_without_reuse_detection`",
                "remove one of the two: the store is there to detect reuse",
            )),
            (Some(_), None) => Some((
                "set with a store and without `revocations`",
                "add `.revocations(..)` to the sessions: reuse of a token ends its session",
            )),
            _ if !keys.issues() => {
                Some(("set", "these sessions are issued by another service: leave it out"))
            }
            _ if !bearer => Some((
                "set",
                "they are for bearer clients: leave it out, or add `Transport::bearer()` to the \
                 transports",
            )),
            _ => None,
        };
        if let Some((value, help)) = mistake {
            return Err(BuildError::invalid("refresh_tokens", value, help));
        }
        check_durations([("redeem_timeout", tokens.redeem_timeout, false)])?;
        let redemptions = tokens.store.zip(revocations).map(|(store, revocations)| {
            measured::show_zeros(keys.name(), &[REDEEM]);
            Redemptions {
                store,
                ring: revocations.0.name.clone(),
                keys: keys.name().clone(),
                timeout: tokens.redeem_timeout,
            }
        });
        let RefreshTokens { access_token_lifetime, lifetime, grace, .. } = tokens;
        let longest = sessions.max_lifetime;
        let lifetime = lifetime.unwrap_or(longest);
        let invalid = |field, value: Duration, help: String| {
            Err(BuildError::invalid(field, format_args!("{value:?}"), help))
        };
        if lifetime > longest {
            let help = format!(
                "make it at most the ring's max_token_lifetime ({longest:?}), or make that longer: \
                 keys are kept for as long; a session ends after absolute_lifetime all the same, unless its login is \
                 persistent"
            );
            return invalid("refresh token lifetime", lifetime, help);
        }
        if lifetime < SHORTEST {
            let help =
                format!("make it at least {SHORTEST:?}, and at least the access_token_lifetime");
            return invalid("refresh token lifetime", lifetime, help);
        }
        if access_token_lifetime < SHORTEST || access_token_lifetime > lifetime {
            let help = format!(
                "make it at least {SHORTEST:?} and at most the refresh token's ({lifetime:?})"
            );
            return invalid("access_token_lifetime", access_token_lifetime, help);
        }
        if grace > access_token_lifetime / 2 {
            let help = format!(
                "make it at most half of the access_token_lifetime ({access_token_lifetime:?}), so \
                 that what a retry is answered with is still valid"
            );
            return invalid("grace", grace, help);
        }
        let policy =
            Policy { header: HeaderRules::of_type(TokenType::Refresh), ..sessions.clone() };
        Ok(Self { policy, access_token_lifetime, lifetime, grace, redemptions })
    }
}

/// An access token that is shorter would be renewed rather than used.
const SHORTEST: Duration = Duration::from_secs(10);
