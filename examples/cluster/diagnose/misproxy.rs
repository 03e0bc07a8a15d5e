//! A proxy that does what a proxy must not do, in front of the balancer.

use std::net::Ipv4Addr;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    BoxError,
    balancer::{headers::strip_hop_by_hop, proxy},
};

/// The mistake of a proxy.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mistake {
    /// It removes `Cookie`, as caches do so that more answers can be cached.
    DropsCookie,
    /// It sends its own idea of `Host`, as nginx does by default.
    RewritesHost,
}

/// A proxy at work. Dropping it ends it.
pub(crate) struct MisProxy {
    /// Where it listens.
    pub(crate) url: String,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    mistake: Mistake,
    target: String,
    client: Client<HttpConnector, Body>,
}

impl MisProxy {
    /// Starts it in front of `target`.
    ///
    /// # Errors
    /// If there is no free port.
    pub(crate) async fn start(mistake: Mistake, target: &str) -> Result<Self, BoxError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let client = proxy::keep_alive_client();
        let shared = Shared { mistake, target: target.to_owned(), client };
        let app = Router::new().fallback(forward).with_state(shared);
        let task = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { url, task })
    }
}

impl Drop for MisProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(State(shared): State<Shared>, mut request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let Ok(uri) = format!("{}{path}", shared.target).parse() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    *request.uri_mut() = uri;
    strip_hop_by_hop(request.headers_mut());
    match shared.mistake {
        Mistake::DropsCookie => {
            request.headers_mut().remove(header::COOKIE);
        }
        Mistake::RewritesHost => {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("backend"));
        }
    }
    match shared.client.request(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => (StatusCode::BAD_GATEWAY, proxy::with_causes(&error)).into_response(),
    }
}
