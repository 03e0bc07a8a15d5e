//! Both streams end at the logout.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest as _};
use tower::ServiceExt as _;

use super::*;

async fn login(app: &Router) -> String {
    let login = Request::post("/token").body(Body::empty()).expect("a request");
    let answer = app.clone().oneshot(login).await.expect("an answer");
    let body = to_bytes(answer.into_body(), 4096).await.expect("a body");
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    body["access_token"].as_str().expect("a token").to_owned()
}

async fn send(app: &Router, request: axum::http::request::Builder, token: &str) -> Response {
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    let request = request.body(Body::empty()).expect("a request");
    app.clone().oneshot(request).await.expect("an answer")
}

#[tokio::test]
async fn events_stop_at_the_logout() {
    let app = app(MemoryStore::new()).await.expect("an app");
    let token = login(&app).await;
    let mut events = send(&app, Request::get("/events"), &token).await.into_body();
    let logout = send(&app, Request::post("/logout"), &token).await;
    assert_eq!(logout.status(), StatusCode::NO_CONTENT);
    while let Some(event) = http_body_util::BodyExt::frame(&mut events).await {
        event.expect("an event");
    }
    let refused = send(&app, Request::get("/events"), &token).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_web_socket_is_closed_at_the_logout() {
    let app = app(MemoryStore::new()).await.expect("an app");
    let token = login(&app).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let server = tokio::spawn(axum::serve(listener, app.clone()).into_future());

    let mut open = format!("ws://{address}/socket").into_client_request().expect("a request");
    let offered = format!("echo, session.{token}").parse().expect("a field");
    open.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
    let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let (mut socket, answer) =
        tokio_tungstenite::client_async(open, stream).await.expect("a WebSocket");
    assert_eq!(answer.headers()[header::SEC_WEBSOCKET_PROTOCOL], "echo");
    futures_util::SinkExt::send(&mut socket, "hello".into()).await.expect("to send");
    let echo = socket.next().await.expect("an echo").expect("a message");
    assert_eq!(echo.to_text().expect("text"), "hello");

    send(&app, Request::post("/logout"), &token).await;
    let closed = socket.next().await.expect("a close").expect("a message");
    let tungstenite::Message::Close(Some(frame)) = closed else { panic!("{closed}") };
    assert_eq!(frame.code, tungstenite::protocol::frame::coding::CloseCode::Policy);
    assert_eq!(frame.reason.as_str(), "session revoked");
    server.abort();
}
