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
    BuildError, KeyRing, Login, RefreshTokens, Revocations, Session, Sessions, Transport,
};

const PAGE: &str = "http://localhost:3003";

#[derive(Deserialize)]
struct LoginForm {
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A real service has a store that outlives it, such as a directory, Redis or PostgreSQL.
    let api = app(MemoryStore::new()).await?;
    let api = axum::serve(TcpListener::bind("127.0.0.1:3002").await?, api);
    let page = axum::serve(TcpListener::bind("127.0.0.1:3003").await?, page());
    println!("open {PAGE}");
    tokio::try_join!(api.into_future(), page.into_future())?;
    Ok(())
}

fn page() -> Router {
    Router::new().route("/", get(async || Html(include_str!("spa.html"))))
}

async fn app(
    store: impl RevocationStore + RefreshTokenStore + Clone,
) -> Result<Router, BuildError> {
    let keys = KeyRing::builder("app").store(store.clone()).open().await?;
    let revocations = Revocations::builder("app").store(store.clone()).open().await?;
    let sessions = Sessions::<()>::builder(keys, "http://localhost:3002", "app")
        .transports([Transport::bearer()])
        .revocations(revocations)
        .refresh_tokens(RefreshTokens::new().store(store))
        .build()?;
    let cors = CorsLayer::new()
        .allow_origin(HeaderValue::from_static(PAGE))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([RETRY_AFTER, WWW_AUTHENTICATE]);
    Ok(Router::new()
        .route("/login", post(login))
        .route("/me", get(async |session: Session<()>| format!("hello {}\n", session.subject())))
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

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use axum::http::{Request, Response};
    use serde_json::{Value, json};
    use tower_jwt_session::testing::Client;

    use super::*;

    fn tokens(answer: &Response<axum::body::Bytes>) -> [String; 2] {
        let tokens: Value = serde_json::from_slice(answer.body()).expect("JSON");
        ["access_token", "refresh_token"].map(|name| tokens[name].as_str().expect(name).to_owned())
    }

    async fn refresh(client: &mut Client<Router>, token: &str) -> Response<axum::body::Bytes> {
        client
            .post_form("/token", &[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }

    #[tokio::test]
    async fn page_logs_in_refreshes_at_another_replica_and_logs_out() {
        let store = MemoryStore::new();
        let mut one = Client::new(app(store.clone()).await.expect("the first replica"));
        let mut other = Client::new(app(store).await.expect("the second replica"));

        let [_, first] = tokens(&one.post_json("/login", &json!({"name": "alice"})).await);
        let [access, second] = tokens(&refresh(&mut other, &first).await);
        one.set_bearer(&access);
        assert_eq!(one.get("/me").await.body(), "hello alice\n");
        assert_eq!(
            other.post_form("/revoke", &[("token", &second)]).await.status(),
            StatusCode::OK
        );
        other.set_bearer(&access);
        assert_eq!(other.get("/me").await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refresh(&mut other, &second).await.status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn stolen_refresh_token_ends_the_session() {
        let mut client = Client::new(app(MemoryStore::new()).await.expect("the service"));
        let [_, stolen] = tokens(&client.post_json("/login", &json!({"name": "alice"})).await);
        let [_, next] = tokens(&refresh(&mut client, &stolen).await);
        assert_eq!(tokens(&refresh(&mut client, &stolen).await)[1], next, "a retry");
        let [access, _] = tokens(&refresh(&mut client, &next).await);
        assert_eq!(refresh(&mut client, &stolen).await.status(), StatusCode::BAD_REQUEST);
        client.set_bearer(&access);
        assert_eq!(client.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn page_may_call_from_its_origin_and_read_a_401() {
        let mut client = Client::new(app(MemoryStore::new()).await.expect("the service"));
        let preflight = Request::options("/me")
            .header("origin", PAGE)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization")
            .body("");
        let answer = client.send(preflight.expect("a request")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
        assert_eq!(answer.headers()["access-control-allow-headers"], "authorization,content-type");
        let me = Request::get("/me").header("origin", PAGE).body("").expect("a request");
        let answer = client.send(me).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
    }
}
