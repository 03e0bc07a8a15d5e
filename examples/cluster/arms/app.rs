//! Shared by all arms: the users, the shapes of the answers, and the routes without a session.

use axum::{
    Json, Router,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::{Next, from_fn},
    response::{Html, IntoResponse},
    routing::get,
};
use serde::{Deserialize, Serialize};

use crate::{BoxError, arms::health};

/// Which replica answered.
pub(crate) const REPLICA: HeaderName = HeaderName::from_static("x-replica");

/// The route that balancers ask.
pub(crate) const READY: &str = "/health/ready";

/// How the names of the crowd's users begin: `user-1`, `user-2`, …
pub(crate) const CROWD: &str = "user-";
/// The password of each of them.
pub(crate) const CROWD_PASSWORD: &str = "one of many";

/// The application's claims.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct User {
    /// The user's name.
    pub(crate) name: String,
    /// The user's roles.
    pub(crate) roles: Vec<String>,
}

impl User {
    /// Whether they have a role.
    pub(crate) fn is(&self, role: &str) -> bool {
        self.roles.iter().any(|it| it == role)
    }
}

/// The body of `POST /login`.
#[derive(Deserialize)]
pub(crate) struct LoginForm {
    username: String,
    password: String,
}

impl LoginForm {
    /// The user with this name and password. A demonstration: a real application keeps password hashes.
    ///
    /// # Errors
    /// 401 for a name or a password that is wrong, without a hint at which.
    pub(crate) fn check(self) -> Result<(String, User), StatusCode> {
        let (name, roles): (_, &[&str]) = match (&*self.username, &*self.password) {
            ("alice", "wonderland") => ("Alice", &["user", "admin"]),
            ("bob", "builder") => ("Bob", &["user"]),
            (one, CROWD_PASSWORD) if is_of_the_crowd(one) => (one, &["user"]),
            _ => return Err(StatusCode::UNAUTHORIZED),
        };
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        let user = User { name: name.to_owned(), roles };
        Ok((self.username, user))
    }
}

/// Whether it is `user-1`, `user-2`, …
fn is_of_the_crowd(username: &str) -> bool {
    let number = username.strip_prefix(CROWD).filter(|number| number.len() <= 10);
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The query of `POST /login`.
#[derive(Deserialize)]
pub(crate) struct LoginQuery {
    transport: Option<String>,
}

impl LoginQuery {
    /// Whether the client wants the token as JSON rather than as a cookie.
    pub(crate) fn wants_bearer(&self) -> bool {
        self.transport.as_deref() == Some("bearer")
    }
}

/// The answer of `GET /me`.
#[derive(Serialize)]
pub(crate) struct Me {
    /// The user name.
    pub(crate) subject: String,
    /// The user's name.
    pub(crate) name: String,
    /// The user's roles.
    pub(crate) roles: Vec<String>,
    /// When the session ends unless it is renewed, in seconds since 1970.
    pub(crate) expires_at: i64,
    /// Who answered.
    pub(crate) replica: String,
    /// Which key signed the session; none if nothing signs it.
    pub(crate) kid: Option<String>,
}

/// The answer of `POST /admin/revoke-key`.
#[derive(Serialize)]
pub(crate) struct Revoked {
    /// The key that neither signs nor verifies any more.
    pub(crate) kid: String,
    /// The upper limit in milliseconds until the other replicas refuse it.
    pub(crate) everywhere_within_ms: u128,
}

/// The health routes of an arm that has nothing to wait for once it is served. Those of the crate are the
/// same routes. `peers` counts the other replicas that it sends copies to; none if it sends no copies.
pub(crate) fn always_ready<S: Clone + Send + Sync + 'static>(
    peers: impl Fn() -> Option<usize> + Clone + Send + Sync + 'static,
) -> Router<S> {
    let ready = async move || Json(serde_json::json!({ "ready": true, "peers": peers() }));
    Router::new().route("/health/live", get(ready.clone())).route(READY, get(ready))
}

/// Adds the routes that need no session, the name of the replica to every answer, and a readiness that
/// fails if that is ordered.
///
/// # Errors
/// If the name is not a valid header value.
pub(crate) fn with_common_routes(app: Router, replica: &str) -> Result<Router, BoxError> {
    let name = HeaderValue::from_str(replica)?;
    let answer = move |request: Request, next: Next| {
        let name = name.clone();
        async move {
            let mut response = match health::is_ordered_down() && request.uri().path() == READY {
                true => (StatusCode::SERVICE_UNAVAILABLE, "not ready, by order\n").into_response(),
                false => next.run(request).await,
            };
            response.headers_mut().insert(REPLICA, name);
            response
        }
    };
    Ok(app
        .route("/", get(|| async { Html(include_str!("../page/serve.html")) }))
        .layer(from_fn(answer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(username: &str, password: &str) -> Result<(String, User), StatusCode> {
        LoginForm { username: username.into(), password: password.into() }.check()
    }

    #[test]
    fn only_alice_is_an_admin() {
        let (subject, alice) = login("alice", "wonderland").expect("her password");
        assert_eq!(subject, "alice");
        assert!(alice.is("admin"));
        assert!(!login("bob", "builder").expect("his password").1.is("admin"));
        assert_eq!(login("alice", "builder").err(), Some(StatusCode::UNAUTHORIZED));
    }

    #[test]
    fn each_user_of_the_crowd_is_another_one() {
        let (subject, user) = login("user-7", CROWD_PASSWORD).expect("their password");
        assert_eq!((subject.as_str(), user.name.as_str()), ("user-7", "user-7"));
        assert!(login("user-", CROWD_PASSWORD).is_err());
        assert!(login("user-7", "builder").is_err());
    }
}
