//! The arm that is to be proved: the application over `tower-jwt-session`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use tower_jwt_session::{
    EndError, EndSession, IssueSession, KeyRing, RingError, RotationPolicy, Session, Sessions,
};

use crate::{
    BoxError,
    app::{Login, LoginQuery, Me, Readiness, Revoked, User},
    args::Arm,
    replica::ReplicaOptions,
};

/// Periods that are short enough to watch. Every one has a default for a real service.
fn rotation(options: &ReplicaOptions) -> RotationPolicy {
    RotationPolicy::new()
        .signing_period(options.pace.signing_period)
        .max_token_lifetime(options.pace.session_lifetime)
        // All replicas run on one machine here.
        .clock_skew(Duration::from_millis(100))
        .refresh_interval(Duration::from_millis(200))
        .refresh_timeout(options.pace.store_timeout)
        .insert_timeout(options.pace.store_timeout)
        .jwks_max_age(Duration::from_secs(1))
        .overrun(Duration::from_secs(60))
}

/// What the handlers share. None of it is a session.
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
    // The keys are all that the replicas share. Nobody is the leader: each one publishes the next
    // key if nobody has yet, and all agree on who signs because all read the same times.
    let keys = options.keys.open(rotation(options)).await?;
    let sessions = Sessions::<User>::builder(keys.clone(), "https://cluster.example", "cluster")
        .idle_lifetime(options.pace.session_lifetime);
    let sessions = match options.arm {
        Arm::Cold => sessions.token_cache_bytes(0),
        _ => sessions,
    }
    .build()?;

    Ok(Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
        .route("/admin", get(admin))
        .route("/admin/revoke-key", post(revoke_key))
        .route("/logout", post(logout))
        .merge(sessions.jwks_router())
        .layer(sessions.layer())
        // Below the layer: a health check carries no session and needs no guard.
        .route("/health/ready", get(ready))
        .with_state(Shared { replica: options.name.as_str().into(), keys, sessions }))
}

/// Issues a session: as a cookie, or as JSON for clients that want to send it as a bearer token.
async fn login(
    Query(query): Query<LoginQuery>,
    Json(form): Json<Login>,
) -> Result<IssueSession<User>, StatusCode> {
    let (subject, user) = form.check()?;
    let session = IssueSession::new(subject, user);
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
        Err(RingError::NotRotated) => Err(StatusCode::CONFLICT),
        // Revoked on this replica; it tells the others as soon as the store is back.
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Ends the session; the layer clears the cookie.
async fn logout(
    State(shared): State<Shared>,
    session: Session<User>,
) -> Result<EndSession, EndError> {
    shared.sessions.end(&session).await
}

/// Whether this replica holds the keys that it needs.
async fn ready(State(shared): State<Shared>) -> Readiness {
    let status = shared.keys.status();
    Readiness {
        replica: shared.replica.to_string(),
        reason: shared.keys.ready().err().map(|reason| reason.to_string()),
        warning: status.failure,
        generation: status.generation,
        fingerprint: Some(status.fingerprint),
    }
}
