//! A service for clients that are not browsers: a login is answered with a short access token, and a
//! refresh token for the next two.
//!
//! ```text
//! cargo run --example refresh
//! curl -X POST localhost:3002/login
//! curl -H "authorization: Bearer $ACCESS_TOKEN" localhost:3002/me
//! curl -d grant_type=refresh_token -d refresh_token=$REFRESH_TOKEN localhost:3002/token
//! ```

use axum::Router;
use axum::routing::{get, post};
use tower_jwt_session::Transport;
use tower_jwt_session::store::{FileStore, RefreshTokenStore, RevocationStore};
use tower_jwt_session::{
    BuildError, KeyRing, Login, RefreshTokens, Revocations, Session, Sessions,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = app(FileStore::open("keys")?).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3002").await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

async fn app(
    store: impl RevocationStore + RefreshTokenStore + Clone,
) -> Result<Router, BuildError> {
    let keys = KeyRing::builder("app").store(store.clone()).open().await?;
    let revocations = Revocations::builder("app").store(store.clone()).open().await?;
    let sessions = Sessions::<()>::builder(keys, "https://app.example", "app")
        .transports([Transport::bearer()])
        .revocations(revocations)
        .refresh_tokens(RefreshTokens::new().store(store))
        .build()?;
    // A real service checks a password here.
    let login = async || Login::new("alice", ()).bearer();
    let me = async |session: Session<()>| format!("hello {}\n", session.subject());
    Ok(Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
        .merge(sessions.token_router())
        .layer(sessions.layer()))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode, header};
    use tower::ServiceExt as _;
    use tower_jwt_session::store::MemoryStore;

    use super::*;

    async fn send(app: &Router, request: Request<Body>) -> (StatusCode, serde_json::Value) {
        let answer = app.clone().oneshot(request).await.expect("an answer");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn refresh(app: &Router, token: &str) -> (StatusCode, serde_json::Value) {
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        let request = Request::post("/token");
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        send(app, request.body(Body::from(form)).expect("a request")).await
    }

    #[tokio::test]
    async fn any_replica_refreshes_and_a_stolen_token_ends_the_session() {
        let store = MemoryStore::new();
        let one = app(store.clone()).await.expect("the first replica");
        let other = app(store).await.expect("the second replica");

        let login = Request::post("/login").body(Body::empty()).expect("a request");
        let (_, first) = send(&one, login).await;
        let stolen = first["refresh_token"].as_str().expect("a refresh token");
        let (_, second) = refresh(&other, stolen).await;
        let next = second["refresh_token"].as_str().expect("a refresh token");
        assert_eq!(refresh(&one, stolen).await.1["refresh_token"], next, "a retry");
        let (_, third) = refresh(&one, next).await;

        assert_eq!(refresh(&other, stolen).await.0, StatusCode::BAD_REQUEST);
        let access = format!("Bearer {}", third["access_token"].as_str().expect("a token"));
        let me = Request::get("/me").header(header::AUTHORIZATION, access);
        let (status, _) = send(&other, me.body(Body::empty()).expect("a request")).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
}
