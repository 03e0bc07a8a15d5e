//~ required by a bound in `Respond`
//~ help: consider annotating `Page` with `#[derive(Clone)]`

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use tower_jwt_session::Sessions;
use tower_jwt_session::layer::Respond;

struct Page(String);

impl Respond<Body> for Page {
    fn respond(&self, answer: Response<Bytes>, _: Option<&Parts>) -> Response<Body> {
        answer.map(|_| self.0.clone().into())
    }
}

pub fn app(sessions: &Sessions<()>, page: String) -> Router {
    Router::new().layer(sessions.layer().respond_with(Page(page)))
}
