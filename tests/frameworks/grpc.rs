//! A gRPC service of tonic behind the layer: the method gets the session, a call without one is
//! `Unauthenticated`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tower_jwt_session::layer::HeadersOnly;
use tower_jwt_session::testing::{ManualClock, fixed_ring};
use tower_jwt_session::{Login, Session, Sessions};

/// Messages are bytes, so that no code has to be generated.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}

/// Says who calls.
#[derive(Clone, Copy)]
struct WhoAmI;

impl UnaryService<Bytes> for WhoAmI {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let session = Session::<()>::from_extensions(request.extensions());
        let subject = session.map(|session| Bytes::from(session.subject().to_owned()));
        ready(subject.map(Response::new).ok_or_else(|| Status::internal("the layer is missing")))
    }
}

impl NamedService for WhoAmI {
    const NAME: &'static str = "app.WhoAmI";
}

impl tower::Service<http::Request<Body>> for WhoAmI {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(tonic::server::Grpc::new(Plain).unary(WhoAmI, request).await) })
    }
}

async fn call(channel: &Channel, authorization: Option<String>) -> Result<Bytes, Status> {
    let mut request = Request::new(Bytes::from("who am I?"));
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    }
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/app.WhoAmI/Say");
    client.unary(request, path, Plain).await.map(Response::into_inner)
}

#[tokio::test]
async fn tonic_service_gets_the_session_and_refuses_without_one() {
    let sessions: Sessions<()> =
        Sessions::builder(fixed_ring(ManualClock::default()), "https://app.example", "app")
            .build()
            .unwrap();
    let token = sessions.issue(&Login::new("alice", ())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::builder()
        .layer(sessions.validate_layer().respond_with(HeadersOnly))
        .add_service(WhoAmI)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            _ = stopped.await;
        });
    let server = tokio::spawn(server);

    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let answer = call(&channel, Some(format!("Bearer {}", token.as_str()))).await.unwrap();
    assert_eq!(answer, "alice");
    for refused in [None, Some("Bearer garbage".to_owned())] {
        let status = call(&channel, refused).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    }
    drop(channel);
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}
