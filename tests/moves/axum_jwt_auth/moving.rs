//! The service between `before.rs` and `after.rs`: two deployments in which no user is logged out. It accepts the tokens
//! of both. The first deployment makes tokens as `before.rs` does, the second as `after.rs` does.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use tower_jwt_session::store::RevocationStore;
use tower_jwt_session::{Algorithm, BuildError, Key, KeyRing, Revocations, Session, Sessions};

use super::after::{self, User};
use super::before::{self, Issuing, Token};

/// The first deployment: every replica learns to accept the new tokens, and none makes one.
pub async fn first<S>(secret: &str, staff: &Sessions<()>, store: S) -> Result<Router, BuildError>
where
    S: RevocationStore + Clone,
{
    let sessions = both(secret, store).await?;
    let issuing = Router::new()
        .route("/login", post(before::login))
        .route("/renew", post(renew))
        .with_state(Issuing::new(secret));
    Ok(issuing.merge(after::routes(&sessions)).layer(sessions.layer()).merge(after::reports(staff)))
}

/// The second deployment.
pub async fn second<S>(secret: &str, staff: &Sessions<()>, store: S) -> Result<Router, BuildError>
where
    S: RevocationStore + Clone,
{
    Ok(after::app(both(secret, store).await?, staff))
}

async fn renew(
    State(issuing): State<Issuing>,
    session: Session<User>,
) -> Result<Json<Token>, StatusCode> {
    let User { name, roles } = session.claims();
    Ok(Json(issuing.token(session.subject(), name, roles)?))
}

async fn both<S>(secret: &str, store: S) -> Result<Sessions<User>, BuildError>
where
    S: RevocationStore + Clone,
{
    let (sessions, revocations) = after::builder(store).await?;
    sessions.also_accept_sessions(old(secret, revocations)?).build()
}

/// The tokens that `before.rs` makes. These sessions issue none.
fn old(secret: &str, revocations: Revocations) -> Result<Sessions<User>, BuildError> {
    let key = Key::hmac_from_text(Algorithm::HS256, secret).expect("a secret of 32 bytes or more");
    let keys = KeyRing::fixed([key.verify_only()]).build()?;
    Sessions::builder(keys, "orders", "orders")
        .accept_token_type("JWT")
        .accept_without_key_id()
        // These tokens have no `auth_time`. Their `iat` is the time of a login, or of a `/renew` here, which a
        // revoked token cannot ask for.
        .revocations(revocations)
        .dangerous_revoke_by_issued_at()
        .build()
}
