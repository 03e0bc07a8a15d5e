//! Issuers as the field has them, from a file: their documents are followed, and each of their tokens
//! gets what it should. What needs settings that do not exist yet is listed as pending.

use std::collections::HashMap;
use std::process::ExitCode;

use axum::Router;
use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use conformance::{count, published, report};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;
use tower_jwt_session::http_client::{ClientBody, ClientError, ClientFuture, HttpClient};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    Algorithm, KeyRing, Rejection, RejectionKind, Sessions, SessionsBuilder, Timestamp,
};

#[derive(Clone, Deserialize)]
struct Issuer {
    name: String,
    now: i64,
    issuer: String,
    discover: Option<String>,
    audience: String,
    #[serde(default)]
    documents: HashMap<String, Value>,
    tokens: Vec<Token>,
}

#[derive(Clone, Deserialize)]
struct Token {
    name: String,
    token: String,
    expect: String,
}

/// The settings of an application for an issuer.
type Settings = fn(SessionsBuilder<Value>) -> SessionsBuilder<Value>;

fn untyped(sessions: SessionsBuilder<Value>) -> SessionsBuilder<Value> {
    sessions.dangerous_accept_untyped()
}

fn untyped_without_id(sessions: SessionsBuilder<Value>) -> SessionsBuilder<Value> {
    sessions.dangerous_accept_untyped().accept_without_token_id()
}

fn access_tokens(sessions: SessionsBuilder<Value>) -> SessionsBuilder<Value> {
    sessions.accept_token_type("at+jwt")
}

/// The issuers by their names, and what an application sets for them.
const ISSUERS: &[(&str, Settings)] = &[
    ("keycloak", untyped),
    ("auth0 (default dialect, no jti)", untyped_without_id),
    ("duende/identityserver (scope is an array)", access_tokens),
    ("spring authorization server (scope is an array)", untyped),
    ("same kid, one RSA key as RS256 and RS512", access_tokens),
    ("modulus with a leading zero byte (Java BigInteger)", access_tokens),
    ("EC x of 31 bytes (leading zero dropped)", access_tokens),
    ("JWK member: x5c a string", access_tokens),
    ("claims of another issuer", access_tokens),
];

/// Issuers, and tokens of them, that need what does not exist yet.
const PENDING: &[(&str, Option<&str>, &str)] = &[
    (
        "keycloak",
        Some("no sub (KC25+, without scope basic)"),
        "a setting that names the subject's claim",
    ),
    ("keycloak", Some("no aud (admin-cli)"), "a setting that checks another claim than `aud`"),
    ("entra v2, no rsa_algorithm set", None, "keys without `alg`, and scopes in `scp`"),
    ("entra multi-tenant by jwks_url, issuer with {tenantid}", None, "several issuers"),
    ("google", None, "several issuers and audiences"),
    ("cognito", None, "a setting that checks another claim than `aud`"),
    ("one key, no kid; token without kid", None, "keys and tokens without `kid`"),
    ("shared secret of another issuer (HS256)", None, "another issuer's shared secret"),
];

/// Answers each URL with its document.
#[derive(Debug)]
struct Documents(HashMap<String, Value>);

impl HttpClient for Documents {
    fn send(&self, request: Request<()>) -> ClientFuture<'_> {
        let document = self.0.get(&request.uri().to_string()).map(Value::to_string);
        Box::pin(async move {
            let document = document.ok_or_else(|| ClientError::new("no such URL"))?;
            Ok(Response::new(ClientBody::new(Body::from(document))))
        })
    }
}

impl Issuer {
    fn sessions(&self, settings: Settings, runtime: &Runtime) -> Result<Sessions<Value>, Failed> {
        let ring = match &self.discover {
            Some(issuer) => KeyRing::discover(issuer),
            None => {
                let jwks = self.documents.keys().next().ok_or("an issuer without documents")?;
                KeyRing::jwks_url(&self.issuer, jwks)
            }
        };
        let clock = ManualClock::new(Timestamp::from_unix_seconds(self.now));
        let ring = ring.client(Documents(self.documents.clone())).clock(clock);
        // Its keys have no `alg`, so that an application has to say which.
        let ring = match self.name.starts_with("spring ") {
            true => ring.rsa_algorithm(Algorithm::RS256),
            false => ring,
        };
        let keys = runtime.block_on(ring.open())?;
        Ok(settings(Sessions::builder(keys, &self.issuer, &self.audience)).build()?)
    }

    fn run(&self, token: &Token, settings: Settings) -> Result<(), Failed> {
        count(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let sessions = self.sessions(settings, &runtime)?;
        let validated = sessions.validate(&token.token);
        let explained = sessions.explain(&token.token);
        if explained.rejection.as_ref() != validated.as_ref().err() {
            return Err(format!("explained otherwise: {explained}").into());
        }
        match token.expect.split_once("refused") {
            Some(("", why)) => match validated {
                Ok(_) => Err("accepted, and must not be".into()),
                Err(rejection) => self.is_said(why, token, &rejection),
            },
            _ if !token.expect.starts_with("accepted") => {
                Err(format!("an expectation of another form than was known: {}", token.expect)
                    .into())
            }
            _ => {
                let session =
                    validated.map_err(|rejection| format!("{rejection:#}\n{explained}"))?;
                let scope = token.expect.split_once("require_scope(\"").map(|(_, scope)| scope);
                if let Some((scope, _)) = scope.and_then(|scope| scope.split_once('"')) {
                    has_scope(&sessions, &token.token, scope, &runtime)?;
                }
                let own =
                    token.name.strip_prefix("own claim ").and_then(|own| own.split(' ').next());
                if own.is_some_and(|own| !session.claims()[own].is_string()) {
                    return Err(format!("the application does not see {own:?}").into());
                }
                Ok(())
            }
        }
    }

    /// Whether a rejection says what it has to.
    fn is_said(&self, why: &str, token: &Token, rejection: &Rejection) -> Result<(), Failed> {
        let found = rejection.found().unwrap_or_default();
        let expected = rejection.expected().unwrap_or_default();
        let said = match why {
            ": audience, with the value found and the value expected in the log" => {
                rejection.kind() == RejectionKind::WrongAudience
                    && found.contains("account")
                    && expected.contains(&self.audience)
            }
            ": not a JWT" => found.contains("not a JWT"),
            ": encrypted token" => found.contains("encrypted token"),
            ", the log shows the value" => found.contains("000"),
            "" => true,
            _ => return Err(format!("{}: an expectation that was not known", token.expect).into()),
        };
        if said { Ok(()) } else { Err(format!("it says only: {rejection:#}").into()) }
    }
}

fn has_scope(
    sessions: &Sessions<Value>,
    token: &str,
    scope: &str,
    runtime: &Runtime,
) -> Result<(), Failed> {
    let app = Router::new()
        .route("/", get(async || StatusCode::OK))
        .route_layer(sessions.validate_layer().require_scope(scope));
    let request = Request::get("/").header(AUTHORIZATION, format!("Bearer {token}"));
    let Ok(response) = runtime.block_on(app.oneshot(request.body(Body::empty())?));
    if response.status() == StatusCode::OK { Ok(()) } else { Err(format!("no {scope}").into()) }
}

fn trials(issuers: Vec<Issuer>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for issuer in issuers {
        let settings = ISSUERS.iter().find(|(name, _)| *name == issuer.name);
        for token in issuer.tokens.clone() {
            let is_it = |(of, name, _): &&(&str, Option<&str>, &str)| {
                *of == issuer.name && name.is_none_or(|name| name == token.name)
            };
            let name = format!("{}: {}", issuer.name, token.name);
            let trial = match (PENDING.iter().find(is_it), settings) {
                (Some((.., missing)), _) => {
                    let missing = format!("it needs {missing}");
                    let name = format!("{name}: pending, {missing}");
                    Trial::test(name, move || Err(missing.into())).with_ignored_flag(true)
                }
                (None, Some((_, settings))) => {
                    let issuer = issuer.clone();
                    Trial::test(name, move || issuer.run(&token, *settings))
                }
                (None, None) => Trial::test(name, || Err("neither tried nor pending".into())),
            };
            trials.push(trial);
        }
    }
    trials
}

fn main() -> ExitCode {
    report(published("../field/issuers.json", trials), "tokens of issuers of the field")
}
