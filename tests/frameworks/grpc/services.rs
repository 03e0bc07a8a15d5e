//! The services: which method a path names.

use tonic::body::Body;
use tonic::server::Grpc;
use tower::service_fn;
use tower_jwt_session::Sessions;

use crate::generated::{Methods, Plain};
use crate::{greet, login, logout, watch};

#[derive(Clone)]
pub(crate) struct Door(pub(crate) Sessions<()>);

impl Methods for Door {
    const NAME: &'static str = "app.Door";

    async fn call(self, request: http::Request<Body>) -> http::Response<Body> {
        let login = service_fn(|request| login(self.0.clone(), request));
        Grpc::new(Plain).unary(login, request).await
    }
}

#[derive(Clone)]
pub(crate) struct News(pub(crate) Sessions<()>);

impl Methods for News {
    const NAME: &'static str = "app.News";

    async fn call(self, request: http::Request<Body>) -> http::Response<Body> {
        let mut grpc = Grpc::new(Plain);
        let watch = service_fn(|request| watch(self.0.clone(), request));
        match request.uri().path() {
            "/app.News/Watch" => grpc.server_streaming(watch, request).await,
            "/app.News/Logout" => grpc.unary(service_fn(logout), request).await,
            _ => grpc.unary(service_fn(greet), request).await,
        }
    }
}

#[derive(Clone)]
pub(crate) struct Admin;

impl Methods for Admin {
    const NAME: &'static str = "app.Admin";

    async fn call(self, request: http::Request<Body>) -> http::Response<Body> {
        Grpc::new(Plain).unary(service_fn(greet), request).await
    }
}
