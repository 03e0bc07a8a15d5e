//! The API as the page and other clients use it.

use axum::http::{Request, Response};
use serde_json::{Value, json};
use tower_jwt_session::testing::Client;

use super::*;

const PAGE: &str = "http://localhost:3003";

async fn service(store: MemoryStore) -> Router {
    let page = HeaderValue::from_static(PAGE);
    app(store, "http://localhost:3002", page).await.expect("a replica")
}

fn tokens(answer: &Response<axum::body::Bytes>) -> [String; 2] {
    let tokens: Value = serde_json::from_slice(answer.body()).expect("JSON");
    ["access_token", "refresh_token"].map(|name| tokens[name].as_str().expect(name).to_owned())
}

async fn refresh(client: &mut Client<Router>, token: &str) -> Response<axum::body::Bytes> {
    client.post_form("/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
}

#[tokio::test]
async fn page_logs_in_refreshes_at_another_replica_and_logs_out() {
    let store = MemoryStore::new();
    let mut one = Client::new(service(store.clone()).await);
    let mut other = Client::new(service(store).await);

    let [_, first] = tokens(&one.post_json("/login", &json!({"name": "alice"})).await);
    let [access, second] = tokens(&refresh(&mut other, &first).await);
    one.set_bearer(&access);
    assert_eq!(one.get("/me").await.body(), "hello alice\n");
    assert_eq!(other.post_form("/revoke", &[("token", &second)]).await.status(), StatusCode::OK);
    other.set_bearer(&access);
    assert_eq!(other.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refresh(&mut other, &second).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn stolen_refresh_token_ends_the_session() {
    let mut client = Client::new(service(MemoryStore::new()).await);
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
    let mut client = Client::new(service(MemoryStore::new()).await);
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

#[tokio::test]
async fn logout_of_other_devices_replaces_both_tokens() {
    let mut client = Client::new(service(MemoryStore::new()).await);
    let [access, old] = tokens(&client.post_json("/login", &json!({"name": "alice"})).await);
    let [other, _] = tokens(&client.post_json("/login", &json!({"name": "alice"})).await);
    client.set_bearer(&access);
    let [access, new] = tokens(&client.post("/logout-others").await);
    client.set_bearer(&other);
    assert_eq!(client.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    client.set_bearer(&access);
    assert_eq!(client.get("/me").await.body(), "hello alice\n");
    assert_eq!(refresh(&mut client, &old).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(refresh(&mut client, &new).await.status(), StatusCode::OK);
}
