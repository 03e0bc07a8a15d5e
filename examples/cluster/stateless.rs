//! The arm that is to be proved: the application over `tower-jwt-session`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use tower_jwt_session::{
    EndError, EndSession, IssueSession, KeyRing, RotationPolicy, Session, Sessions,
    store::FileStore,
};

use crate::{
    BoxError,
    app::{Login, LoginQuery, Me, Readiness, User},
    args::ReplicaOptions,
};

/// Periods that are short enough to watch. Every one has a default for a real service.
fn rotation(options: &ReplicaOptions) -> RotationPolicy {
    RotationPolicy::new()
        .signing_period(options.pace.signing_period)
        .max_token_lifetime(options.pace.session_lifetime)
        // All replicas run on one machine here.
        .clock_skew(Duration::from_millis(100))
        .refresh_interval(Duration::from_millis(200))
        .refresh_timeout(Duration::from_millis(200))
        .insert_timeout(Duration::from_millis(250))
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
/// If the directory of keys cannot be used, or the periods contradict each other.
pub(crate) async fn app(options: &ReplicaOptions) -> Result<Router, BoxError> {
    // The directory is all that the replicas share. Nobody is the leader: each one publishes the
    // next key if nobody has yet, and all agree on who signs because all read the same times.
    let keys = KeyRing::builder("cluster")
        .store(FileStore::open(&options.keys)?)
        .rotation(rotation(options))
        .open()
        .await?;
    let sessions = Sessions::<User>::builder(keys.clone(), "https://cluster.example", "cluster")
        .idle_lifetime(options.pace.session_lifetime)
        .build()?;

    Ok(Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
        .route("/admin", get(admin))
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
        generation: status.generation,
        fingerprint: Some(status.fingerprint),
    }
}
