//~ jwks_router`
//~ help: consider annotating `State` with `#[derive(Clone)]`

use axum::Router;
use tower_jwt_session::Sessions;

pub struct State {
    pub greeting: String,
}

pub fn app(sessions: &Sessions<()>, state: State) -> Router {
    Router::new().merge(sessions.jwks_router()).with_state(state)
}
