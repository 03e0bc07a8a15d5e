//! The settings of [`Sessions`], checked together.

use std::error::Error;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::error::build::BuildError;
use crate::keyring::ring::KeyRing;
use crate::revocation::handle::Revocations;
use crate::sessions::counters::Counters;
use crate::sessions::external_tokens::ExternalTokens;
use crate::sessions::handle::{Inner, ReadClaims, SessionClaims, Sessions, SessionsId};
use crate::sessions::hook::{Hook, Renewal};
use crate::sessions::issuers;
use crate::sessions::login_page::LoginPage;
use crate::sessions::protected_resource::{self, ProtectedResource};
use crate::sessions::refresh_tokens::{RefreshTokens, Refreshing};
use crate::sessions::roles;
use crate::sessions::room;
use crate::sessions::session::Session;
use crate::token::cache::TokenCache;
use crate::token::names::{Issuers, Names};
#[cfg(feature = "cookie")]
use crate::transport::cookie::CookieTransport;
use crate::transport::transport::Transport;
use crate::transport::transports::Transports;

/// Builds [`Sessions`].
#[derive(Debug)]
#[must_use]
pub struct SessionsBuilder<C> {
    keys: KeyRing,
    issuer: String,
    audience: String,
    other_issuers: Vec<String>,
    other_audiences: Vec<String>,
    idle_lifetime: Duration,
    absolute_lifetime: Duration,
    persistent_lifetime: Option<Duration>,
    max_token_bytes: usize,
    token_cache_bytes: usize,
    transports: Option<Vec<Transport>>,
    login_page: Option<String>,
    revocations: Option<Revocations>,
    refresh_tokens: Option<RefreshTokens>,
    on_renewal: Option<Hook<C>>,
    pub(crate) external: ExternalTokens,
    roles_claim: Option<String>,
    others: Vec<Sessions<C>>,
    resource: Option<ProtectedResource>,
    claims: PhantomData<fn() -> C>,
}

impl<C> Sessions<C> {
    /// Starts to build the sessions of `issuer` for `audience`, whose tokens `keys` sign or verify.
    /// Tokens of another issuer or for another audience are refused.
    pub fn builder(
        keys: KeyRing,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> SessionsBuilder<C>
    where
        C: ReadClaims,
    {
        SessionsBuilder {
            keys,
            issuer: issuer.into(),
            audience: audience.into(),
            other_issuers: Vec::new(),
            other_audiences: Vec::new(),
            idle_lifetime: Duration::from_secs(60 * 60),
            absolute_lifetime: Duration::from_secs(12 * 60 * 60),
            persistent_lifetime: None,
            max_token_bytes: 8 * 1024,
            token_cache_bytes: 8 * 1024 * 1024,
            transports: None,
            login_page: None,
            revocations: None,
            refresh_tokens: None,
            on_renewal: None,
            external: ExternalTokens::default(),
            roles_claim: None,
            others: Vec::new(),
            resource: None,
            claims: PhantomData,
        }
    }
}

impl<C> SessionsBuilder<C> {
    /// Accepts tokens with this `iss`, too, in addition to that of [`builder`](Sessions::builder): an earlier
    /// or a later name of this service, or a second name of a followed issuer (Google's tokens have
    /// `https://accounts.google.com` or `accounts.google.com`). May be called several times. Tokens are issued
    /// with the builder's issuer only. [`Session::issuer`](crate::Session::issuer) is the name that a token has.
    ///
    /// All names are names of one issuer, whose keys are those of the ring, and a subject is the same user under
    /// each of them: a revocation of a subject is recorded for each.
    ///
    /// To rename an issuer without logging anyone out: let all replicas accept the new name, then let all
    /// issue it and accept the old name, and remove the old name once the last old token has expired.
    #[doc(alias = "rename")]
    pub fn also_accept_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.other_issuers.push(issuer.into());
        self
    }

    /// Accepts tokens for these audiences, too, in addition to that of [`builder`](Sessions::builder): an
    /// earlier or a later name of this service, or the client IDs of an issuer that names clients. One of them
    /// in `aud` suffices. Tokens are issued for the builder's audience only.
    #[doc(alias = "aud")]
    pub fn audiences(mut self, audiences: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.other_audiences.extend(audiences.into_iter().map(Into::into));
        self
    }

    /// Also accepts the tokens of another issuer: those that `other` accepts, with its keys, its audience, its
    /// settings for tokens, its cache and its revocations. May be called several times. The layers, the
    /// extractor and the requirements of routes then work for the sessions of all issuers as for those of
    /// one.
    ///
    /// Credentials are read by the transports of this builder. Renewal, [`reissue`](Sessions::reissue) and
    /// refresh tokens are for its own sessions only; [`logout`](Sessions::logout) and
    /// [`ended`](Sessions::ended) use the revocations of the session's own issuer. The replica is not ready
    /// before the keys of every issuer were fetched once.
    ///
    /// ```
    /// # fn example(ours: tower_jwt_session::KeyRing, theirs: tower_jwt_session::KeyRing)
    /// # -> Result<(), tower_jwt_session::BuildError> {
    /// use tower_jwt_session::{Session, Sessions};
    ///
    /// let partner = Sessions::<()>::builder(theirs, "https://login.example", "orders")
    ///     .accept_token_type("at+jwt")
    ///     .build()?;
    /// let sessions = Sessions::<()>::builder(ours, "https://app.example", "app")
    ///     .also_accept_sessions(partner)
    ///     .build()?;
    /// let only_ours = sessions
    ///     .validate_layer()
    ///     .authorize(|session: &Session<()>| session.issuer() == "https://app.example");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// A subject is unique only together with its [issuer](crate::Session::issuer): look users up by both. An
    /// issuer can give its tokens any subject, scope and claims, those of your own users too, but its keys
    /// never verify a token of another issuer.
    #[doc(alias = "multi-issuer")]
    pub fn also_accept_sessions(mut self, other: Sessions<C>) -> Self {
        self.others.push(other);
        self
    }

    /// Describes this service as an OAuth 2.0 protected resource (RFC 9728), such as an MCP server. Default:
    /// none.
    ///
    /// 1. The resource's URL is an accepted audience (RFC 8707), in addition to the others, for the tokens
    ///    of this builder's issuer. Sessions of
    ///    [other issuers](Self::also_accept_sessions) name it as an audience of their own.
    /// 2. Challenges of `Bearer` name the metadata document as `resource_metadata` (RFC 9728, section 5.1).
    /// 3. `Sessions::resource_metadata_router` serves the document, or
    ///    [`resource_metadata_response`](Sessions::resource_metadata_response) without axum.
    #[doc(alias = "mcp")]
    pub fn protected_resource(mut self, resource: ProtectedResource) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Sets the lifetime of a token, and so how long a session lives without a request. A cookie session
    /// past half of it is renewed by the next request. At least one second, at most the ring's
    /// [`max_token_lifetime`](crate::RotationPolicy::max_token_lifetime). Default: 1 hour.
    #[doc(alias = "expiry")]
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

    /// Allows [persistent logins](crate::Login::persistent) ("remember me"), and sets their longest
    /// lifetime: at least [`idle_lifetime`](Self::idle_lifetime), at most the ring's
    /// [`max_token_lifetime`](crate::RotationPolicy::max_token_lifetime). Default: none.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_jwt_session::{BuildError, KeyRing, Login, RotationPolicy, Sessions};
    /// use tower_jwt_session::store::MemoryStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BuildError> {
    /// const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
    ///
    /// let rotation = RotationPolicy::new().max_token_lifetime(MONTH);
    /// let keys = KeyRing::builder("app").store(MemoryStore::new()).rotation(rotation).open().await?;
    /// let sessions = Sessions::<()>::builder(keys, "https://app.example", "app")
    ///     .persistent_lifetime(MONTH)
    ///     .build()?;
    ///
    /// let remember_me = Login::new("alice", ()).persistent(MONTH);
    /// # assert!(sessions.issue(&remember_me).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "remember me")]
    pub fn persistent_lifetime(mut self, longest: Duration) -> Self {
        self.persistent_lifetime = Some(longest);
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

    /// How session tokens travel: a list in which each kind of [`Transport`] may come once. Default: the
    /// [cookie](Transport::cookie) with its defaults, and [bearer](Transport::bearer) tokens.
    ///
    /// A login is by cookie where there is one, unless it is [`Login::bearer`](crate::Login::bearer).
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.transports = Some(transports.into_iter().collect());
        self
    }

    /// Sends browsers that navigate to a page without a valid session to this page: `303 See Other` to
    /// `/login?next=...`, where `next` is the path and query that the browser asked for. The login page
    /// reads it with [`ReturnTo`](crate::ReturnTo). Default: none: they get the 401.
    ///
    /// `path` is a path of this site as browsers see it, in the prefix of a proxy, too. It holds for all
    /// layers and for the extractor; a [`ValidateLayer`](crate::layer::ValidateLayer::login_page) can have
    /// another one.
    ///
    /// - A navigation is a `GET` or `HEAD` that accepts `text/html` by its name, with `Sec-Fetch-Mode:
    ///   navigate` where the browser sends it. Scripts that fetch, WebSockets and other clients get the 401.
    /// - A route with [`max_auth_age`](crate::layer::ValidateLayer::max_auth_age) sends a user with an older
    ///   login to `/login?next=...&max_age=300`. So with `max_age` in the query, a login page must not send
    ///   a user with a session back.
    /// - A request for the login page itself is not redirected.
    #[doc(alias = "login_url")]
    #[doc(alias = "redirect")]
    pub fn login_page(mut self, path: impl Into<String>) -> Self {
        self.login_page = Some(path.into());
        self
    }

    /// Issues refresh tokens to bearer clients. Needs [`revocations`](Self::revocations) and a
    /// [store](RefreshTokens::store) that remembers which were redeemed. Default: none, so that a bearer client logs in again after one
    /// [`idle_lifetime`](Self::idle_lifetime). Cookies are renewed without.
    pub fn refresh_tokens(mut self, tokens: RefreshTokens) -> Self {
        self.refresh_tokens = Some(tokens);
        self
    }

    /// Records revocations, and refuses the sessions that were revoked on any replica. Default: none: a
    /// logout only clears the cookie, and a copy of the token stays valid until it expires.
    pub fn revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Sets a function that returns the claims of a renewed session: roles that are read from a database
    /// again, for example. Default: the claims of the login stay as long as the session.
    ///
    /// It is awaited
    ///
    /// - when a cookie session is renewed, past half of its [`idle_lifetime`](Self::idle_lifetime): after
    ///   the handler, and before the response is sent. The handler has seen the old claims. Requests of one
    ///   session that come at once each await it.
    /// - when a refresh token is redeemed, a repeated redemption included.
    ///
    /// A bearer session without a refresh token is never renewed.
    ///
    /// An error, a panic, or no answer within 1 second never fails the request, and is counted in the
    /// metric `renewal_hooks_total`. A cookie session is then not renewed: its claims stay until the
    /// token expires, and the next request tries again. So a function that fails for half of an
    /// `idle_lifetime` logs users out. A refresh issues the old claims, for one
    /// [`access_token_lifetime`](RefreshTokens::access_token_lifetime). A function that blocks its thread
    /// cannot be interrupted: do no blocking work in it.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use tower_jwt_session::{BuildError, KeyRing, Renewal, Session, Sessions};
    ///
    /// #[derive(Serialize, Deserialize, PartialEq)]
    /// struct User {
    ///     roles: Vec<String>,
    /// }
    /// # #[derive(Clone)]
    /// # struct Users;
    /// # impl Users {
    /// #     async fn find(&self, _: &str) -> Result<Option<User>, std::io::Error> { Ok(None) }
    /// # }
    ///
    /// # fn build(keys: KeyRing, users: Users) -> Result<Sessions<User>, BuildError> {
    /// Sessions::<User>::builder(keys, "https://app.example", "app")
    ///     .on_renewal(async move |session: Session<User>| {
    ///         Ok(match users.find(session.subject()).await? {
    ///             Some(user) if user == *session.claims() => Renewal::Keep,
    ///             Some(user) => Renewal::Replace(user),
    ///             None => Renewal::End,
    ///         })
    ///     })
    ///     .build()
    /// # }
    /// ```
    #[doc(alias = "role")]
    pub fn on_renewal<H, F>(mut self, hook: H) -> Self
    where
        C: SessionClaims,
        H: FnOnce(Session<C>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Renewal<C>, Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        self.on_renewal = Some(Hook::new(hook));
        self
    }

    /// Reads the roles of a session from this claim, for
    /// [`require_role`](crate::layer::ValidateLayer::require_role) and
    /// [`Session::roles`](crate::Session::roles): the name of a claim, such as `roles`, `cognito:groups` or
    /// `https://example.com/roles`; or, beginning with `/`, a JSON Pointer (RFC 6901) through objects, such
    /// as `/realm_access/roles`. Default: none are read.
    ///
    /// The claim is an array of texts, or one text, which is one role. Anything else is no role. The
    /// application's type reads the claim, too.
    #[doc(alias = "groups")]
    pub fn roles_claim(mut self, claim: impl Into<String>) -> Self {
        self.roles_claim = Some(claim.into());
        self
    }

    /// Checks the settings and makes the sessions.
    ///
    /// # Errors
    ///
    /// Returns an error that names the setting, its value and how to fix it.
    pub fn build(mut self) -> Result<Sessions<C>, BuildError> {
        self.check_names()?;
        if let Some(resource) = self.resource.as_ref().map(ProtectedResource::resource)
            && self.audience != resource
            && !self.other_audiences.iter().any(|audience| audience == resource)
        {
            self.other_audiences.push(resource.to_owned());
        }
        let own = Issuers::new(&self.issuer, &self.other_issuers);
        issuers::check(&self.others, &own)?;
        let external = &self.external;
        let policy = external.policy(
            &self.keys,
            own,
            Names::new(&self.audience, &self.other_audiences),
            roles::path(self.roles_claim.as_deref())?,
            self.max_token_bytes,
            self.revocations.is_some(),
        )?;
        if self.on_renewal.is_some() && !self.keys.issues() {
            let help = "these sessions are issued by another service, which renews them: remove it";
            return Err(BuildError::invalid("on_renewal", "set", help));
        }
        let longest = policy.max_lifetime;
        // How long sessions live is the issuer's to say, where that is another service.
        let issues = self.keys.followed_issuer().is_none();
        if issues && (self.idle_lifetime < Duration::from_secs(1) || self.idle_lifetime > longest) {
            return Err(BuildError::invalid(
                "idle_lifetime",
                format_args!("{:?}", self.idle_lifetime),
                format_args!(
                    "make it at least 1s and at most the ring's max_token_lifetime ({longest:?}), \
                     or make that longer: `RotationPolicy::new().max_token_lifetime(..)`; for \
                     \"remember me\", see `persistent_lifetime`"
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
        if let Some(persistent) = self.persistent_lifetime {
            let help = if !issues {
                "it applies only to sessions that are issued here: remove it".to_owned()
            } else if persistent < self.idle_lifetime || persistent > longest {
                format!(
                    "make it at least the idle_lifetime ({:?}) and at most the ring's \
                     max_token_lifetime ({longest:?}), or make that longer: \
                     `RotationPolicy::new().max_token_lifetime(..)`",
                    self.idle_lifetime
                )
            } else {
                String::new()
            };
            if !help.is_empty() {
                let value = format_args!("{persistent:?}");
                return Err(BuildError::invalid("persistent_lifetime", value, help));
            }
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
        let transports = self.transports.unwrap_or_else(|| {
            vec![
                #[cfg(feature = "cookie")]
                Transport::cookie(CookieTransport::new()),
                Transport::bearer(),
            ]
        });
        let transports = Transports::build(transports, self.keys.name())?;
        let login_page = self.login_page.as_deref().map(LoginPage::parse).transpose()?;
        let has_revocations = self.revocations.is_some();
        let has_refresh_tokens = self.refresh_tokens.is_some();
        let cookie = transports.cookie.as_ref();
        let has_persistent = self.persistent_lifetime.is_some();
        let keys = &self.keys;
        room::check(keys, &policy, cookie, has_revocations, has_refresh_tokens, has_persistent)?;
        if let Some(revocations) = &self.revocations {
            external.check_revocations(&self.keys, &policy.header.token_type)?;
            revocations.keep_for(self.keys.longest_token_lifetime(), policy.leeway);
        }
        let resource = self.resource.map(|resource| {
            let others = self.others.iter().map(|Sessions(other)| (&other.keys, &other.policy));
            let issuers = [(&self.keys, &policy)].into_iter().chain(others);
            let followed = issuers.filter(|(keys, _)| !keys.issues());
            let names = followed.map(|(_, policy)| policy.issuers.first.to_string());
            let names = names.filter(|name| protected_resource::is_url(name)).collect();
            resource.build(names, transports.bearer)
        });
        let resource = resource.transpose()?;
        let refreshing = self.refresh_tokens.map(|tokens| {
            let revocations = self.revocations.as_ref();
            Refreshing::new(tokens, &self.keys, &policy, transports.bearer, revocations)
        });
        Ok(Sessions(Arc::new(Inner {
            id: SessionsId::new(),
            policy,
            counters: Counters::new(self.keys.name().clone()),
            keys: self.keys,
            idle_lifetime: self.idle_lifetime,
            absolute_lifetime: self.absolute_lifetime,
            persistent_lifetime: self.persistent_lifetime,
            transports,
            login_page,
            cache: (self.token_cache_bytes != 0).then(|| TokenCache::new(self.token_cache_bytes)),
            refreshing: refreshing.transpose()?,
            revocations: self.revocations,
            on_renewal: self.on_renewal,
            revokes_by_issued_at: external.revokes_by_issued_at,
            others: self.others.into(),
            resource,
        })))
    }

    /// Checks the names that are issued and those that are accepted.
    fn check_names(&self) -> Result<(), BuildError> {
        let names = [("issuer", &self.issuer), ("audience", &self.audience)].into_iter();
        let issuers = self.other_issuers.iter().map(|name| ("also_accept_issuer", name));
        let audiences = self.other_audiences.iter().map(|name| ("audiences", name));
        let mut names = names.chain(issuers.clone()).chain(audiences);
        if let Some((field, _)) = names.find(|(_, name)| name.is_empty()) {
            let help = match field {
                "issuer" | "audience" => "set it to the name of this service",
                _ => "give a name, or remove it",
            };
            return Err(BuildError::invalid(field, "empty", help));
        }
        let mut known = vec![&self.issuer];
        for (field, name) in issuers {
            if known.contains(&name) {
                let help = "it is accepted already: remove it";
                return Err(BuildError::invalid(field, format_args!("{name:?}"), help));
            }
            known.push(name);
        }
        Ok(())
    }
}
