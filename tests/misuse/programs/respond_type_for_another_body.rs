//~ error[E0277]: `Page` cannot turn the layers' own answers into responses with body `Body`
//~ give `respond_with` a closure or function
//~ returns `Response<Body>`

use axum::Router;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use tower_jwt_session::Sessions;
use tower_jwt_session::layer::Respond;

#[derive(Clone)]
struct Page;

impl Respond<Bytes> for Page {
    fn respond(&self, answer: Response<Bytes>, _: Option<&Parts>) -> Response<Bytes> {
        answer
    }
}

pub fn app(sessions: &Sessions<()>) -> Router {
    Router::new().layer(sessions.layer().respond_with(Page))
}
