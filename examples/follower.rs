//! A resource server: it validates the tokens of another service, whose keys it follows, and issues
//! none.
//!
//! ```text
//! cargo run --example follower --features jwks-client -- https://login.example
//! curl -H "authorization: Bearer $TOKEN" localhost:3001/orders
//! ```

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tower_jwt_session::Transport;
use tower_jwt_session::{BuildError, KeyRing, Session, Sessions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The cryptography of TLS, for all in this process that uses rustls.
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().map_err(|_| "another provider is installed")?;
    let issuer = std::env::args().nth(1).ok_or("give the issuer, as https://login.example")?;
    let keys = KeyRing::discover(&issuer).open().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3001").await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app(keys, &issuer)?).await?)
}

fn app(keys: KeyRing, issuer: &str) -> Result<Router, BuildError> {
    // For the access tokens of RFC 9068 add `.accept_token_type("at+jwt")`.
    let sessions = Sessions::<()>::builder(keys.clone(), issuer, "orders")
        .transports([Transport::bearer()])
        .build()?;
    let requires = |scope| sessions.validate_layer().require_scope(scope);
    let read = Router::new().route("/orders", get(list)).route_layer(requires("orders:read"));
    let write = Router::new().route("/orders", post(order)).route_layer(requires("orders:write"));
    let ready = async move || match keys.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    };
    Ok(read.merge(write).route("/ready", get(ready)))
}

async fn list(session: Session<()>) -> String {
    format!("the orders of {}\n", session.subject())
}

async fn order() -> StatusCode {
    StatusCode::CREATED
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Method, Request, header};
    use tower::ServiceExt as _;
    use tower_jwt_session::http_client::JwksClient;
    use tower_jwt_session::{Login, store::MemoryStore};

    use super::*;

    #[tokio::test]
    async fn a_token_of_the_issuer_may_do_what_its_scope_says() {
        let issuer = "https://login.example";
        let keys = KeyRing::builder("login").store(MemoryStore::new()).open().await;
        let login = Sessions::<()>::builder(keys.expect("a ring"), issuer, "orders").build();
        let login = login.expect("the issuer");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url =
            format!("http://{}{}", listener.local_addr().expect("its port"), KeyRing::JWKS_PATH);
        tokio::spawn(axum::serve(listener, login.jwks_router::<()>()).into_future());

        let client = JwksClient::with_provider(rustls::crypto::ring::default_provider());
        let keys = KeyRing::jwks_url(issuer, url).client(client.expect("a client"));
        let keys = keys.allow_http_on_loopback().open().await;
        let app = app(keys.expect("the issuer's keys"), issuer).expect("the app");
        let token = login.issue(&Login::new("alice", ()).scope("orders:read"));
        let token = format!("Bearer {}", token.expect("a token").as_str());
        for (method, authorization, expected) in [
            (Method::GET, token.as_str(), StatusCode::OK),
            (Method::POST, token.as_str(), StatusCode::FORBIDDEN),
            (Method::GET, "Bearer no.token.atall", StatusCode::UNAUTHORIZED),
        ] {
            let request = Request::builder().method(method).uri("/orders");
            let request = request.header(header::AUTHORIZATION, authorization);
            let request = request.body(Body::empty()).expect("a request");
            let answer = app.clone().oneshot(request).await.expect("an answer");
            assert_eq!(answer.status(), expected);
        }
        let ready = Request::get("/ready").body(Body::empty()).expect("a request");
        assert_eq!(app.oneshot(ready).await.expect("an answer").status(), StatusCode::OK);
    }
}
