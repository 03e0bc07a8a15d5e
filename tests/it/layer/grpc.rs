//! The layers' own answers for gRPC requests, alone and beside others.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::routing::post as on_post;
use http::request::Builder;
use http::{HeaderValue, Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn};
use tower_jwt_session::layer::{Grpc, WithBody};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Logout, Rejection, RejectionKind, Session};

use crate::support::web::*;

fn call(path: &str) -> Builder {
    post(path).header("content-type", "application/grpc+proto")
}

/// The gRPC status and message of an answer without a body.
#[track_caller]
fn status(answer: &Answer) -> (&str, &str) {
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, ""), "{answer:?}");
    (answer.all("grpc-status")[0], answer.all("grpc-message")[0])
}

#[tokio::test]
async fn grpc_request_is_refused_by_trailers_alone() {
    let sessions = sessions(&ManualClock::default());
    let strict = sessions.validate_layer().authorize(|_| false).require_scope("write");
    let app = Router::new().layer(strict.respond_with(Grpc::or(WithBody)));

    let answer = send(&app, call("/app.Orders/Place")).await;
    assert_eq!(status(&answer), ("16", "no valid session"));
    assert_eq!(answer.all("content-type"), ["application/grpc"]);
    assert_eq!(answer.all("www-authenticate"), [r#"Bearer scope="write""#]);
    assert_eq!(answer.kind(), Some(RejectionKind::Missing));
    let answer = send(&app, call("/").bearer("garbage")).await;
    assert_eq!(status(&answer), ("16", "no valid session"));
    let answer = send(&app, call("/").bearer(&token(&sessions))).await;
    assert_eq!(status(&answer), ("7", "permission denied"));
    let answer = send(&app, call("/").bearer("one").cookie("other")).await;
    assert_eq!(status(&answer), ("3", "invalid credentials"));
    let answer = send(&app, call("/").cookie("garbage").header("origin", "null")).await;
    assert_eq!(status(&answer), ("7", "permission denied"));
    for (sent, answered) in [
        ("application/grpc-web+proto", "application/grpc-web"),
        ("application/grpc-web-text", "application/grpc-web-text"),
    ] {
        let answer = send(&app, post("/").header("content-type", sent)).await;
        assert_eq!(status(&answer), ("16", "no valid session"));
        assert_eq!(answer.all("content-type"), [answered]);
    }
}

#[tokio::test]
async fn request_of_another_type_beside_grpc_gets_its_own_answer() {
    let sessions = sessions(&ManualClock::default());
    let app = Router::new().route("/", on_post(async |_: Session<User>| "in"));
    let app = app.layer(sessions.layer().respond_with(Grpc::or(WithBody)));
    for content_type in ["application/json", "application/grpcx", "text/plain"] {
        let answer = send(&app, post("/").header("content-type", content_type)).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::UNAUTHORIZED, UNAUTHORIZED));
        assert_eq!(answer.all("grpc-status"), [""; 0]);
    }
    assert_eq!(send(&app, post("/")).await.body, UNAUTHORIZED);
    assert_eq!(status(&send(&app, call("/")).await), ("16", "no valid session"));
}

/// A method: what it returns depends on its path.
async fn method(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::from("message"));
    let content_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", content_type);
    match request.uri().path() {
        "/login" => login().insert_into(response.extensions_mut()),
        "/token" => login().bearer().replace(response.extensions_mut()),
        "/logout" => Logout::new().insert_into(response.extensions_mut()),
        "/end" => Logout::new().replace(response.extensions_mut()),
        _ => {}
    }
    Ok(response)
}

#[tokio::test]
async fn answer_after_a_grpc_method_is_grpc_too() {
    let sessions = sessions(&ManualClock::default());
    let service = sessions.layer().respond_with(Grpc::or(WithBody)).layer(service_fn(method));
    let call = async |request: Builder| {
        let request = request.body(Body::empty()).unwrap();
        Answer::of(service.clone().oneshot(request).await.unwrap()).await
    };
    let by_bearer = |path| self::call(path).bearer(&token(&sessions));

    assert_eq!(call(by_bearer("/")).await.body, "message");
    // A login by cookie is a part of the method's answer.
    let answer = call(self::call("/login")).await;
    assert_eq!((answer.body.as_str(), answer.cookie_token().is_empty()), ("message", false));
    // A bearer token has no place beside the message.
    let answer = call(self::call("/token")).await;
    let (code, message) = status(&answer);
    assert_eq!(code, "13");
    assert!(message.contains("sessions.login(..)"), "{message}");
    // Nothing can end a bearer session without revocations.
    let answer = call(by_bearer("/logout")).await;
    let (code, message) = status(&answer);
    assert_eq!(code, "13");
    assert!(message.contains("`revocations`"), "{message}");
    assert_eq!(answer.all("content-type"), ["application/grpc"]);
    // A logout without a session is done.
    let answer = call(self::call("/end")).await;
    assert_eq!((status(&answer), answer.all("set-cookie").len()), (("0", ""), 0));
    assert!(answer.extensions.get::<Rejection>().is_none());
}
