//! [`session`]: a verified session for the test of a handler, without sessions at hand.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::claims::write::Payload;
use crate::clock::Timestamp;
use crate::error::operation::OperationError;
use crate::revocation::versions::Versions;
use crate::sessions::handle::{ReadClaims, SessionClaims, Sessions};
use crate::sessions::issued::IssuedToken;
use crate::sessions::login::Login;
use crate::sessions::session::Session;
use crate::sessions::sign::Later;
use crate::testing::keys::fixed_ring;
use crate::testing::manual_clock::ManualClock;
use crate::token;
use crate::token::cache::entry::Shared;
use crate::token::checks::Nobody;
use crate::token::id::Ids;

/// Returns a session of `subject`, for a handler that a test calls directly.
///
/// A token of the fixed key is issued at the time of [`ManualClock::default`], and the verifier makes the
/// session from it. [`TestSession`] has a scope, another issuer, roles and other times, and claims without
/// `Serialize`.
///
/// ```
/// use tower_jwt_session::{Session, testing};
///
/// async fn greet(session: Session<()>) -> String {
///     format!("hello {}", session.subject())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(greet(testing::session("alice", ())).await, "hello alice");
/// # }
/// ```
///
/// # Panics
///
/// Panics if the subject is empty, or the claims cannot be written and read.
pub fn session<C: SessionClaims>(subject: impl Into<String>, claims: C) -> Session<C> {
    TestSession::new(subject, claims).build()
}

/// Makes a session like [`session`], with a given scope, issuer, roles and times.
///
/// ```
/// use std::time::Duration;
/// use tower_jwt_session::Clock;
/// use tower_jwt_session::testing::{ManualClock, TestSession};
///
/// let now = ManualClock::default().now();
/// let session = TestSession::new("alice", ())
///     .scope("orders:read orders:write")
///     .authenticated_at(now - Duration::from_secs(600))
///     .build();
/// assert!(session.scopes().any(|scope| scope == "orders:write"));
/// assert_eq!(session.authenticated_at(), Some(now - Duration::from_secs(600)));
/// ```
#[derive(Debug)]
#[must_use]
pub struct TestSession<C, W = C> {
    /// With the claims as they are written.
    login: Login<W>,
    issuer: String,
    roles: Option<Box<[Box<str>]>>,
    issued_at: Timestamp,
    authenticated_at: Option<Timestamp>,
    claims: PhantomData<fn() -> C>,
}

impl<C: SessionClaims> TestSession<C> {
    /// A session of `subject` that logged in at the time of [`ManualClock::default`].
    pub fn new(subject: impl Into<String>, claims: C) -> Self {
        Self::of(Login::new(subject, claims))
    }
}

impl<C: ReadClaims> TestSession<C, Value> {
    /// The same, with claims as another issuer writes them: for a type `C` that need not be `Serialize`, as in a
    /// service that only validates.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use tower_jwt_session::Session;
    /// use tower_jwt_session::testing::TestSession;
    ///
    /// #[derive(Deserialize)]
    /// struct User {
    ///     email: String,
    /// }
    ///
    /// let claims = serde_json::json!({ "email": "alice@example.com" });
    /// let session: Session<User> = TestSession::from_json("alice", claims)
    ///     .issuer("https://sso.example/realms/shop")
    ///     .roles(["admin"])
    ///     .build();
    /// assert_eq!(session.claims().email, "alice@example.com");
    /// assert_eq!(session.issuer(), "https://sso.example/realms/shop");
    /// assert!(session.roles().eq(["admin"]));
    /// ```
    pub fn from_json(subject: impl Into<String>, claims: Value) -> Self {
        Self::of(Login::new(subject, claims))
    }
}

impl<C: ReadClaims, W: SessionClaims> TestSession<C, W> {
    fn of(login: Login<W>) -> Self {
        Self {
            login,
            issuer: "https://app.example".to_owned(),
            roles: None,
            issued_at: crate::clock::Clock::now(&ManualClock::default()),
            authenticated_at: None,
            claims: PhantomData,
        }
    }

    /// Sets the issuer. Default: `https://app.example`.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// Sets the [roles](Session::roles), without a claim that holds them. Default: none.
    pub fn roles<R: Into<String>>(mut self, roles: impl IntoIterator<Item = R>) -> Self {
        self.roles = Some(roles.into_iter().map(|role| role.into().into()).collect());
        self
    }

    /// Adds scopes, separated by single spaces.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.login = self.login.scope(scope);
        self
    }

    /// Sets when the token was issued, in whole seconds; it is valid for an hour from then. Default: the
    /// time of [`ManualClock::default`].
    pub fn issued_at(mut self, time: Timestamp) -> Self {
        self.issued_at = time;
        self
    }

    /// Sets when the user logged in, in whole seconds, at the latest when the token was issued. Default:
    /// when the token was issued.
    pub fn authenticated_at(mut self, time: Timestamp) -> Self {
        self.authenticated_at = Some(time);
        self
    }

    /// Makes the session.
    ///
    /// # Panics
    ///
    /// Panics if the subject or the issuer is empty, the claims cannot be written and read, or the login is a century
    /// before the token.
    pub fn build(self) -> Session<C> {
        let token = self.sign(&self.sessions());
        let token = token.unwrap_or_else(|error| panic!("no such token: {error}"));
        let sessions: Sessions<C> = self.sessions();
        let (now, token) = (sessions.now(), token.as_str().as_bytes());
        let keys = sessions.keys().keys(now);
        let verified = token::verify::verify(token, &keys, &sessions.0.policy, now, &mut Nobody);
        let mut verified = verified.unwrap_or_else(|error| panic!("refused: {error:#}"));
        if let Some(verified) = Arc::get_mut(&mut verified) {
            verified.roles = self.roles;
        }
        Session::new(Shared::Owned(verified))
    }

    fn sessions<T: ReadClaims>(&self) -> Sessions<T> {
        let keys = fixed_ring(ManualClock::new(self.issued_at));
        Sessions::builder(keys, &*self.issuer, "app")
            .absolute_lifetime(CENTURY)
            .token_cache_bytes(0)
            .build()
            .unwrap_or_else(|error| panic!("no such session: {error}"))
    }

    fn sign(&self, sessions: &Sessions<W>) -> Result<IssuedToken, OperationError> {
        let (now, mut ids) = (self.issued_at, Ids::default());
        let [session_id, jti] = ids.draw()?;
        let claims = sessions.claims_of_login(&self.login, session_id, Versions::default(), now);
        let auth_time = self.authenticated_at.unwrap_or(now);
        let claims = Payload { jti, auth_time, ..claims };
        sessions.sign(now, Duration::from_secs(60 * 60), Later::AsThis, claims)
    }
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
