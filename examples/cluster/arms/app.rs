//! Shared by both arms: the users, the shapes of the answers, and the routes without a session.

use axum::{
    Json, Router,
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::map_response,
    response::{Html, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};

use crate::BoxError;

/// Which replica answered.
pub(crate) const REPLICA: HeaderName = HeaderName::from_static("x-replica");

/// The application's claims.
#[derive(Clone, Debug, Deserialize, Serialize)]
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
            _ => return Err(StatusCode::UNAUTHORIZED),
        };
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        Ok((self.username, User { name: name.to_owned(), roles }))
    }
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

/// The health routes of an arm that holds nothing that it would have to wait for. Those of the crate are
/// the same routes.
pub(crate) fn always_ready<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let ready = async || Json(serde_json::json!({ "ready": true }));
    Router::new().route("/health/live", get(ready)).route("/health/ready", get(ready))
}

/// Adds the routes that need no session, and the name of the replica to every answer.
///
/// # Errors
/// If the name is not a valid header value.
pub(crate) fn with_common_routes(app: Router, replica: &str) -> Result<Router, BoxError> {
    let name = HeaderValue::from_str(replica)?;
    Ok(app.route("/", get(|| async { Html(include_str!("../page/serve.html")) })).layer(
        map_response(move |mut response: Response| {
            response.headers_mut().insert(REPLICA, name.clone());
            std::future::ready(response)
        }),
    ))
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
}
