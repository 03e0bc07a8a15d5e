//! The settings of [`Sessions`].

use std::error::Error;
use std::marker::PhantomData;
use std::time::Duration;

use tracing::Level;

use crate::audit::handle::Audit;
use crate::keyring::ring::KeyRing;
use crate::revocation::handle::Revocations;
use crate::sessions::external_tokens::ExternalTokens;
use crate::sessions::handle::{ReadClaims, SessionClaims, Sessions};
use crate::sessions::hook::{Hook, Renewal};
use crate::sessions::lifetimes::Lifetimes;
use crate::sessions::protected_resource::ProtectedResource;
use crate::sessions::refresh_tokens::RefreshTokens;
use crate::sessions::session::Session;
use crate::transport::transport::Transport;

/// Builds [`Sessions`].
#[derive(Debug)]
#[must_use]
pub struct SessionsBuilder<C> {
    pub(super) keys: KeyRing,
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) other_issuers: Vec<String>,
    pub(super) other_audiences: Vec<String>,
    pub(super) lifetimes: Lifetimes,
    pub(super) max_token_bytes: usize,
    pub(super) token_cache_bytes: usize,
    pub(super) transports: Option<Vec<Transport>>,
    pub(super) login_page: Option<String>,
    pub(super) revocations: Option<Revocations>,
    pub(super) refresh_tokens: Option<RefreshTokens>,
    pub(super) on_renewal: Option<Hook<C>>,
    pub(crate) external: ExternalTokens,
    pub(super) roles_claim: Option<String>,
    pub(super) others: Vec<Sessions<C>>,
    pub(super) resource: Option<ProtectedResource>,
    pub(super) audit: Audit,
    pub(super) failure_log: (Level, u32),
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
            lifetimes: Lifetimes::default(),
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
            audit: Audit::default(),
            failure_log: (Level::DEBUG, 60),
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
    /// Credentials are read by the transports of this builder; its `login_page`, `protected_resource` and
    /// `log_failures` hold for all, and those of `other` are not used. Renewal, [`reissue`](Sessions::reissue) and
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

    /// Sets the lifetime of a token. A cookie session past half of it is renewed by the next request. At
    /// least one second, at most the ring's
    /// [`max_token_lifetime`](crate::RotationPolicy::max_token_lifetime) and
    /// [`absolute_lifetime`](Self::absolute_lifetime). Default: 1 hour.
    ///
    /// A user is logged out after half of it to all of it without a request, since a request in the first
    /// half renews nothing. To keep users for at least `d` without a request, set `2 * d`.
    ///
    /// A token is accepted for [`clock_skew`](crate::RotationPolicy::clock_skew) (60 seconds) longer. To see
    /// a session expire in a trial, set `RotationPolicy::new().clock_skew(Duration::from_secs(1))` on the
    /// ring, or move the clock of a [test](crate::guide::testing).
    #[doc(alias = "expiry")]
    #[doc(alias = "sliding expiration")]
    #[doc(alias = "OnInactivity")]
    pub fn idle_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetimes.idle = lifetime;
        self
    }

    /// Sets the longest life of a session from its login, however often it is renewed. At least
    /// [`idle_lifetime`](Self::idle_lifetime); `Duration::MAX` sets no limit. Default: 12 hours.
    pub fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetimes.absolute = lifetime;
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
        self.lifetimes.persistent = Some(longest);
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
    #[doc(alias = "LoginPath")]
    #[doc(alias = "RequestCache")]
    #[doc(alias = "login_required")]
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
    #[doc(alias = "OnValidatePrincipal")]
    #[doc(alias = "UserDetailsService")]
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

    /// Sets where audit events of sessions go, and how they name subjects. Give the same to the builders of the
    /// keys and the revocations. Default: to the log, with pseudonyms that change with each process.
    #[doc(alias = "log")]
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }

    /// Sets the level at which refused credentials are logged (`rejected a request`), and how many lines a
    /// minute there are at most for each [`RejectionKind`](crate::RejectionKind): 1 or more. Then one line
    /// says how many were suppressed, with the next refusal of the kind in a later minute. All are counted in
    /// the metric `rejections_total`. Default: debug, 60.
    ///
    /// The layers, the token endpoint and the revocation endpoint log; [`validate`](Sessions::validate) and
    /// [`refresh`](Sessions::refresh) return the reason to their caller.
    #[doc(alias = "rate limit")]
    pub fn log_failures(mut self, level: Level, per_minute: u32) -> Self {
        self.failure_log = (level, per_minute);
        self
    }
}
