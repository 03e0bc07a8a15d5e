//! A single-page application on another origin than its API: bearer tokens, refresh tokens and CORS.
//!
//! ```text
//! cargo run --example spa        # the page: http://localhost:3003, the API: http://localhost:3002
//! curl -d '{"name":"alice"}' -H 'content-type: application/json' localhost:3002/login
//! curl -H "authorization: Bearer $ACCESS_TOKEN" localhost:3002/me
//! curl -d grant_type=refresh_token -d refresh_token=$REFRESH_TOKEN localhost:3002/token
//! curl -d token=$REFRESH_TOKEN localhost:3002/revoke
//! ```

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tower_http::cors::CorsLayer;
use tower_jwt_session::store::{MemoryStore, RefreshTokenStore, RevocationStore};
use tower_jwt_session::{
    BuildError, KeyRing, Login, Logout, RefreshTokens, Revocations, Session, Sessions, Transport,
};

#[cfg(all(test, feature = "test-util"))]
mod tests;

#[derive(Deserialize)]
struct LoginForm {
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let any_port = std::env::args().any(|argument| argument == "any-port");
    let bind = |port: u16| TcpListener::bind(("127.0.0.1", if any_port { 0 } else { port }));
    let (api_port, page_port) = (bind(3002).await?, bind(3003).await?);
    let api_url = format!("http://localhost:{}", api_port.local_addr()?.port());
    let page_url = format!("http://localhost:{}", page_port.local_addr()?.port());
    // A real service has a store that outlives it, such as a directory, Redis or PostgreSQL.
    let api = axum::serve(api_port, app(MemoryStore::new(), &api_url, page_url.parse()?).await?);
    println!("open {page_url}");
    let page = axum::serve(page_port, page(&api_url));
    tokio::try_join!(api.into_future(), page.into_future())?;
    Ok(())
}

fn page(api: &str) -> Router {
    let page = include_str!("spa.html").replace("http://localhost:3002", api);
    Router::new().route("/", get(async || Html(page)))
}

async fn app(
    store: impl RevocationStore + RefreshTokenStore + Clone,
    url: &str,
    page: HeaderValue,
) -> Result<Router, BuildError> {
    let keys = KeyRing::builder("app").store(store.clone()).open().await?;
    let revocations = Revocations::builder("app").store(store.clone()).open().await?;
    let sessions = Sessions::<()>::builder(keys, url, "app")
        .transports([Transport::bearer()])
        .revocations(revocations)
        .refresh_tokens(RefreshTokens::new().store(store))
        .build()?;
    let cors = CorsLayer::new()
        .allow_origin(page)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([RETRY_AFTER, WWW_AUTHENTICATE]);
    Ok(Router::new()
        .route("/login", post(login))
        .route("/me", get(async |session: Session<()>| format!("hello {}\n", session.subject())))
        // A real service asks for the password on this route.
        .route("/logout-others", post(async || Logout::new().others()))
        .merge(sessions.token_router()) // POST /token and POST /revoke
        .layer(sessions.layer())
        .layer(cors)) // outside: preflight requests have no token, and a 401 is to be read
}

async fn login(Json(form): Json<LoginForm>) -> Result<Login<()>, StatusCode> {
    // A real service checks a password here.
    if form.name.is_empty() {
        return Err(StatusCode::UNAUTHORIZED);
    }
    Ok(Login::new(form.name, ()).bearer())
}
