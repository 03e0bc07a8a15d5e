//! OAuth 2.0 protected resources (RFC 9728): the metadata document, challenges, and the audience.

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tower_jwt_session::testing::{ManualClock, fixed_key, fixed_ring};
use tower_jwt_session::{
    Algorithm, KeyRing, Login, ProtectedResource, RejectionKind, Session, Sessions,
    SessionsBuilder, Transport,
};

use crate::support::issuer::{self, FakeClient, ISSUER, following, set};
use crate::support::web::{Credentials as _, get as request, send};
use crate::token::answer;

const RESOURCE: &str = "https://api.example/mcp";
const METADATA: &str = "https://api.example/.well-known/oauth-protected-resource/mcp";

fn builder(clock: &ManualClock) -> SessionsBuilder<()> {
    Sessions::builder(fixed_ring(clock.clone()), "https://app.example", "app")
}

fn described(clock: &ManualClock) -> SessionsBuilder<()> {
    builder(clock).transports([Transport::bearer()]).protected_resource(
        ProtectedResource::new(RESOURCE)
            .scopes(["notes:read", "notes:write"])
            .name("Notes")
            .documentation("https://api.example/docs")
            .jwks_uri("https://api.example/.well-known/jwks.json"),
    )
}

async fn document(sessions: &Sessions<()>, path: &str) -> Value {
    let answer = send(&sessions.resource_metadata_router(), request(path)).await;
    assert_eq!(answer.status.as_u16(), 200, "{path}");
    assert_eq!(answer.all("content-type"), ["application/json"]);
    assert_eq!(answer.all("cache-control"), ["public, max-age=600"]);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn metadata_document_names_the_resource_and_the_followed_issuers() {
    let clock = ManualClock::default();
    let client = FakeClient::new(set([issuer::jwk(Algorithm::EdDSA, "a")]));
    let keys = following(&client, &clock).open().await.unwrap();
    let followed = Sessions::builder(keys, ISSUER, RESOURCE).build().unwrap();
    let sessions = described(&clock).also_accept_sessions(followed).build().unwrap();
    assert_eq!(sessions.resource_metadata_path(), "/.well-known/oauth-protected-resource/mcp");
    let document = document(&sessions, sessions.resource_metadata_path()).await;
    let expected = json!({
        "resource": RESOURCE,
        // Not the issuer of these sessions, which is no authorization server.
        "authorization_servers": [ISSUER],
        "jwks_uri": "https://api.example/.well-known/jwks.json",
        "scopes_supported": ["notes:read", "notes:write"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Notes",
        "resource_documentation": "https://api.example/docs",
    });
    assert_eq!(document, expected);
    let response = sessions.resource_metadata_response();
    assert_eq!(serde_json::from_slice::<Value>(response.body()).unwrap(), expected);
}

#[tokio::test]
async fn metadata_document_is_where_the_resources_path_says() {
    let clock = ManualClock::default();
    for (resource, path) in [
        ("https://api.example", "/.well-known/oauth-protected-resource"),
        ("https://api.example/", "/.well-known/oauth-protected-resource"),
        ("https://api.example:8443/a/b", "/.well-known/oauth-protected-resource/a/b"),
        ("https://api.example/mcp/", "/.well-known/oauth-protected-resource/mcp/"),
        ("http://127.0.0.1:3000/mcp", "/.well-known/oauth-protected-resource/mcp"),
        ("http://localhost:3000", "/.well-known/oauth-protected-resource"),
    ] {
        let resource =
            ProtectedResource::new(resource).authorization_servers(["https://a.example"]);
        let sessions = builder(&clock).protected_resource(resource.clone()).build().unwrap();
        assert_eq!(sessions.resource_metadata_path(), path);
        let document = document(&sessions, path).await;
        assert_eq!(document["authorization_servers"], json!(["https://a.example"]));
        let text = format!("{resource:?}");
        assert!(text.contains(document["resource"].as_str().unwrap()), "as it was given: {text}");
    }
    let sessions = builder(&clock).build().unwrap();
    let app = sessions.resource_metadata_router();
    let answer = send(&app, request("/.well-known/oauth-protected-resource")).await;
    assert_eq!(answer.status.as_u16(), 500);
    assert!(answer.body.contains("`protected_resource`"), "{}", answer.body);
}

#[test]
fn resource_that_clients_cannot_use_is_a_build_error() {
    let clock = ManualClock::default();
    let good = || ProtectedResource::new(RESOURCE);
    let mut cases: Vec<_> = [
        "",
        "api.example",
        "/mcp",
        "https:///mcp",
        "http://api.example/mcp",
        "http://localhost.example/mcp",
        "https://api.example/mcp#a",
        "https://api.example/mcp?a=b",
        "https://user@api.example/mcp",
        "https://api.example/{id}",
        "https://api.example/:id",
        "https://api.example/*",
        "https://api.example/a\"b",
        "https://api.example/a b",
    ]
    .map(|url| ("protected_resource", ProtectedResource::new(url)))
    .into();
    cases.extend([
        ("authorization_servers", good().authorization_servers(["http://login.example"])),
        ("scopes", good().scopes(["notes read"])),
        ("scopes", good().scopes([""])),
        ("jwks_uri", good().jwks_uri("http://api.example/jwks.json")),
        ("documentation", good().documentation("docs")),
    ]);
    for (setting, resource) in cases {
        let text = format!("{resource:?}");
        let error = builder(&clock).protected_resource(resource).build().expect_err(&text);
        assert_eq!(error.setting(), Some(setting), "{error}");
    }
}

#[tokio::test]
async fn challenges_name_the_metadata_and_the_required_scopes() {
    let clock = ManualClock::default();
    let sessions = described(&clock).build().unwrap();
    let me = async |session: Session<()>| session.subject().to_owned();
    let maybe = sessions.validate_layer().optional().require_scope("notes:read");
    let both = sessions.validate_layer().require_scope("notes:read").require_scope("notes:write");
    let app = Router::new()
        .route("/read", get(me).route_layer(sessions.validate_layer().require_scope("notes:read")))
        .route("/both", get(me).route_layer(both))
        .route("/extractor", get(me).route_layer(maybe))
        .route("/plain", get(me).route_layer(sessions.validate_layer()))
        .route("/refuses", get(me).route_layer(sessions.validate_layer().authorize(|_| false)));
    let login = Login::new("alice", ()).scope("notes:read");
    let token = sessions.issue(&login).unwrap();
    let resource = format!(r#"resource_metadata="{METADATA}""#);
    let (read, both) = (r#"scope="notes:read""#, r#"scope="notes:read notes:write""#);
    let (invalid, missing) = (r#"error="invalid_token""#, r#"error="insufficient_scope""#);
    for (path, bearer, status, challenge) in [
        ("/read", None, 401, format!("Bearer {read}, {resource}")),
        ("/read", Some("bad"), 401, format!("Bearer {invalid}, {read}, {resource}")),
        ("/extractor", None, 401, format!("Bearer {read}, {resource}")),
        ("/both", None, 401, format!("Bearer {both}, {resource}")),
        ("/both", Some(token.as_str()), 403, format!("Bearer {missing}, {both}, {resource}")),
        ("/plain", None, 401, format!("Bearer {resource}")),
        ("/plain", Some("bad"), 401, format!("Bearer {invalid}, {resource}")),
    ] {
        let request = request(path);
        let request = match bearer {
            Some(token) => request.bearer(token),
            None => request,
        };
        let answer = send(&app, request).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.all("www-authenticate"), [challenge], "{path}");
    }
    let answer = send(&app, request("/refuses").bearer(token.as_str())).await;
    assert_eq!((answer.status.as_u16(), answer.all("www-authenticate")), (403, vec![]));
    assert_eq!(send(&app, request("/read").bearer(token.as_str())).await.status.as_u16(), 200);
}

#[test]
fn resource_is_an_accepted_audience_and_compared_exactly() {
    let clock = ManualClock::default();
    let issuing = |audience: &str| {
        let sessions =
            Sessions::builder(fixed_ring(clock.clone()), "https://app.example", audience);
        let sessions: Sessions<()> = sessions.build().unwrap();
        sessions.issue(&Login::new("alice", ())).unwrap().as_str().to_owned()
    };
    let [with, without] = [described(&clock), builder(&clock)].map(|it| it.build().unwrap());
    for audience in ["app", RESOURCE] {
        assert!(answer(&with, &issuing(audience)).is_ok(), "{audience}");
    }
    for audience in [
        "https://api.example/mcp/",
        "https://api.example/MCP",
        "https://api.example",
        "https://api.example/mcp/notes",
    ] {
        let refused = answer(&with, &issuing(audience)).unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::WrongAudience, "{audience}");
    }
    assert!(answer(&without, &issuing(RESOURCE)).is_err());
    // Also where it is the only audience.
    let keys = KeyRing::fixed([fixed_key(Algorithm::EdDSA)]).clock(clock.clone()).build().unwrap();
    let sessions = Sessions::<()>::builder(keys, "https://app.example", RESOURCE);
    let sessions = sessions.protected_resource(ProtectedResource::new(RESOURCE)).build().unwrap();
    assert!(answer(&sessions, &issuing(RESOURCE)).is_ok());
}
