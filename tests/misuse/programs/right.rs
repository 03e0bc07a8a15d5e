//! Nothing is wrong here: claims need no `Clone`, and no `Serialize` where they are only read.

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use tower_jwt_session::{BuildError, KeyRing, Login, Session, Sessions};

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
}

pub fn app(keys: KeyRing) -> Result<Router, BuildError> {
    let sessions = Sessions::<User>::builder(keys, "https://app.example", "app").build()?;
    let own = |answer: Response<Bytes>, _: Option<&Parts>| answer.map(axum::body::Body::from);
    Ok(Router::new()
        .route("/", get(async |session: Session<User>| session.claims().name.clone()))
        .route("/login", get(async || Login::new("alice", User { name: "Alice".into() })))
        .layer(sessions.layer().respond_with(own)))
}

#[derive(Deserialize)]
pub struct ReadOnly {
    pub name: String,
}

pub fn validates(keys: KeyRing) -> Result<Router, BuildError> {
    let sessions = Sessions::<ReadOnly>::builder(keys, "https://login.example", "app").build()?;
    let _ = sessions.validate("token").map(|session| session.claims().name.clone());
    Ok(Router::new()
        .route("/", get(async |session: Session<ReadOnly>| session.claims().name.clone()))
        .layer(sessions.validate_only_layer()))
}
