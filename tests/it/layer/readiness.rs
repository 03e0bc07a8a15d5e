//! The readiness contract of Tower: a layer is ready when the service inside is, and calls the very
//! service that it polled.

use std::task::Poll;

use axum::body::Body;
use http::request::Builder;
use http::{Request, Response, StatusCode};
use tower::{BoxError, Layer, Service, service_fn};
use tower_jwt_session::layer::{HeadersOnly, SessionService};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Login, Session, Sessions};
use tower_test::mock::{Handle, Mock, SendResponse, spawn_layer};

use crate::support::web::*;

type Inner = Mock<Request<Body>, Response<Body>>;
type InnerHandle = Handle<Request<Body>, Response<Body>>;

/// Tokens of alice and requests made of them.
struct Alice(Sessions<User>);

impl Alice {
    fn request(&self) -> Request<Body> {
        get("/").bearer(&token(&self.0)).body(Body::empty()).unwrap()
    }
}

fn alice() -> Alice {
    Alice(sessions(&ManualClock::default()))
}

fn empty(request: Builder) -> Request<Body> {
    request.body(Body::empty()).unwrap()
}

/// The request that has just reached the service inside, and where to reply; not a moment later.
fn received(handle: &mut InnerHandle) -> (Request<Body>, SendResponse<Response<Body>>) {
    let Poll::Ready(Some(call)) = handle.poll_request() else { panic!("no request came through") };
    call
}

/// What holds for each layer around a service that can be kept unready.
async fn keeps_the_contract<L>(alice: &Alice, layer: L)
where
    L: Layer<Inner>,
    L::Service: Service<Request<Body>, Response = Response<Body>, Error = BoxError>,
{
    let (mut service, mut handle): (_, InnerHandle) = spawn_layer(layer);

    // Unready inside is unready outside, and the task is woken when that changes.
    handle.allow(0);
    assert!(service.poll_ready::<Request<Body>>().is_pending());
    handle.allow(1);
    assert!(service.is_woken());
    assert!(matches!(service.poll_ready::<Request<Body>>(), Poll::Ready(Ok(()))));

    // The one that was polled is called: the mock panics if its clone is.
    let answer = service.call(alice.request());
    let (request, reply) = received(&mut handle);
    assert_eq!(request.uri().path(), "/");
    assert!(service.poll_ready::<Request<Body>>().is_pending(), "one call was allowed");
    reply.send_response(Response::new(Body::from("inner")));
    assert_eq!(Answer::of(answer.await.unwrap()).await.body, "inner");

    // An error of the inner service comes out as it went in.
    handle.allow(1);
    assert!(service.poll_ready::<Request<Body>>().is_ready());
    let answer = service.call(alice.request());
    let (_, reply) = received(&mut handle);
    reply.send_error("the call failed");
    assert_eq!(answer.await.unwrap_err().to_string(), "the call failed");

    // So does one of its readiness.
    handle.send_error("never ready again");
    let Poll::Ready(Err(error)) = service.poll_ready::<Request<Body>>() else { panic!("no error") };
    assert_eq!(error.to_string(), "never ready again");
}

/// A request that is refused does not reach the service inside, which stays ready.
async fn refuses_outside<L>(alice: &Alice, layer: L, request: Request<Body>, status: StatusCode)
where
    L: Layer<Inner>,
    L::Service: Service<Request<Body>, Response = Response<Body>, Error = BoxError>,
{
    let (mut service, mut handle) = spawn_layer(layer);
    handle.allow(1);
    assert!(service.poll_ready::<Request<Body>>().is_ready());
    let answer = service.call(request);
    assert!(handle.poll_request().is_pending());
    assert_eq!(answer.await.unwrap().status(), status);

    assert!(service.poll_ready::<Request<Body>>().is_ready());
    let answer = service.call(alice.request());
    let (_, reply) = received(&mut handle);
    reply.send_response(Response::new(Body::empty()));
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn the_strict_validate_layer_is_ready_when_its_service_is() {
    let alice = alice();
    keeps_the_contract(&alice, alice.0.validate_layer()).await;
}

#[tokio::test]
async fn the_optional_validate_layer_is_ready_when_its_service_is() {
    let alice = alice();
    keeps_the_contract(&alice, alice.0.validate_layer().optional()).await;
}

#[tokio::test]
async fn the_issue_layer_is_ready_when_its_service_is() {
    let alice = alice();
    keeps_the_contract(&alice, alice.0.issue_layer()).await;
}

#[tokio::test]
async fn the_session_layer_is_ready_when_its_service_is() {
    let alice = alice();
    keeps_the_contract(&alice, alice.0.layer()).await;
    keeps_the_contract(&alice, alice.0.layer().respond_with(HeadersOnly)).await;
}

#[tokio::test]
async fn a_refused_request_does_not_reach_the_service_inside() {
    let alice = alice();
    let strict = alice.0.validate_layer();
    let (unauthorized, forbidden) = (StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN);
    refuses_outside(&alice, strict.clone(), empty(get("/")), unauthorized).await;
    refuses_outside(&alice, strict, empty(get("/").cookie("x")), unauthorized).await;
    let cross_site = post("/").header("origin", "https://else.example").cookie("x");
    refuses_outside(&alice, alice.0.layer(), empty(cross_site), forbidden).await;
    let admins = alice.0.validate_layer().authorize(|session| session.subject() != "mallory");
    let mallory = Login::new("mallory", User { role: "x".into() });
    let mallory = get("/").bearer(alice.0.issue(&mallory).unwrap().as_str());
    refuses_outside(&alice, admins, empty(mallory), forbidden).await;
}

#[tokio::test]
async fn inner_service_is_called_before_the_future_is_polled() {
    let alice = alice();
    let (mut service, mut handle) = spawn_layer::<_, Response<Body>, _>(alice.0.layer());
    assert!(service.poll_ready::<Request<Body>>().is_ready());
    let _unpolled = service.call(alice.request());
    let (request, _) = received(&mut handle);
    assert!(Session::<User>::from_extensions(request.extensions()).is_some());
}

#[test]
fn services_are_send_sync_and_clone_as_the_inner_one() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn sent<T: Send + 'static>(_: &T) {}
    fn debug<T: std::fmt::Debug>(_: &T) {}

    #[derive(Clone)]
    struct Plain;
    let sessions = alice().0;
    shared(&sessions.layer());
    shared(&sessions.validate_layer());
    shared(&sessions.issue_layer());
    shared(&sessions.layer().layer(Plain));
    shared(&sessions.validate_layer().layer(Plain));
    shared(&sessions.issue_layer().layer(Plain));
    debug(&sessions.layer());
    debug(&sessions.layer().layer(()));

    let inner =
        service_fn(async |_: Request<Body>| Ok::<_, BoxError>(Response::new(Body::empty())));
    let mut service: SessionService<_, _> = sessions.layer().layer(inner);
    sent(&service.call(empty(get("/"))));
}
