//! The reference of the load run: the same routes without sessions. Every request is Alice's.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use serde_json::json;

use crate::{
    arms::app::{self, LoginForm, Me, User},
    arms::figures::{self, Figures},
    arms::replica::ReplicaOptions,
};

/// About as long as the other arm's tokens, so that requests have the same size.
const TOKEN_LENGTH: usize = 420;

/// The state of the handlers.
#[derive(Clone)]
struct Shared {
    replica: Arc<str>,
    alice: Arc<User>,
}

/// The application of one replica.
pub(crate) fn app(options: &ReplicaOptions) -> Router {
    let roles = vec!["user".to_owned(), "admin".to_owned()];
    Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
        .route("/admin", get(|| async { "welcome\n" }))
        .route("/logout", post(|| async { StatusCode::NO_CONTENT }))
        .merge(app::always_ready(|| None))
        .with_state(Shared {
            replica: options.name.as_str().into(),
            alice: Arc::new(User { name: "Alice".to_owned(), roles }),
        })
        .merge(figures::route(Figures::default))
}

/// Checks the password, and answers with a token that nobody will look at.
async fn login(Json(form): Json<LoginForm>) -> Result<Json<serde_json::Value>, StatusCode> {
    form.check()?;
    Ok(Json(json!({ "access_token": "x".repeat(TOKEN_LENGTH), "token_type": "Bearer" })))
}

/// Makes the same answer as the other arms.
async fn me(State(shared): State<Shared>) -> Json<Me> {
    Json(Me {
        subject: "alice".to_owned(),
        name: shared.alice.name.clone(),
        roles: shared.alice.roles.clone(),
        expires_at: 0,
        replica: shared.replica.to_string(),
        kid: None,
    })
}
