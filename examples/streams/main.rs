//! Long connections: server-sent events and a WebSocket that close when the session ends.
//!
//! `cargo run --example streams` has a page. For clients that are no browsers:
//!
//! ```text
//! token=$(curl -s -X POST localhost:3000/token | sed 's/.*access_token":"\([^"]*\).*/\1/')
//! curl -N -H "authorization: Bearer $token" localhost:3000/events
//! curl -X POST -H "authorization: Bearer $token" localhost:3000/logout # in a second terminal: closes the stream
//! ```

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocketUpgrade, close_code};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, Response};
use axum::routing::{get, post};
use futures_util::{Stream, StreamExt as _, stream};
use tower_jwt_session::store::{MemoryStore, RevocationStore};
use tower_jwt_session::{BuildError, KeyRing, Login, Logout, Revocations, Session, Sessions};
use tower_jwt_session::{CookieTransport, Transport};

#[cfg(test)]
mod tests;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("open http://localhost:{}", listener.local_addr()?.port());
    Ok(axum::serve(listener, app(MemoryStore::new()).await?).await?)
}

async fn app(store: impl RevocationStore + Clone) -> Result<Router, BuildError> {
    let keys = KeyRing::builder("app").store(store.clone()).open().await?;
    let revocations = Revocations::builder("app").store(store).open().await?;
    // In production: `CookieTransport::new()`, and https.
    let cookie = CookieTransport::for_local_development();
    // A script without cookies opens a WebSocket with `new WebSocket(url, ["echo", "session." + token])`.
    let protocol = Transport::web_socket_protocol("session");
    let sessions = Sessions::<()>::builder(keys, "https://app.example", "app")
        .revocations(revocations)
        .transports([Transport::cookie(cookie), Transport::bearer(), protocol])
        .build()?;

    Ok(Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/login", post(async || Login::new("alice", ())))
        .route("/token", post(async || Login::new("alice", ()).bearer()))
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
    upgrade.protocols(["echo"]).on_upgrade(async move |mut socket| {
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
    })
}
