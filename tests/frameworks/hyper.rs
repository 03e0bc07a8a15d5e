//! A service of hyper alone: its own bodies, no router, no extractors.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer as _, service_fn};
use tower_jwt_session::testing::{ManualClock, fixed_ring};
use tower_jwt_session::{Login, Session, Sessions};

async fn greet(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let greeting = match Session::<()>::from_extensions(request.extensions()) {
        Some(session) => format!("hello {}", session.subject()),
        None => "hello stranger".to_owned(),
    };
    Ok(Response::new(Full::from(greeting)))
}

/// Answers one connection.
async fn serve(sessions: Sessions<()>, listener: TcpListener) {
    let service = sessions.validate_layer().layer(service_fn(greet));
    let (stream, _) = listener.accept().await.unwrap();
    let connection = hyper::server::conn::http1::Builder::new();
    let service = TowerToHyperService::new(service);
    connection.serve_connection(TokioIo::new(stream), service).await.unwrap();
}

#[tokio::test]
async fn hyper_service_gets_the_session_and_refuses_without_one() {
    let sessions: Sessions<()> =
        Sessions::builder(fixed_ring(ManualClock::default()), "https://app.example", "app")
            .build()
            .unwrap();
    let token = sessions.issue(&Login::new("alice", ())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(sessions, listener));

    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = || Request::get("/").header("host", "app.example");
    let authorized = request().header(AUTHORIZATION, format!("Bearer {}", token.as_str()));
    let answer =
        sender.send_request(authorized.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "hello alice");

    let answer = sender.send_request(request().body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers()[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"));
    drop((answer, sender));
    connection.await.unwrap().unwrap();
    server.await.unwrap();
}
