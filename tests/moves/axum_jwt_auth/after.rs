//! The API for orders of `before.rs`, with `tower-jwt-session`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tower_jwt_session::store::{FileStore, RevocationStore};
use tower_jwt_session::{BuildError, KeyRing, Login, Logout, Revocations, Session, Sessions};
use tower_jwt_session::{SessionsBuilder, Transport};

use crate::accounts::Users;

const ISSUER: &str = "https://orders.example";
const AUDIENCE: &str = "orders";
const PARTNER: &str = "https://login.partner.example";

/// What the tokens of this service hold, beside the registered claims.
#[derive(Clone, Deserialize, Serialize)]
pub struct User {
    pub name: String,
    pub roles: Vec<String>,
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().map_err(|_| "another provider is installed")?;
    let (sessions, _) = builder(FileStore::open("keys")?).await?;
    let staff = staff("https://login.partner.example/jwks.json").await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app(sessions.build()?, &staff)).await?)
}

/// The sessions of this service, and their revocations.
pub async fn builder(
    store: impl RevocationStore + Clone,
) -> Result<(SessionsBuilder<User>, Revocations), BuildError> {
    let keys = KeyRing::builder("orders").store(store.clone()).open().await?;
    let revocations = Revocations::builder("orders").store(store).open().await?;
    let sessions = Sessions::builder(keys, ISSUER, AUDIENCE)
        .transports([Transport::bearer()])
        .revocations(revocations.clone());
    Ok((sessions, revocations))
}

/// The tokens of the partner.
pub async fn staff(partner_jwks: &str) -> Result<Sessions<()>, BuildError> {
    let keys = KeyRing::jwks_url(PARTNER, partner_jwks).allow_http_on_loopback().open().await?;
    Sessions::builder(keys, PARTNER, AUDIENCE)
        .accept_token_type("at+jwt")
        .transports([Transport::bearer()])
        .build()
}

pub fn app(sessions: Sessions<User>, staff: &Sessions<()>) -> Router {
    let issuing = Router::new()
        .route("/login", post(login))
        .route("/renew", post(renew))
        .with_state(sessions.clone());
    issuing.merge(routes(&sessions)).layer(sessions.layer()).merge(reports(staff))
}

/// The routes for users that issue no token.
pub fn routes(sessions: &Sessions<User>) -> Router {
    let is_admin = |session: &Session<User>| session.claims().roles.iter().any(|it| it == "admin");
    let admin = sessions.validate_layer().authorize(is_admin);
    Router::new()
        .route("/", get(home))
        .route("/logout", post(async || Logout::new()))
        .route("/me", get(me))
        .route("/settings", get(async || "settings").layer(admin))
}

/// The routes for the partner's staff.
pub fn reports(staff: &Sessions<()>) -> Router {
    let reports = async |staff: Session<()>| format!("reports for {}", staff.subject());
    let layer = staff.validate_layer().require_scope("reports:read");
    Router::new().route("/reports", get(reports).layer(layer))
}

async fn login(Json(form): Json<Credentials>) -> Result<Login<User>, StatusCode> {
    let account = Users::default().authenticate(&form.name, &form.password).await;
    let account = account.ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(Login::new(account.id, User { name: account.name, roles: account.roles }).bearer())
}

/// A client that stays changes its token for the next one before it expires.
async fn renew(State(sessions): State<Sessions<User>>, session: Session<User>) -> Login<User> {
    let user = session.claims().clone();
    match session.issuer() {
        ISSUER => sessions.reissue(&session, user).bearer(),
        _ => Login::new(session.subject(), user).bearer(),
    }
}

async fn home(session: Option<Session<User>>) -> String {
    session.map_or("please log in".into(), |it| format!("hello {}", it.claims().name))
}

async fn me(session: Session<User>) -> String {
    format!("{} ({})", session.claims().name, session.subject())
}
