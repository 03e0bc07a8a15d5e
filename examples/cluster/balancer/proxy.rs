//! The balancer process: the next replica for every request, and no memory of who asked.
//!
//! 1. No affinity, unless that is asked for: it reads no cookie and keeps no table of clients.
//! 2. It asks every replica for its readiness, all the time, and passes over the ones that fail.
//! 3. It tries once more, elsewhere, only if the method is idempotent, there is no body, and the
//!    first replica broke off before the head of its answer: nothing of it has gone to the client.
//! 4. End-to-end headers pass unchanged, `Host` and `Origin` among them: a guard against
//!    cross-site requests compares the two.
//!
//! It has no timeout of its own and does not pass on protocol upgrades.

use std::{net::Ipv4Addr, process::ExitCode, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, Uri, Version, request::Parts},
    response::{IntoResponse, Response},
    serve::ListenerExt,
};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;

use crate::{
    BoxError,
    balancer::pool::{Backend, Lease, Pool},
    balancer::{affinity, headers::strip_hop_by_hop},
    processes::process::{Orders, announce},
};

/// The header of an answer with the number of retries on other replicas.
pub(crate) const RETRIES: HeaderName = HeaderName::from_static("x-balancer-retries");

/// How long a replica may be dead before the health check sees it.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// How long a readiness answer may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Listens on `port` of 127.0.0.1, prints its address, and obeys the lines on standard input:
/// `add URL`, `remove URL`. It prints `up URL`, `down URL` and `removed URL` as they happen, and
/// exits with its parent.
pub(crate) async fn run(port: u16, affinity: bool) -> Result<ExitCode, BoxError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
    let address = listener.local_addr()?;
    let balancer = Balancer { client: keep_alive_client(), pool: Arc::default(), affinity };
    let app = Router::new().fallback(forward).with_state(balancer.clone());
    let listener = listener.tap_io(|stream| {
        // Small answers must not wait for more; if the option fails they are only slower.
        let _ = stream.set_nodelay(true);
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    announce(&format!("http://{address}"));

    let mut orders = Orders::new();
    while let Some(order) = orders.next().await {
        match order.split_once(' ') {
            Some(("add", url)) => {
                let backend = balancer.pool.add(url);
                tokio::spawn(watch(balancer.client.clone(), backend));
            }
            Some(("remove", url)) => {
                let (pool, url) = (Arc::clone(&balancer.pool), url.to_owned());
                tokio::spawn(async move {
                    pool.remove(&url).await;
                    announce(&format!("removed {url}"));
                });
            }
            _ => eprintln!("balancer: unknown order `{order}`"),
        }
    }
    // End of file: the parent is gone. The thread that reads standard input cannot be joined.
    std::process::exit(0)
}

/// A client that keeps its connections, as the balancer and the scripted user agents use it.
pub(crate) fn keep_alive_client() -> Client<HttpConnector, Body> {
    client(usize::MAX)
}

/// A client that keeps at most so many idle connections.
pub(crate) fn client(idle: usize) -> Client<HttpConnector, Body> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_secs(1)));
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(idle).build(connector)
}

/// The state that requests share.
#[derive(Clone)]
struct Balancer {
    client: Client<HttpConnector, Body>,
    pool: Arc<Pool>,
    affinity: bool,
}

/// Sends one request on, and a second time if that is safe.
async fn forward(State(balancer): State<Balancer>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    head.extensions.clear();

    let wanted = if balancer.affinity { affinity::wanted(&head.headers) } else { None };
    let Some(first) = balancer.pool.lease_wanted(wanted.as_deref()) else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "no replica is ready", 0);
    };
    let again = (head.method.is_idempotent() && body.is_end_stream()).then(|| head.clone());
    let error = match balancer.send(&first, head, body).await {
        Ok(response) => return balancer.answer(response, &first, wanted.as_deref(), 0),
        Err(error) => error,
    };
    let Some(head) = again else {
        return failure(StatusCode::BAD_GATEWAY, &no_answer(&first, &error), 0);
    };
    let Some(second) = balancer.pool.lease(Some(&first)) else {
        return failure(StatusCode::BAD_GATEWAY, &no_answer(&first, &error), 0);
    };
    match balancer.send(&second, head, Body::empty()).await {
        Ok(response) => balancer.answer(response, &second, wanted.as_deref(), 1),
        Err(error) => failure(StatusCode::BAD_GATEWAY, &no_answer(&second, &error), 1),
    }
}

impl Balancer {
    /// One try. A replica that refuses the connection is left out until its next good check.
    async fn send(&self, to: &Lease, mut head: Parts, body: Body) -> Result<Response, Error> {
        let backend = to.backend();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = format!("{}{path}", backend.url)
            .parse()
            .expect("an address and a path that was already parsed make a URI");
        let sent = self.client.request(Request::from_parts(head, body)).await;
        if sent.as_ref().is_err_and(Error::is_connect) {
            note(backend, false);
        }
        sent.map(|response| response.map(Body::new))
    }

    /// The answer of a replica; with its name, if users are to come back to it and this one was
    /// elsewhere before.
    fn answer(
        &self,
        response: Response,
        by: &Lease,
        wanted: Option<&str>,
        retries: u8,
    ) -> Response {
        let mut response = passed_on(response, retries);
        let name = by.backend().name();
        if self.affinity && wanted != Some(name) {
            affinity::name_in(response.headers_mut(), name);
        }
        response
    }
}

/// The replica's answer, on its way to the client; its body is streamed.
fn passed_on(mut response: Response, retries: u8) -> Response {
    strip_hop_by_hop(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    response.headers_mut().insert(RETRIES, HeaderValue::from(u16::from(retries)));
    response
}

/// The balancer's own answer, with a plain reason.
fn failure(status: StatusCode, reason: &str, retries: u8) -> Response {
    passed_on((status, format!("balancer: {reason}\n")).into_response(), retries)
}

/// Which replica failed, and how.
fn no_answer(lease: &Lease, error: &Error) -> String {
    format!("{} did not answer: {}", lease.backend().url, with_causes(error))
}

/// An error and what caused it: hyper's say only together what happened.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Asks one replica for its readiness until it is removed.
async fn watch(client: Client<HttpConnector, Body>, backend: Arc<Backend>) {
    let Ok(uri) = format!("{}/health/ready", backend.url).parse::<Uri>() else {
        eprintln!("balancer: `{}` is not an address", backend.url);
        return;
    };
    while !backend.is_removed() {
        let answer = tokio::time::timeout(CHECK_TIMEOUT, client.get(uri.clone())).await;
        note(&backend, matches!(answer, Ok(Ok(response)) if response.status() == StatusCode::OK));
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// Records whether a replica is up, and reports changes to the parent.
fn note(backend: &Backend, up: bool) {
    if backend.set_up(up) {
        announce(&format!("{} {}", if up { "up" } else { "down" }, backend.url));
    }
}
