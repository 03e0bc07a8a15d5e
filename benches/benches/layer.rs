//! A request through a router in this process: bare, through a middleware that does nothing, and
//! through the layers with the session extracted.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use benches::{Fixture, handler};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use http::{HeaderValue, StatusCode};
use tokio::runtime::Builder;
use tower::ServiceExt as _;
use tower_jwt_session::Algorithm;

fn layer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layer");
    let fixtures = [Algorithm::HS256, Algorithm::EdDSA].map(Fixture::new);
    let cookie = |fixture: &Fixture| header(COOKIE, "__Host-fixed=", &fixture.token);
    let bearer = |fixture: &Fixture| header(AUTHORIZATION, "Bearer ", &fixture.token);

    // They get a token, too, so that it is the layers alone that differ.
    let bare = Router::new().route("/", get(async || StatusCode::NO_CONTENT));
    measure(&mut group, "bare", &bare, &cookie(&fixtures[0]));
    let empty = async |request: Request, next: Next| next.run(request).await;
    let from_fn = bare.clone().layer(from_fn(empty));
    measure(&mut group, "from_fn-empty", &from_fn, &cookie(&fixtures[0]));

    for fixture in &fixtures {
        let app = Router::new().route("/", get(handler)).layer(fixture.sessions.layer());
        let id = |transport: &str| format!("{transport}/{}", fixture.name);
        measure(&mut group, &id("session-cookie"), &app, &cookie(fixture));
        measure(&mut group, &id("session-bearer"), &app, &bearer(fixture));
        let app = Router::new().route("/", get(handler)).layer(fixture.cached.layer());
        measure(&mut group, &id("session-cookie-cached"), &app, &cookie(fixture));
    }
}

fn header(name: HeaderName, prefix: &str, token: &str) -> (HeaderName, HeaderValue) {
    let value = HeaderValue::try_from(format!("{prefix}{token}")).expect("a header's value");
    (name, value)
}

/// Measures one request, its making included.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: &str,
    app: &Router,
    (name, value): &(HeaderName, HeaderValue),
) {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    // As `axum::serve` does once, or each request would build its routes anew.
    let app = &app.clone().with_state(());
    group.bench_function(id, |bencher| {
        bencher.to_async(&runtime).iter(async || {
            let mut request = Request::new(Body::empty());
            request.headers_mut().insert(name, value.clone());
            let response = app.clone().oneshot(request).await;
            assert!(response.is_ok_and(|response| response.status() == StatusCode::NO_CONTENT));
        });
    });
}

criterion_group!(benches, layer);
criterion_main!(benches);
