//! The quick start: an axum service whose sessions any replica can read.
//!
//! ```text
//! cargo run --example quickstart
//! curl -c jar -d '{"name":"Alice"}' -H 'content-type: application/json' localhost:3000/login
//! curl -b jar localhost:3000/me
//! ```

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tower_jwt_session::store::{FileStore, Store};
use tower_jwt_session::{BuildError, KeyRing, Login, Logout, Session, Sessions};

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
}

#[derive(Deserialize)]
struct LoginForm {
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = app(FileStore::open("keys")?).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

async fn app(store: impl Store) -> Result<Router, BuildError> {
    let keys = KeyRing::builder("app").store(store).open().await?;
    let sessions = Sessions::<User>::builder(keys, "https://app.example", "app").build()?;

    Ok(Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
        .route("/logout", post(async || Logout::new().clear_site_data()))
        .merge(sessions.jwks_router())
        .layer(sessions.layer()))
}

async fn login(Json(form): Json<LoginForm>) -> Result<Login<User>, StatusCode> {
    // A real service checks a password here.
    if form.name.is_empty() {
        return Err(StatusCode::UNAUTHORIZED);
    }
    Ok(Login::new(form.name.to_lowercase(), User { name: form.name }))
}

async fn me(session: Session<User>) -> String {
    format!("hello {}\n", session.claims().name)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, header};
    use tower::ServiceExt as _;
    use tower_jwt_session::store::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn a_session_made_by_one_replica_is_read_by_another() {
        let store = MemoryStore::new();
        let one = app(store.clone()).await.expect("the first replica");
        let other = app(store).await.expect("the second replica");

        let login = Request::post("/login").header(header::CONTENT_TYPE, "application/json");
        let login = login.body(Body::from(r#"{"name":"Alice"}"#)).expect("a request");
        let answer = one.oneshot(login).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let cookie = answer.headers()[header::SET_COOKIE].to_str().expect("a cookie");
        let cookie = cookie.split(';').next().expect("name and value");

        let me = Request::get("/me").header(header::COOKIE, cookie);
        let answer = other.clone().oneshot(me.body(Body::empty()).expect("a request"));
        assert_eq!(answer.await.expect("an answer").status(), StatusCode::OK);

        let logout = Request::post("/logout").header(header::COOKIE, cookie);
        let logout = logout.header("sec-fetch-site", "same-origin").body(Body::empty());
        let answer = other.clone().oneshot(logout.expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers()["clear-site-data"], r#""cache", "storage""#);
        let cleared = answer.headers()[header::SET_COOKIE].to_str().expect("a cookie");
        assert!(cleared.contains("Max-Age=0"), "{cleared}");

        let nobody = Request::get("/me").body(Body::empty()).expect("a request");
        let answer = other.oneshot(nobody).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
}
