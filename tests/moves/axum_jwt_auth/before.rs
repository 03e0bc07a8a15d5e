//! An API for orders. It makes its tokens with `jsonwebtoken`, and `axum-jwt-auth` validates them. Its reports are for
//! the staff of a partner, whose keys it follows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{FromRef, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_jwt_auth::{AuthError, Claims, Decoder, LocalDecoder, RemoteJwksDecoder};
use axum_jwt_auth::{Error, RemoteJwksDecoderConfig};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, encode};
use serde::{Deserialize, Serialize};

use crate::accounts::Users;

const ISSUER: &str = "orders";
const AUDIENCE: &str = "orders";
const PARTNER: &str = "https://login.partner.example";
const LIFETIME: u64 = 3600;

/// What the tokens of this service hold.
#[derive(Clone, Deserialize, Serialize)]
struct UserClaims {
    iss: String,
    aud: String,
    sub: String,
    iat: u64,
    exp: u64,
    jti: String,
    name: String,
    roles: Vec<String>,
}

/// What this service reads of the partner's tokens.
#[derive(Deserialize)]
struct StaffClaims {
    sub: String,
    #[serde(default)]
    scope: String,
}

#[derive(Clone, FromRef)]
struct AppState {
    users: Decoder<UserClaims>,
    staff: Decoder<StaffClaims>,
    issuing: Issuing,
    ended: Ended,
}

/// The key that signs, and the number of the next token.
#[derive(Clone)]
pub struct Issuing(Arc<EncodingKey>);

impl Issuing {
    pub fn new(secret: &str) -> Self {
        Self(Arc::new(EncodingKey::from_secret(secret.as_bytes())))
    }

    pub fn token(&self, subject: &str, name: &str, roles: &[String]) -> Result<Token, StatusCode> {
        let now = now();
        let claims = UserClaims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: subject.into(),
            iat: now,
            exp: now + LIFETIME,
            jti: format!("{:032x}", rand::random::<u128>()),
            name: name.into(),
            roles: roles.to_vec(),
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.0);
        let access_token = token.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok(Token { access_token, token_type: "Bearer", expires_in: LIFETIME })
    }
}

/// The tokens that users have ended, with the time when each expires. Other replicas do not know of them.
#[derive(Clone, Default)]
struct Ended(Arc<Mutex<HashMap<String, u64>>>);

impl Ended {
    fn add(&self, claims: &UserClaims) {
        let mut ended = self.0.lock().expect("no panic");
        ended.retain(|_, expires_at| *expires_at > now());
        ended.insert(claims.jti.clone(), claims.exp);
    }

    fn has(&self, claims: &UserClaims) -> bool {
        self.0.lock().expect("no panic").contains_key(&claims.jti)
    }
}

/// The user of a valid token that was not ended.
struct User(UserClaims);

impl FromRequestParts<AppState> for User {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, AuthError> {
        let Claims { claims, .. } = Claims::<UserClaims>::from_request_parts(parts, app).await?;
        if app.ended.has(&claims) { Err(AuthError::InvalidToken) } else { Ok(Self(claims)) }
    }
}

#[derive(Serialize)]
pub struct Token {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
}

#[derive(Deserialize)]
pub struct Credentials {
    name: String,
    password: String,
}

#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = std::env::var("TOKEN_SECRET")?;
    let app = app(&secret, "https://login.partner.example/jwks.json").await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}

pub async fn app(secret: &str, partner_jwks: &str) -> Result<Router, Error> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let key = DecodingKey::from_secret(secret.as_bytes());
    let users = LocalDecoder::builder().keys(vec![key]).validation(validation).build()?;

    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[PARTNER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let config = RemoteJwksDecoderConfig::builder().cache_duration(Duration::from_secs(600));
    let staff = RemoteJwksDecoder::builder()
        .jwks_url(partner_jwks.into())
        .validation(validation)
        .config(config.build())
        .build()?;
    staff.initialize().await?;

    let state = AppState {
        users: Arc::new(users),
        staff: Arc::new(staff),
        issuing: Issuing::new(secret),
        ended: Ended::default(),
    };
    Ok(Router::new()
        .route("/", get(home))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/renew", post(renew))
        .route("/me", get(me))
        .route("/settings", get(settings))
        .route("/reports", get(reports))
        .with_state(state))
}

pub async fn login(
    State(issuing): State<Issuing>,
    Json(form): Json<Credentials>,
) -> Result<Json<Token>, StatusCode> {
    let account = Users::default().authenticate(&form.name, &form.password).await;
    let account = account.ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(Json(issuing.token(&account.id, &account.name, &account.roles)?))
}

async fn logout(State(ended): State<Ended>, User(claims): User) -> StatusCode {
    ended.add(&claims);
    StatusCode::NO_CONTENT
}

/// A client that stays changes its token for the next one before it expires.
async fn renew(
    State(issuing): State<Issuing>,
    User(claims): User,
) -> Result<Json<Token>, StatusCode> {
    Ok(Json(issuing.token(&claims.sub, &claims.name, &claims.roles)?))
}

async fn home(user: Result<User, AuthError>) -> Result<String, AuthError> {
    match user {
        Ok(User(claims)) => Ok(format!("hello {}", claims.name)),
        Err(AuthError::MissingToken) => Ok("please log in".into()),
        Err(error) => Err(error),
    }
}

async fn me(User(claims): User) -> String {
    format!("{} ({})", claims.name, claims.sub)
}

async fn settings(User(claims): User) -> Response {
    match claims.roles.iter().any(|role| role == "admin") {
        true => "settings".into_response(),
        false => StatusCode::FORBIDDEN.into_response(),
    }
}

async fn reports(staff: Claims<StaffClaims>) -> Result<String, StatusCode> {
    match staff.claims.scope.split(' ').any(|scope| scope == "reports:read") {
        true => Ok(format!("reports for {}", staff.claims.sub)),
        false => Err(StatusCode::FORBIDDEN),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
