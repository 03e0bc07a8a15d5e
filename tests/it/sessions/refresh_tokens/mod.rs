//! Refresh tokens: two kinds of token, the endpoint, and what a store adds.

#[cfg(all(feature = "axum", feature = "cookie"))]
mod endpoint;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod revocation;
mod rotation;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod settings;
mod tokens;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod unread_versions;

use std::time::Duration;

use tower_jwt_session::testing::{ManualClock, fixed_key};
use tower_jwt_session::{Algorithm, IssuedTokens, Key, RefreshTokens, RejectionKind, Sessions};

use crate::support::web::{self, User, claims_of};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// The ring's clock skew: the default.
const SKEW: Duration = Duration::from_secs(60);

/// Sessions with the defaults, and no store.
fn sessions(clock: &ManualClock) -> Sessions<User> {
    web::builder(clock)
        .refresh_tokens(RefreshTokens::new().dangerous_without_reuse_detection())
        .build()
        .unwrap()
}

fn login(sessions: &Sessions<User>) -> IssuedTokens {
    sessions.issue_with_refresh_token(&web::login().scope("read write")).unwrap()
}

async fn refresh(sessions: &Sessions<User>, tokens: &IssuedTokens) -> IssuedTokens {
    sessions.refresh(tokens.refresh_token.as_str()).await.unwrap()
}

/// Why it is refused.
async fn refused(sessions: &Sessions<User>, refresh_token: &str) -> RejectionKind {
    let error = sessions.refresh(refresh_token).await.unwrap_err();
    error.rejection().unwrap_or_else(|| panic!("{error}")).kind()
}

/// The fixed key's public half, which can't sign.
fn public_key() -> Key {
    let jwk = fixed_key(Algorithm::EdDSA).to_jwk().unwrap();
    Key::from_jwk(serde_json::to_string(&jwk).unwrap()).unwrap()
}

/// Which of its session's it is.
fn sequence(tokens: &IssuedTokens) -> u64 {
    claims_of(tokens.refresh_token.as_str())["seq"].as_u64().unwrap()
}
