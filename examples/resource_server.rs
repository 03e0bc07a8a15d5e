//! A resource server: it accepts its own tokens and those of other issuers, whose keys it follows, and
//! tells clients where to get them (RFC 9728). Each `--issuer` begins another one:
//!
//! ```text
//! cargo run --example resource_server --features jwks-client -- \
//!     --issuer https://sso.example/realms/shop --audience orders --type keycloak \
//!     --issuer https://app.example --audience app --keys http://localhost:3000/.well-known/jwks.json
//! curl -i localhost:3001/orders; curl localhost:3001/.well-known/oauth-protected-resource
//! TOKEN=$(curl -sX POST localhost:3001/login | sed 's/.*"access_token":"\([^"]*\).*/\1/')
//! curl -H "authorization: Bearer $TOKEN" localhost:3001/orders
//! ```

use std::error::Error;

use axum::Router;
use axum::routing::{get, post};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::{BuildError, KeyRing, Login, ProtectedResource, Session, Sessions};

const RESOURCE: &str = "http://localhost:3001";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The cryptography of TLS, for all in this process that uses rustls.
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().map_err(|_| "another provider is installed")?;
    let flags: Vec<_> = std::env::args().skip(1).collect();
    let mut issuers = Vec::new();
    for of_one in flags.chunk_by(|_, flag| flag != "--issuer") {
        issuers.push(follow(of_one).await?);
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3001").await?;
    println!("listening on {RESOURCE}");
    Ok(axum::serve(listener, app(issuers).await?).await?)
}

/// The sessions of one issuer, as its flags say.
async fn follow(flags: &[String]) -> Result<Sessions<()>, Box<dyn Error>> {
    let value = |name| flags.iter().skip_while(|flag| *flag != name).nth(1);
    let issuer = value("--issuer").ok_or("give --issuer, then its --audience, --type, --keys")?;
    let keys = match value("--keys") {
        Some(url) => KeyRing::jwks_url(issuer, url),
        None => KeyRing::discover(issuer),
    };
    let keys = keys.allow_http_on_loopback().start_without_keys().open().await?;
    let audience = value("--audience").map_or(RESOURCE, String::as_str);
    let sessions = Sessions::builder(keys, issuer, audience);
    let sessions = match value("--type").map(String::as_str) {
        Some("keycloak") => sessions.profile(tower_jwt_session::IssuerProfile::KEYCLOAK),
        Some(name) => sessions.accept_token_type(name),
        None => sessions,
    };
    Ok(sessions.build()?)
}

async fn app(issuers: Vec<Sessions<()>>) -> Result<Router, BuildError> {
    let resource = ProtectedResource::new(RESOURCE).name("Orders").scopes(["orders:read"]);
    let keys = KeyRing::builder("orders").store(MemoryStore::new()).open().await?;
    let own = Sessions::builder(keys, RESOURCE, RESOURCE).protected_resource(resource);
    let sessions = issuers.into_iter().fold(own, |own, other| own.also_accept_sessions(other));
    let sessions = sessions.build()?;
    let list = async |session: Session<()>| format!("orders of {}\n", session.subject());
    // A real service checks a password here.
    let login = async || Login::new("alice", ()).scope("orders:read").bearer();
    Ok(Router::new()
        .route("/orders", get(list))
        .route_layer(sessions.validate_layer().require_scope("orders:read"))
        .route("/login", post(login).layer(sessions.issue_layer()))
        .merge(sessions.resource_metadata_router())
        .merge(sessions.jwks_router()))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn token_of_each_issuer_is_accepted_and_a_challenge_names_the_metadata() {
        let keys = KeyRing::builder("login").store(MemoryStore::new()).open().await.expect("keys");
        let login = Sessions::<()>::builder(keys.clone(), "https://login.example", RESOURCE);
        let login = login.build().expect("an issuer");
        let app = app(vec![login.clone()]).await.expect("the app");
        let status = async |token: &str| {
            let request =
                Request::get("/orders").header("authorization", format!("Bearer {token}"));
            let request = request.body(Body::empty()).expect("a request");
            let answer = app.clone().oneshot(request).await.expect("an answer");
            let challenge = answer.headers().get("www-authenticate").cloned();
            (answer.status().as_u16(), challenge.map(|it| format!("{it:?}")).unwrap_or_default())
        };
        let token = login.issue(&Login::new("bob", ()).scope("orders:read")).expect("a token");
        assert_eq!(status(token.as_str()).await.0, 200);
        let (code, challenge) = status("no.token.atall").await;
        assert!(code == 401 && challenge.contains("/.well-known/oauth-protected-resource"));
    }
}
