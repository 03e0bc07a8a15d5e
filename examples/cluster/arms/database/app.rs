//! The application over `tower-sessions`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{FromRequestParts, Query, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::post,
};
use tower_jwt_session::{Clock as _, SystemClock};
use tower_sessions::{
    Expiry, Session as Kept, SessionManagerLayer, cookie::SameSite, session::Error, session::Id,
};

use crate::{
    BoxError,
    arms::app::{self, LoginForm, LoginQuery},
    arms::database::store::{DATA, RedisSessions},
    arms::figures::{self, Figures},
    arms::session::{self, Found, Session},
    command::pace::Pace,
    store::keys::{KeyOptions, Place},
};

/// The application of one replica, over the Redis that the replicas share.
///
/// # Errors
/// If they share something else.
pub(crate) fn app(name: &str, keys: &KeyOptions, pace: Pace) -> Result<Router, BoxError> {
    let Place::Redis(url) = &keys.place else {
        return Err("the arm `database` keeps its sessions in one Redis: `--store redis`".into());
    };
    let store = RedisSessions::open(url, &keys.ring, pace.store_timeout)?;
    over(store, name, pace.session_lifetime)
}

/// The application over this store.
///
/// # Errors
/// If a session is to live longer than there are numbers for.
pub(super) fn over(
    store: RedisSessions,
    name: &str,
    lifetime: Duration,
) -> Result<Router, BoxError> {
    let expiry = Expiry::OnInactivity(lifetime.try_into()?);
    let layer = SessionManagerLayer::new(store.clone())
        .with_name(session::COOKIE)
        .with_same_site(SameSite::Lax)
        .with_expiry(expiry);
    let counted = store.clone();
    let read =
        move || Figures { store_round_trips: Some(counted.round_trips()), ..Figures::default() };
    Ok(Router::new()
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/logout-everywhere", post(logout_everywhere))
        .merge(session::routes())
        .layer(layer)
        // Ready also while Redis is away: a balancer must not take out every replica at once.
        .merge(app::always_ready(|| None))
        .with_state(Shared { replica: name.into(), lifetime, expiry, store })
        .merge(figures::route(read)))
}

/// The state of the handlers. It holds no session.
#[derive(Clone)]
struct Shared {
    replica: Arc<str>,
    lifetime: Duration,
    expiry: Expiry,
    store: RedisSessions,
}

impl Shared {
    /// A session beside the layer, which only reads cookies: for clients that send bearer tokens.
    fn beside_the_layer(&self, id: Option<Id>) -> Kept {
        Kept::new(id, Arc::new(self.store.clone()), Some(self.expiry))
    }
}

impl FromRequestParts<Shared> for Found {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let bearer = session::bearer(&parts.headers).map(|id| id.parse().ok());
        let kept = match bearer {
            Some(id) => shared.beside_the_layer(id),
            None => {
                let kept = Kept::from_request_parts(parts, shared).await;
                kept.map_err(IntoResponse::into_response)?
            }
        };
        let unavailable = |error| unavailable(&error).into_response();
        let known = kept.get::<Session>(DATA).await.map_err(unavailable)?;
        let (Some(id), Some(mut session)) = (kept.id(), known) else {
            return Err(session::unknown(&shared.replica));
        };
        let now = SystemClock.now();
        if session.expires_at < now + shared.lifetime / 2 {
            session.expires_at = now + shared.lifetime;
            // The layer saves what was changed. It does not know the session of a bearer token.
            kept.insert(DATA, &session).await.map_err(unavailable)?;
            if bearer.is_some() {
                kept.save().await.map_err(unavailable)?;
            }
        }
        Ok(Self { id: id.to_string(), session, replica: Arc::clone(&shared.replica) })
    }
}

/// Makes a session, with a new identifier, even if the request came with another session.
async fn login(
    State(shared): State<Shared>,
    by_cookie: Kept,
    Query(query): Query<LoginQuery>,
    Json(form): Json<LoginForm>,
) -> Result<Response, StatusCode> {
    let (subject, user) = form.check()?;
    let session = Session { subject, user, expires_at: SystemClock.now() + shared.lifetime };
    let bearer = query.wants_bearer().then(|| shared.beside_the_layer(None));
    let kept = bearer.as_ref().unwrap_or(&by_cookie);
    if kept.id().is_some() {
        kept.cycle_id().await.map_err(|error| unavailable(&error))?;
    }
    kept.insert(DATA, &session).await.map_err(|error| unavailable(&error))?;
    if bearer.is_none() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    kept.save().await.map_err(|error| unavailable(&error))?;
    let id = kept.id().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(session::in_json(&id.to_string()))
}

/// Deletes the session. The cookie is cleared here, too: `tower-sessions` clears it without `Secure`,
/// which browsers ignore for a name that begins with `__Host-`.
async fn logout(
    State(shared): State<Shared>,
    found: Found,
    by_cookie: Kept,
) -> Result<Response, StatusCode> {
    let by_cookie_too = by_cookie.id().is_some_and(|id| id.to_string() == found.id);
    let kept =
        if by_cookie_too { by_cookie } else { shared.beside_the_layer(found.id.parse().ok()) };
    kept.flush().await.map_err(|error| unavailable(&error))?;
    Ok(session::logged_out())
}

/// Deletes every session of the user: each session in Redis is looked at, since `tower-sessions` does not
/// know whose they are.
async fn logout_everywhere(
    State(shared): State<Shared>,
    found: Found,
) -> Result<Response, StatusCode> {
    let deleted = shared.store.delete_all_of(&found.session.subject).await;
    deleted.map_err(|error| unavailable(&error.into()))?;
    Ok(session::logged_out())
}

fn unavailable(error: &Error) -> StatusCode {
    tracing::warn!(%error, "session store failed");
    StatusCode::SERVICE_UNAVAILABLE
}
