//! What a client of tonic sees.

use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::ManualClock;

use super::*;
use crate::generated::Plain;

/// Sends the token with each call.
#[derive(Clone)]
struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    fn new(token: &str) -> Self {
        Self(Some(format!("Bearer {token}").parse().expect("a header's value")))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.0 {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}

/// A service under test, and a channel to it.
struct Running {
    sessions: Sessions<()>,
    clock: ManualClock,
    channel: Channel,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Running {
    async fn start() -> Self {
        let (clock, store) = (ManualClock::default(), MemoryStore::new());
        let keys = KeyRing::builder("app").store(store.clone()).clock(clock.clone());
        let revocations = Revocations::builder("app").store(store).clock(clock.clone());
        let sessions = Sessions::builder(keys.open().await.unwrap(), "https://app.example", "app")
            .revocations(revocations.open().await.unwrap())
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = TcpListenerStream::new(listener);
        let server = app(&sessions).unwrap().serve_with_incoming_shutdown(listener, async {
            _ = stopped.await;
        });
        let server = tokio::spawn(server);
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Self { sessions, clock, channel, stop, server }
    }

    async fn stop(self) {
        drop(self.channel);
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }

    async fn client(
        &self,
        bearer: Bearer,
    ) -> tonic::client::Grpc<InterceptedService<Channel, Bearer>> {
        let channel = InterceptedService::new(self.channel.clone(), bearer);
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        client
    }

    /// The message of a call's answer.
    async fn call(
        &self,
        path: &'static str,
        message: &'static str,
        bearer: Bearer,
    ) -> Result<String, Status> {
        let request = Request::new(Bytes::from(message));
        let path = PathAndQuery::from_static(path);
        let answer = self.client(bearer).await.unary(request, path, Plain).await?;
        Ok(String::from_utf8(answer.into_inner().to_vec()).unwrap())
    }

    async fn log_in(&self) -> Bearer {
        Bearer::new(&self.call("/app.Door/Login", "alice", Bearer(None)).await.unwrap())
    }

    fn with_scope(&self, scope: &str) -> Bearer {
        let login = Login::new("alice", ()).scope(scope);
        Bearer::new(self.sessions.issue(&login).unwrap().as_str())
    }

    async fn watch(&self, bearer: Bearer) -> Streaming<Bytes> {
        let request = Request::new(Bytes::new());
        let path = PathAndQuery::from_static("/app.News/Watch");
        let answer = self.client(bearer).await.server_streaming(request, path, Plain).await;
        answer.unwrap().into_inner()
    }
}

#[track_caller]
fn assert_status(answer: Result<String, Status>, code: Code, message: &str) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), status.message()), (code, message), "{status:?}");
}

#[tokio::test]
async fn call_with_a_session_reaches_the_method_and_without_is_unauthenticated() {
    let service = Running::start().await;
    let bearer = service.log_in().await;
    assert_eq!(service.call("/app.News/Greet", "", bearer).await.unwrap(), "hello alice");
    for bearer in [Bearer(None), Bearer::new("garbage")] {
        let answer = service.call("/app.News/Greet", "", bearer).await;
        assert_status(answer, Code::Unauthenticated, "no valid session");
    }
    service.stop().await;
}

#[tokio::test]
async fn call_without_the_scope_is_denied_and_with_stale_revocations_unavailable() {
    let service = Running::start().await;
    let answer = service.call("/app.Admin/Greet", "", service.with_scope("news")).await;
    assert_status(answer, Code::PermissionDenied, "permission denied");
    let admin = service.with_scope("news admin");
    assert_eq!(service.call("/app.Admin/Greet", "", admin.clone()).await.unwrap(), "hello alice");
    service.clock.advance(Duration::from_secs(31));
    let answer = service.call("/app.Admin/Greet", "", admin.clone()).await;
    let status = answer.as_ref().unwrap_err();
    assert!(status.metadata().contains_key("retry-after"), "{status:?}");
    assert_status(answer, Code::Unavailable, "try again later");
    // Methods that require no fresh ones go on.
    assert_eq!(service.call("/app.News/Greet", "", admin).await.unwrap(), "hello alice");
    service.stop().await;
}

#[tokio::test]
async fn stream_of_a_session_that_logs_out_ends_as_unauthenticated() {
    let service = Running::start().await;
    let bearer = service.log_in().await;
    let mut events = service.watch(bearer.clone()).await;
    assert_eq!(events.message().await.unwrap().unwrap(), "tick");
    service.call("/app.News/Logout", "", bearer.clone()).await.unwrap();
    let status = loop {
        match events.message().await {
            Ok(event) => assert_eq!(event.unwrap(), "tick"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "the session has ended"));
    let answer = service.call("/app.News/Greet", "", bearer).await;
    assert_status(answer, Code::Unauthenticated, "no valid session");
    drop(events);
    service.stop().await;
}
