//! Long connections: server-sent events and a WebSocket that close when the session ends.
//!
//! ```text
//! cargo run --example streams
//! token=$(curl -s -X POST localhost:3000/login | sed 's/.*access_token":"\([^"]*\).*/\1/')
//! curl -N -H "authorization: Bearer $token" localhost:3000/events
//! ```
//!
//! A logout in a second terminal, with the same token, closes the stream in the first:
//!
//! ```text
//! curl -X POST -H "authorization: Bearer $token" localhost:3000/logout
//! ```

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocketUpgrade, close_code};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{Stream, StreamExt as _, stream};
use tower_jwt_session::store::{MemoryStore, RevocationStore};
use tower_jwt_session::{BuildError, KeyRing, Login, Logout, Revocations, Session, Sessions};
use tower_jwt_session::{CookieTransport, Transport};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = app(MemoryStore::new()).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

async fn app(store: impl RevocationStore + Clone) -> Result<Router, BuildError> {
    let keys = KeyRing::builder("app").store(store.clone()).open().await?;
    let revocations = Revocations::builder("app").store(store).open().await?;
    let sessions = Sessions::<()>::builder(keys, "https://app.example", "app")
        .revocations(revocations)
        // A script opens a WebSocket with `new WebSocket(url, ["echo", "session." + token])`.
        .transports([
            Transport::cookie(CookieTransport::new()),
            Transport::bearer(),
            Transport::web_socket_protocol("session"),
        ])
        .build()?;

    Ok(Router::new()
        .route("/login", post(async || Login::new("alice", ()).bearer()))
        .route("/logout", post(async || Logout::new()))
        .route("/events", get(events))
        .route("/socket", get(socket))
        .layer(sessions.layer())
        .with_state(sessions))
}

async fn events(
    State(sessions): State<Sessions<()>>,
    session: Session<()>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = stream::unfold(0_u64, |tick| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok(Event::default().data(format!("tick {tick}"))), tick + 1))
    });
    Sse::new(ticks.take_until(sessions.ended(&session)))
}

async fn socket(
    State(sessions): State<Sessions<()>>,
    session: Session<()>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let echo = upgrade.protocols(["echo"]).on_upgrade(async move |mut socket| {
        let mut ended = pin!(sessions.ended(&session));
        loop {
            let answer = tokio::select! {
                why = &mut ended => {
                    let (code, reason) = (close_code::POLICY, why.to_string().into());
                    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason }))).await;
                    return;
                }
                received = socket.recv() => match received {
                    Some(Ok(Message::Text(text))) => Message::Text(text),
                    Some(Ok(_)) => continue,
                    None | Some(Err(_)) => return,
                },
            };
            if socket.send(answer).await.is_err() {
                return;
            }
        }
    });
    echo.into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode, header};
    use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest as _};
    use tower::ServiceExt as _;

    use super::*;

    async fn login(app: &Router) -> String {
        let login = Request::post("/login").body(Body::empty()).expect("a request");
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
}
