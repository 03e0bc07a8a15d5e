//! The control arm: the same application over sessions in the memory of the process that made them.
//!
//! It is a correct server of its kind, with random identifiers, expiry and logout. Alone it works.
//! It cannot answer for a session that another process made, or that it made itself in
//! an earlier life.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{FromRequestParts, Query, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{AppendHeaders, IntoResponse, Response},
    routing::{get, post},
};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;

use tower_jwt_session::{Clock as _, Timestamp};

use crate::{
    arms::app::{self, LoginForm, LoginQuery, Me, User},
    arms::clock::OffsetClock,
    arms::replica::ReplicaOptions,
};

const COOKIE: &str = "__Host-session";
const ATTRIBUTES: &str = "Path=/; HttpOnly; Secure; SameSite=Lax";

/// The state of the handlers, which is lost with the process.
#[derive(Clone)]
struct Shared {
    replica: Arc<str>,
    lifetime: Duration,
    clock: OffsetClock,
    sessions: Arc<Mutex<HashMap<String, Session>>>,
}

/// A session that this process knows; as an argument of a handler, the one of the request.
#[derive(Clone)]
struct Session {
    id: String,
    subject: String,
    user: User,
    expires_at: Timestamp,
}

/// The application of one replica.
pub(crate) fn app(options: &ReplicaOptions) -> Router {
    Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
        .route("/admin", get(admin))
        .route("/logout", post(logout))
        .route("/logout-everywhere", post(logout_everywhere))
        .merge(app::always_ready())
        .with_state(Shared {
            replica: options.name.as_str().into(),
            lifetime: options.pace.session_lifetime,
            clock: options.clock(),
            sessions: Arc::default(),
        })
}

impl Shared {
    /// A panic under this lock cannot leave the map half changed, so poison says nothing.
    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The live session of this identifier; used sessions live on, as with a renewed cookie.
    fn find(&self, id: &str) -> Option<Session> {
        let mut sessions = self.sessions();
        let session = sessions.get_mut(id)?;
        let now = self.clock.now();
        if session.expires_at <= now {
            sessions.remove(id);
            return None;
        }
        session.expires_at = now + self.lifetime;
        Some(session.clone())
    }
}

impl FromRequestParts<Shared> for Session {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        presented(&parts.headers).and_then(|id| shared.find(id)).ok_or_else(|| {
            let reason = format!("{} does not know this session", shared.replica);
            (StatusCode::UNAUTHORIZED, Json(json!({ "error": reason }))).into_response()
        })
    }
}

/// The identifier that a request presents, by cookie or as a bearer token.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    bearer.and_then(|value| value.strip_prefix("Bearer ")).or_else(|| {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
        cookies
            .flat_map(|line| line.split("; "))
            .find_map(|pair| pair.strip_prefix(COOKIE)?.strip_prefix('='))
    })
}

/// Makes a session, and keeps it here.
async fn login(
    State(shared): State<Shared>,
    Query(query): Query<LoginQuery>,
    Json(form): Json<LoginForm>,
) -> Result<Response, StatusCode> {
    let (subject, user) = form.check()?;
    let mut random = [0; 16];
    // Without randomness nobody can be logged in safely.
    SystemRandom::new().fill(&mut random).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let expires_at = shared.clock.now() + shared.lifetime;
    let session = Session { id: id.clone(), subject, user, expires_at };
    shared.sessions().insert(id.clone(), session);
    Ok(if query.wants_bearer() {
        Json(json!({ "access_token": id, "token_type": "Bearer" })).into_response()
    } else {
        set_cookie(format!("{COOKIE}={id}; {ATTRIBUTES}"))
    })
}

/// Answers if this process made the session.
async fn me(State(shared): State<Shared>, session: Session) -> Json<Me> {
    Json(Me {
        subject: session.subject,
        name: session.user.name,
        roles: session.user.roles,
        expires_at: session.expires_at.as_unix_seconds(),
        replica: shared.replica.to_string(),
        kid: None,
    })
}

/// For those with the role `admin`; the others are known but may not.
async fn admin(session: Session) -> Result<&'static str, StatusCode> {
    if session.user.is("admin") { Ok("welcome\n") } else { Err(StatusCode::FORBIDDEN) }
}

/// Forgets the session, and clears the cookie with the attributes that set it.
async fn logout(State(shared): State<Shared>, session: Session) -> Response {
    shared.sessions().remove(&session.id);
    set_cookie(format!("{COOKIE}=; {ATTRIBUTES}; Max-Age=0"))
}

/// Forgets every session of the user in this process. Those in other processes stay valid.
async fn logout_everywhere(State(shared): State<Shared>, session: Session) -> Response {
    shared.sessions().retain(|_, other| other.subject != session.subject);
    set_cookie(format!("{COOKIE}=; {ATTRIBUTES}; Max-Age=0"))
}

fn set_cookie(cookie: String) -> Response {
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
