//! The arm that is to be proved: the application over `tower-jwt-session`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use tower_jwt_session::{
    CookieTransport, Explanation, KeyRing, Login, Logout, OperationErrorKind, RefreshTokens,
    Session, Sessions, Transport,
};

use crate::{
    BoxError,
    arms::app::{LoginForm, LoginQuery, Me, Revoked, User},
    arms::figures::{self, Figures},
    arms::replica::ReplicaOptions,
    command::{arm::Arm, pace::Pace},
};

/// The state of the handlers. It holds no session.
#[derive(Clone)]
struct Shared {
    replica: Arc<str>,
    keys: KeyRing,
    sessions: Sessions<User>,
}

/// The application of one replica; it is ready to serve every session when this returns.
///
/// # Errors
/// If the keys cannot be had, or the periods contradict each other.
pub(crate) async fn app(options: &ReplicaOptions) -> Result<Router, BoxError> {
    // The keys, and which sessions were ended early, are all that the replicas share. Nobody is the
    // leader: each one publishes the next key if nobody has yet, and all agree on who signs because
    // all read the same times.
    let keys = options.keys.as_ref().ok_or("this arm needs keys")?;
    let (keys, revocations, refresh_tokens) = keys.open(options.pace, options.clock()).await?;
    let sessions = Sessions::<User>::builder(keys.clone(), &*options.service.issuer, "cluster")
        .idle_lifetime(options.pace.session_lifetime)
        .revocations(revocations)
        .refresh_tokens(at_this_pace(refresh_tokens, options.pace));
    let sessions = match options.arm {
        Arm::Cold => sessions.token_cache_bytes(0),
        _ => sessions,
    };
    let sessions = match &options.service.cookie {
        None => sessions,
        Some(name) => {
            let cookie = CookieTransport::new().name(name.clone());
            sessions.transports([Transport::bearer(), Transport::cookie(cookie)])
        }
    }
    .build()?;

    Ok(Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
        .route("/admin", get(admin))
        .route("/admin/revoke-key", post(revoke_key))
        .route("/admin/rotate-keys", post(rotate_keys))
        .route("/logout", post(logout))
        .route("/logout-everywhere", post(logout_everywhere))
        .merge(sessions.jwks_router())
        .merge(sessions.token_router())
        .layer(sessions.layer())
        // Below the layer: a health check carries no session and needs no guard. A real service has
        // these routes on an internal port.
        .merge(sessions.status_router())
        .route("/explain", post(explain))
        .with_state(Shared { replica: options.name.as_str().into(), keys, sessions })
        .merge(figures::route(Figures::default)))
}

/// For clients that are no browsers. As short as the other periods here; all have a default.
fn at_this_pace(tokens: RefreshTokens, pace: Pace) -> RefreshTokens {
    tokens.access_token_lifetime(pace.session_lifetime).grace(pace.session_lifetime / 3)
}

/// Issues a session: as a cookie, or as JSON, with a refresh token, for clients that want to send it
/// as a bearer token.
async fn login(
    Query(query): Query<LoginQuery>,
    Json(form): Json<LoginForm>,
) -> Result<Login<User>, StatusCode> {
    let (subject, user) = form.check()?;
    let session = Login::new(subject, user);
    Ok(if query.wants_bearer() { session.bearer() } else { session })
}

/// Answers from the token alone: this replica may never have seen the user before.
async fn me(State(shared): State<Shared>, session: Session<User>) -> Json<Me> {
    Json(Me {
        subject: session.subject().to_owned(),
        name: session.claims().name.clone(),
        roles: session.claims().roles.clone(),
        expires_at: session.expires_at().as_unix_seconds(),
        replica: shared.replica.to_string(),
        kid: Some(session.key_id().to_string()),
    })
}

/// For those with the role `admin`; the others are known but may not.
async fn admin(session: Session<User>) -> Result<&'static str, StatusCode> {
    if session.claims().is("admin") { Ok("welcome\n") } else { Err(StatusCode::FORBIDDEN) }
}

/// Revokes the key that signed this very session, as if it had leaked: everyone who has a session
/// of that key has to log in again.
async fn revoke_key(
    State(shared): State<Shared>,
    session: Session<User>,
) -> Result<Json<Revoked>, StatusCode> {
    if !session.claims().is("admin") {
        return Err(StatusCode::FORBIDDEN);
    }
    let kid = session.key_id();
    match shared.keys.revoke(kid).await {
        Ok(()) => Ok(Json(Revoked {
            kid: kid.to_owned(),
            everywhere_within_ms: shared.keys.policy().refresh_bound().as_millis(),
        })),
        // No single key of a derived ring can be revoked, only the root of all.
        Err(error) if error.kind() == OperationErrorKind::NotConfigured => {
            Err(StatusCode::CONFLICT)
        }
        // Revoked on this replica; it records that as soon as the store is back.
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Lets another key sign as soon as every replica has it; what the present one has signed stays valid.
async fn rotate_keys(
    State(shared): State<Shared>,
    session: Session<User>,
) -> Result<StatusCode, StatusCode> {
    if !session.claims().is("admin") {
        return Err(StatusCode::FORBIDDEN);
    }
    match shared.keys.rotate_now().await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        // The keys of a derived ring change by its schedule alone.
        Err(error) if error.kind() == OperationErrorKind::NotConfigured => {
            Err(StatusCode::CONFLICT)
        }
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Ends every session of the user on every replica, as after a stolen device.
async fn logout_everywhere(_: Session<User>) -> Logout {
    Logout::new().everywhere()
}

/// Explains a token to an operator. Where these routes can be reached, tokens may be sent.
async fn explain(State(shared): State<Shared>, Json(body): Json<Explain>) -> Json<Explanation> {
    Json(shared.sessions.explain(&body.token))
}

/// The body of `POST /explain`.
#[derive(Deserialize)]
struct Explain {
    token: String,
}

/// Ends the session on every replica; the layer records it and clears the cookie. If that cannot be
/// recorded, the answer says so, and the session stays valid.
async fn logout(_: Session<User>) -> Logout {
    Logout::new()
}
