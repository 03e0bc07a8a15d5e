//! [`session`]: a verified session for the test of a handler, without sessions at hand.

use std::time::Duration;

use crate::claims::write::Payload;
use crate::clock::Timestamp;
use crate::error::operation::OperationError;
use crate::revocation::handle::Versions;
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::issued::IssuedToken;
use crate::sessions::login::Login;
use crate::sessions::session::Session;
use crate::sessions::sign::Later;
use crate::testing::keys::fixed_ring;
use crate::testing::manual_clock::ManualClock;
use crate::token::id::Ids;

/// Returns a session of `subject`, for a handler that a test calls directly.
///
/// A token of the fixed key is issued at the time of [`ManualClock::default`], and the verifier makes the
/// session from it. [`TestSession`] has a scope and other times.
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

/// Makes a session like [`session`], with a scope and times of its own.
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
pub struct TestSession<C> {
    login: Login<C>,
    issued_at: Timestamp,
    authenticated_at: Option<Timestamp>,
}

impl<C: SessionClaims> TestSession<C> {
    /// A session of `subject` that logged in at the time of [`ManualClock::default`].
    pub fn new(subject: impl Into<String>, claims: C) -> Self {
        let issued_at = crate::clock::Clock::now(&ManualClock::default());
        Self { login: Login::new(subject, claims), issued_at, authenticated_at: None }
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
    /// Panics if the subject is empty, the claims cannot be written and read, or the login is a century
    /// before the token.
    pub fn build(self) -> Session<C> {
        let keys = fixed_ring(ManualClock::new(self.issued_at));
        let sessions = Sessions::builder(keys, "https://app.example", "app")
            .absolute_lifetime(CENTURY)
            .token_cache_bytes(0)
            .build()
            .expect("good settings");
        let token = self.sign(&sessions).unwrap_or_else(|error| panic!("no such token: {error}"));
        sessions.validate(token.as_str()).unwrap_or_else(|error| panic!("refused: {error:#}"))
    }

    fn sign(&self, sessions: &Sessions<C>) -> Result<IssuedToken, OperationError> {
        let (now, mut ids) = (self.issued_at, Ids::default());
        let [session_id, jti] = ids.draw()?;
        let claims = sessions.claims_of_login(&self.login, session_id, Versions::default(), now);
        let auth_time = self.authenticated_at.unwrap_or(now);
        let claims = Payload { jti, auth_time, ..claims };
        sessions.sign(now, Duration::from_secs(60 * 60), Later::AsThis, claims)
    }
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
