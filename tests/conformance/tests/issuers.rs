//! Issuers as the field has them, from a file: their documents are followed, and each of their tokens
//! gets what it should.

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
    Algorithm, IssuerProfile, Key, KeyRing, Rejection, RejectionKind, Sessions, SessionsBuilder,
    Timestamp,
};

#[derive(Clone, Deserialize)]
struct Issuer {
    name: String,
    now: i64,
    issuer: String,
    discover: Option<String>,
    audience: String,
    secret: Option<String>,
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

/// The settings of an application for an issuer, some of them for one of its tokens.
type Settings = fn(SessionsBuilder<Value>, &str) -> SessionsBuilder<Value>;

fn keycloak(sessions: SessionsBuilder<Value>, token: &str) -> SessionsBuilder<Value> {
    let sessions = sessions.profile(IssuerProfile::KEYCLOAK);
    match token {
        "no sub (KC25+, without scope basic)" => sessions.subject_claim("azp"),
        // The client is the audience.
        "no aud (admin-cli)" => sessions.audience_claim("azp").audiences(["web"]),
        _ => sessions,
    }
}

fn auth0(sessions: SessionsBuilder<Value>, _: &str) -> SessionsBuilder<Value> {
    sessions.accept_token_type("JWT").accept_without_token_id()
}

fn entra(sessions: SessionsBuilder<Value>, _: &str) -> SessionsBuilder<Value> {
    sessions.profile(IssuerProfile::ENTRA_ID)
}

fn entra_tenants(sessions: SessionsBuilder<Value>, _: &str) -> SessionsBuilder<Value> {
    sessions.profile(IssuerProfile::ENTRA_ID).tenants([TENANT])
}

fn google(sessions: SessionsBuilder<Value>, _: &str) -> SessionsBuilder<Value> {
    let sessions = sessions.profile(IssuerProfile::GOOGLE).audiences(["2.apps"]);
    sessions.also_accept_issuer("accounts.google.example")
}

fn cognito(sessions: SessionsBuilder<Value>, _: &str) -> SessionsBuilder<Value> {
    sessions.profile(IssuerProfile::COGNITO)
}

fn identity_server(sessions: SessionsBuilder<Value>, _: &str) -> SessionsBuilder<Value> {
    sessions.profile(IssuerProfile::IDENTITY_SERVER)
}

fn spring(sessions: SessionsBuilder<Value>, _: &str) -> SessionsBuilder<Value> {
    sessions.profile(IssuerProfile::SPRING)
}

fn supabase(sessions: SessionsBuilder<Value>, _: &str) -> SessionsBuilder<Value> {
    sessions.profile(IssuerProfile::SUPABASE_SECRET)
}

fn access_tokens(sessions: SessionsBuilder<Value>, _: &str) -> SessionsBuilder<Value> {
    sessions.accept_token_type("at+jwt")
}

fn one_key(sessions: SessionsBuilder<Value>, _: &str) -> SessionsBuilder<Value> {
    sessions.accept_token_type("at+jwt").accept_without_key_id()
}

/// The tenant of Entra's tokens.
const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// The issuers by their names, and what an application sets for them.
const ISSUERS: &[(&str, Settings)] = &[
    ("keycloak", keycloak),
    ("auth0 (default dialect, no jti)", auth0),
    ("entra v2, no rsa_algorithm set", entra),
    ("entra multi-tenant by jwks_url, issuer with {tenantid}", entra_tenants),
    ("google", google),
    ("cognito", cognito),
    ("duende/identityserver (scope is an array)", identity_server),
    ("spring authorization server (scope is an array)", spring),
    ("one key, no kid; token without kid", one_key),
    ("same kid, one RSA key as RS256 and RS512", access_tokens),
    ("modulus with a leading zero byte (Java BigInteger)", access_tokens),
    ("EC x of 31 bytes (leading zero dropped)", access_tokens),
    ("JWK member: x5c a string", access_tokens),
    ("shared secret of another issuer (HS256)", supabase),
    ("claims of another issuer", access_tokens),
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
    fn keys(&self, runtime: &Runtime) -> Result<KeyRing, Failed> {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(self.now));
        if let Some(secret) = &self.secret {
            let key = Key::hmac_from_text(Algorithm::HS256, secret)?.verify_only();
            return Ok(KeyRing::fixed([key]).clock(clock).build()?);
        }
        let ring = match &self.discover {
            Some(issuer) => KeyRing::discover(issuer),
            None => {
                let jwks = self.documents.keys().next().ok_or("an issuer without documents")?;
                KeyRing::jwks_url(&self.issuer, jwks)
            }
        };
        let ring = ring.client(Documents(self.documents.clone())).clock(clock);
        // Their keys have no `alg`, and there is no metadata: an application has to say which.
        let has_no_alg = self.name.starts_with("spring ") || self.name.contains("{tenantid}");
        let ring = if has_no_alg { ring.rsa_algorithm(Algorithm::RS256) } else { ring };
        Ok(runtime.block_on(ring.open())?)
    }

    fn run(&self, token: &Token, settings: Settings) -> Result<(), Failed> {
        count(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let builder = Sessions::builder(self.keys(&runtime)?, &self.issuer, &self.audience);
        let sessions = settings(builder, &token.name).build()?;
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
                if token.expect.ends_with("if its tenant is allowed, refused if not") {
                    self.other_tenants_are_refused(token, settings, &runtime)?;
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

    fn other_tenants_are_refused(
        &self,
        token: &Token,
        settings: Settings,
        runtime: &Runtime,
    ) -> Result<(), Failed> {
        let builder = Sessions::builder(self.keys(runtime)?, &self.issuer, &self.audience);
        let sessions = settings(builder, &token.name).tenants(["another"]).build()?;
        match sessions.validate(&token.token) {
            Err(rejection) if rejection.kind() == RejectionKind::WrongIssuer => Ok(()),
            other => Err(format!("a tenant that is not allowed: {other:?}").into()),
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
            " where access tokens are expected" => {
                rejection.kind() == RejectionKind::WrongClaim
                    && found.contains("\"id\"")
                    && expected.contains("\"access\"")
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
            let name = format!("{}: {}", issuer.name, token.name);
            let trial = match settings {
                Some((_, settings)) => {
                    let issuer = issuer.clone();
                    Trial::test(name, move || issuer.run(&token, *settings))
                }
                None => Trial::test(name, || Err("an issuer without settings".into())),
            };
            trials.push(trial);
        }
    }
    trials
}

fn main() -> ExitCode {
    report(published("../field/issuers.json", trials), "tokens of issuers of the field")
}
