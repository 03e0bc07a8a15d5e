//! The arm over a database: `tower-sessions`, with its sessions in Redis. Every request asks Redis once;
//! every second half of a session's life writes once more, to prolong it.
//!
//! While Redis is away, `/me` and a logout are answered 503 and a login 500, each within the timeout of
//! the store: `tower-sessions` saves a new session behind the handler, and has one status for a failure.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{FromRequestParts, Query, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::post,
};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, aio::MultiplexedConnection,
};
use time::OffsetDateTime;
use tokio::{sync::Mutex, time::timeout};
use tower_jwt_session::{Clock as _, SystemClock};
use tower_sessions::{
    Expiry, Session as Kept, SessionManagerLayer, SessionStore,
    cookie::SameSite,
    session::{Id, Record},
    session_store::{Error, Result as Stored},
};

use crate::{
    BoxError,
    arms::app::{self, LoginForm, LoginQuery},
    arms::figures::{self, Figures},
    arms::replica::ReplicaOptions,
    arms::session::{self, Found, Session},
    store::keys::Place,
};

/// The name of the application's data within a session of `tower-sessions`.
const DATA: &str = "session";

/// The application of one replica.
///
/// # Errors
/// If the place of the keys is no single Redis.
pub(crate) fn app(options: &ReplicaOptions) -> Result<Router, BoxError> {
    let keys = options.keys.as_ref().ok_or("this arm needs a store")?;
    let Place::Redis(url) = &keys.place else {
        return Err("the arm `database` keeps its sessions in one Redis: `--store redis`".into());
    };
    let store = RedisSessions {
        client: Client::open(url.as_str())?,
        connection: Arc::default(),
        prefix: format!("{}:session:", keys.ring).into(),
        timeout: options.pace.store_timeout,
        round_trips: Arc::default(),
    };
    let lifetime = options.pace.session_lifetime;
    let expiry = Expiry::OnInactivity(lifetime.try_into()?);
    let layer = SessionManagerLayer::new(store.clone())
        .with_name(session::COOKIE)
        .with_same_site(SameSite::Lax)
        .with_expiry(expiry);
    let round_trips = Arc::clone(&store.round_trips);
    let read = move || Figures {
        store_round_trips: Some(round_trips.load(Ordering::Relaxed)),
        ..Figures::default()
    };
    Ok(Router::new()
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/logout-everywhere", post(logout_everywhere))
        .merge(session::routes())
        .layer(layer)
        // Ready also while Redis is away: a balancer must not take out every replica at once.
        .merge(app::always_ready(|| None))
        .with_state(Shared { replica: options.name.as_str().into(), lifetime, expiry, store })
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

/// Makes a session, with an identifier of its own even if the request came with another session.
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

fn unavailable(error: &tower_sessions::session::Error) -> StatusCode {
    tracing::warn!(%error, "session store failed");
    StatusCode::SERVICE_UNAVAILABLE
}

/// The store: one key per session, which Redis drops when the session expires.
#[derive(Clone)]
struct RedisSessions {
    client: Client,
    connection: Arc<Mutex<Option<MultiplexedConnection>>>,
    prefix: Arc<str>,
    timeout: Duration,
    round_trips: Arc<AtomicU64>,
}

/// The type that the macro `async_trait` writes.
type Pending<'a, T> = Pin<Box<dyn Future<Output = Stored<T>> + Send + 'a>>;

impl SessionStore for RedisSessions {
    fn create<'a, 'b, 'c>(&'a self, record: &'b mut Record) -> Pending<'c, ()>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async {
            let made: Option<String> = self.ask(self.set(record)?.arg("NX")).await?;
            made.map(drop).ok_or_else(|| Error::Backend("the identifier is taken".to_owned()))
        })
    }

    fn save<'a, 'b, 'c>(&'a self, record: &'b Record) -> Pending<'c, ()>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async { self.ask(&self.set(record)?).await })
    }

    fn load<'a, 'b, 'c>(&'a self, id: &'b Id) -> Pending<'c, Option<Record>>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async {
            let text: Option<String> = self.ask(redis::cmd("GET").arg(self.key(id))).await?;
            let record = text.map(|text| serde_json::from_str(&text)).transpose();
            record.map_err(|error| Error::Decode(error.to_string()))
        })
    }

    fn delete<'a, 'b, 'c>(&'a self, id: &'b Id) -> Pending<'c, ()>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async { self.ask(redis::cmd("DEL").arg(self.key(id))).await })
    }
}

impl RedisSessions {
    fn key(&self, id: &Id) -> String {
        format!("{}{id}", self.prefix)
    }

    async fn delete_all_of(&self, subject: &str) -> Stored<()> {
        let mut cursor: u64 = 0;
        loop {
            let pattern = format!("{}*", self.prefix);
            let page = redis::cmd("SCAN").arg(cursor).arg("MATCH").arg(pattern).take();
            let (next, keys): (u64, Vec<String>) = self.ask(&page).await?;
            for key in keys {
                let text: Option<String> = self.ask(redis::cmd("GET").arg(&key)).await?;
                let record = text.and_then(|text| serde_json::from_str::<Record>(&text).ok());
                if record
                    .is_some_and(|it| it.data.get(DATA).is_some_and(|it| it["subject"] == subject))
                {
                    let _: u64 = self.ask(redis::cmd("DEL").arg(&key)).await?;
                }
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn set(&self, record: &Record) -> Stored<Cmd> {
        let text =
            serde_json::to_string(record).map_err(|error| Error::Encode(error.to_string()))?;
        let rest = (record.expiry_date - OffsetDateTime::now_utc()).whole_milliseconds().max(1);
        let rest = i64::try_from(rest).map_err(|error| Error::Encode(error.to_string()))?;
        Ok(redis::cmd("SET").arg(self.key(&record.id)).arg(text).arg("PX").arg(rest).take())
    }

    /// One round trip. A connection on which it failed is not used again.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Stored<T> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let asked = async { command.query_async(&mut self.connected().await?).await };
        let failure = match timeout(self.timeout, asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("Redis did not answer within {:?}", self.timeout),
        };
        // If the lock is held, somebody connects again.
        if let Ok(mut held) = self.connection.try_lock() {
            *held = None;
        }
        Err(Error::Backend(failure))
    }

    async fn connected(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(held.insert(connection).clone())
    }
}

impl fmt::Debug for RedisSessions {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSessions").finish_non_exhaustive()
    }
}
