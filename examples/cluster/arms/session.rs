//! Sessions that a random identifier names: what the arms without tokens have in common.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower_jwt_session::Timestamp;

use crate::arms::app::{Me, User};

/// The name of the cookie.
pub(crate) const COOKIE: &str = "__Host-session";
const ATTRIBUTES: &str = "Path=/; HttpOnly; Secure; SameSite=Lax";

/// What is kept of a session.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Session {
    /// The user name.
    pub(crate) subject: String,
    /// The user.
    pub(crate) user: User,
    /// When it ends unless it is used.
    pub(crate) expires_at: Timestamp,
}

/// The session of a request, as an argument of a handler. Each arm finds it in its own way.
pub(crate) struct Found {
    /// Its identifier.
    pub(crate) id: String,
    /// The session.
    pub(crate) session: Session,
    /// Who found it.
    pub(crate) replica: Arc<str>,
}

/// The routes that only read the session.
pub(crate) fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Found: FromRequestParts<S>,
{
    Router::new().route("/me", get(me)).route("/admin", get(admin))
}

/// Answers with what is known of the user.
async fn me(Found { session, replica, .. }: Found) -> Json<Me> {
    Json(Me {
        subject: session.subject,
        name: session.user.name,
        roles: session.user.roles,
        expires_at: session.expires_at.as_unix_seconds(),
        replica: replica.to_string(),
        kid: None,
    })
}

/// For those with the role `admin`; the others are known but may not.
async fn admin(Found { session, .. }: Found) -> Result<&'static str, StatusCode> {
    if session.user.is("admin") { Ok("welcome\n") } else { Err(StatusCode::FORBIDDEN) }
}

/// The identifier that a request presents as a bearer token.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The identifier that a request presents, by cookie or as a bearer token.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).or_else(|| {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
        cookies
            .flat_map(|line| line.split("; "))
            .find_map(|pair| pair.strip_prefix(COOKIE)?.strip_prefix('='))
    })
}

/// The answer to a request without a session that this replica finds.
pub(crate) fn unknown(replica: &str) -> Response {
    let reason = format!("{replica} does not know this session");
    (StatusCode::UNAUTHORIZED, Json(json!({ "error": reason }))).into_response()
}

/// Hands the identifier of a new session out as a cookie.
pub(crate) fn in_cookie(id: &str) -> Response {
    no_content(format!("{COOKIE}={id}; {ATTRIBUTES}"))
}

/// Hands the identifier of a new session out as JSON, for clients that want to send it as a bearer
/// token.
pub(crate) fn in_json(id: &str) -> Response {
    Json(json!({ "access_token": id, "token_type": "Bearer" })).into_response()
}

/// Clears the cookie, with the attributes that set it.
pub(crate) fn logged_out() -> Response {
    no_content(format!("{COOKIE}=; {ATTRIBUTES}; Max-Age=0"))
}

fn no_content(cookie: String) -> Response {
    (StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, cookie)])).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn presented_by(name: &'static str, value: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(
            name.parse().expect("a header name"),
            HeaderValue::from_static(value),
        )]);
        presented(&headers).map(str::to_owned)
    }

    #[test]
    fn the_identifier_is_found_among_other_cookies() {
        assert_eq!(presented_by("cookie", "a=b; __Host-session=x=1; c=d").as_deref(), Some("x=1"));
        assert_eq!(presented_by("cookie", "__Host-session2=x"), None);
        assert_eq!(presented_by("authorization", "Bearer x").as_deref(), Some("x"));
        assert_eq!(presented_by("authorization", "Basic x"), None);
    }
}
