//! The application over a table of sessions in the process's own memory.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRequestParts, Query, State},
    http::{StatusCode, request::Parts},
    response::Response,
    routing::post,
};
use ring::rand::{SecureRandom, SystemRandom};

use crate::{
    arms::app::{self, LoginForm, LoginQuery, User},
    arms::figures::{self, Figures},
    arms::session::{self, Found, Session},
};

/// A table of sessions, whose clones are one table.
pub(crate) trait Table: Clone + Send + Sync + 'static {
    /// Adds a session.
    fn insert(&self, id: &str, subject: String, user: User);
    /// The live session of this identifier. A session that is used lives on, as with a renewed cookie.
    fn find(&self, id: &str) -> Option<Session>;
    /// Ends a session.
    fn remove(&self, id: &str);
    /// Ends every session of a user that this process knows.
    fn remove_all_of(&self, subject: &str);
    /// What is counted of it.
    fn figures(&self) -> Figures;
    /// How many other replicas it sends copies to; none if it sends no copies.
    fn peers(&self) -> Option<usize> {
        None
    }
}

/// The state of the handlers.
#[derive(Clone)]
struct Shared<T> {
    replica: Arc<str>,
    table: T,
}

/// The application of one replica.
pub(crate) fn app<T: Table>(replica: &str, table: T) -> Router {
    let (asked, counted) = (table.clone(), table.clone());
    Router::new()
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/logout-everywhere", post(logout_everywhere))
        .merge(session::routes())
        // Ready at once: what a table has to know it has learned before it is served.
        .merge(app::always_ready(move || asked.peers()))
        .with_state(Shared { replica: replica.into(), table })
        .merge(figures::route(move || counted.figures()))
}

impl<T: Table> FromRequestParts<Shared<T>> for Found {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared<T>) -> Result<Self, Response> {
        let replica = Arc::clone(&shared.replica);
        let found = session::presented(&parts.headers)
            .and_then(|id| Some((id.to_owned(), shared.table.find(id)?)));
        let (id, session) = found.ok_or_else(|| session::unknown(&replica))?;
        Ok(Self { id, session, replica })
    }
}

/// Makes a session, and keeps it here.
async fn login<T: Table>(
    State(shared): State<Shared<T>>,
    Query(query): Query<LoginQuery>,
    Json(form): Json<LoginForm>,
) -> Result<Response, StatusCode> {
    let (subject, user) = form.check()?;
    let mut random = [0; 16];
    // Without randomness nobody can be logged in safely.
    SystemRandom::new().fill(&mut random).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    shared.table.insert(&id, subject, user);
    Ok(if query.wants_bearer() { session::in_json(&id) } else { session::in_cookie(&id) })
}

/// Forgets the session, and clears the cookie.
async fn logout<T: Table>(State(shared): State<Shared<T>>, found: Found) -> Response {
    shared.table.remove(&found.id);
    session::logged_out()
}

/// Forgets every session of the user.
async fn logout_everywhere<T: Table>(State(shared): State<Shared<T>>, found: Found) -> Response {
    shared.table.remove_all_of(&found.session.subject);
    session::logged_out()
}
