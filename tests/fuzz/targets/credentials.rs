//! Any bytes as `Authorization` and `Cookie` fields, divided by line feeds, a `c` first for a cookie:
//! who is let in has shown the one good token, once.
#![no_main]

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderValue, Request, StatusCode};
use axum::routing::get;
use fuzz::{HEADER, NOW, PAYLOAD, key, sessions};
use libfuzzer_sys::fuzz_target;
use tower::ServiceExt as _;
use tower_jwt_session::Session;
use tower_jwt_session::testing::mint;

static TOKEN: LazyLock<String> = LazyLock::new(|| mint(&key(), HEADER, PAYLOAD));

static APP: LazyLock<Router> = LazyLock::new(|| {
    let sessions = sessions::<()>(NOW);
    let strict = get(async |session: Session<()>| session.subject().to_owned());
    let optional = get(async |_: Option<Session<()>>| StatusCode::ACCEPTED);
    Router::new().route("/", strict).route("/optional", optional).layer(sessions.layer())
});

fuzz_target!(|input: &[u8]| {
    // A seed can't hold the token, which is as long as a kilobyte: `~` stands for it.
    let fields: Vec<_> = input
        .split(|byte| *byte == b'\n')
        .map(|line| {
            let parts: Vec<_> = line.split(|byte| *byte == b'~').collect();
            parts.join(TOKEN.as_bytes())
        })
        .collect();
    let request = |path: &str| {
        let mut request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        for field in &fields {
            let (name, value) = match field.strip_prefix(b"c") {
                Some(value) => (COOKIE, value),
                None => (AUTHORIZATION, &**field),
            };
            if let Ok(value) = HeaderValue::from_bytes(value) {
                request.headers_mut().append(name, value);
            }
        }
        request
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let ask = |path| {
        let answer = runtime.block_on(APP.clone().oneshot(request(path)));
        answer.expect("a router always answers")
    };
    let strict = ask("/").status();
    match ask("/optional").status() {
        StatusCode::ACCEPTED => assert!([200, 401].contains(&strict.as_u16()), "{strict}"),
        refused => {
            assert!([400, 401].contains(&refused.as_u16()), "{refused}");
            assert_eq!(refused, strict);
        }
    }
    if strict == StatusCode::OK {
        let shown = request("/");
        let holds = |value: &HeaderValue| {
            value.as_bytes().windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes())
        };
        assert!(shown.headers().values().any(holds), "{strict} without the token");
    }
});
