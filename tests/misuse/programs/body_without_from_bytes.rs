//~ error[E0277]: `WithBody` cannot turn the layers' own answers into responses with body `Page`
//~ these layers cannot answer for a service of this body
//~ that returns `Response<Page>` and is `Clone`, or `HeadersOnly` if the body has a default

use std::convert::Infallible;

use http::{Request, Response};
use tower::{Layer, Service, service_fn};
use tower_jwt_session::Sessions;

pub struct Page;

pub fn app(sessions: &Sessions<()>) {
    let inner = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Page)));
    is_service(sessions.layer().layer(inner));
}

fn is_service<S: Service<Request<()>>>(_: S) {}
