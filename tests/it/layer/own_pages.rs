//! An application's own error pages, at every entrance: HTML for a browser that opens a page, JSON for
//! others, an error type of its own.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::{get as on_get, post as on_post};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode};
use tower_jwt_session::testing::{Client, ManualClock};
use tower_jwt_session::{Login, Logout, Revocations, Session, SessionRejection, Sessions};

use crate::support::stores::TestStore;
use crate::support::web::{self, User, builder, login};

/// A page for a browser, the layer's answer for others.
fn own(answer: Response<Bytes>, request: Option<&Parts>) -> Response {
    let accept = request.and_then(|request| request.headers.get(ACCEPT)?.to_str().ok());
    if !accept.is_some_and(|accept| accept.contains("text/html")) {
        return answer.map(Body::from);
    }
    let page = format!("<h1>{}</h1>", answer.status());
    let mut page = answer.map(|_| Body::from(page));
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    page
}

struct Service {
    app: Router,
    sessions: Sessions<User>,
    store: TestStore,
    clock: ManualClock,
}

/// Revocations are fresh for so long.
const FRESH: Duration = Duration::from_secs(120);

async fn service() -> Service {
    let (clock, store) = (ManualClock::default(), TestStore::new());
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    let revocations = revocations.refresh_interval(Duration::from_secs(60)).open().await.unwrap();
    let sessions = builder(&clock).revocations(revocations).build().unwrap();
    let strict = || sessions.validate_layer();
    let inside = async || "in";
    let nobody = async || (Login::new("", User { role: String::new() }), "welcome");
    let app = Router::new()
        .route("/extracted", on_get(async |_: Session<User>| "in"))
        .route("/maybe", on_get(async |_: Option<Session<User>>| "in"))
        .route("/strict", on_get(inside).layer(strict().respond_with(own)))
        .route("/role", on_get(inside).layer(strict().authorize(|_| false).respond_with(own)))
        .route("/scope", on_get(inside).layer(strict().require_scope("write").respond_with(own)))
        .route(
            "/recent",
            on_get(inside).layer(strict().max_auth_age(Duration::ZERO).respond_with(own)),
        )
        .route(
            "/fresh",
            on_get(inside)
                .layer(strict().require_fresh_revocations(FRESH).unwrap().respond_with(own)),
        )
        .route("/change", on_post(inside))
        .route("/nobody", on_post(nobody))
        .route("/logout", on_post(async || Logout::new()))
        .merge(sessions.token_router())
        .layer(sessions.layer().respond_with(own));
    Service { app, sessions, store, clock }
}

/// A browser gets the page, and a script the layer's own answer, both with the same headers otherwise.
async fn assert_both(client: &mut Client<Router>, path: &str, status: StatusCode) {
    let page = client.clone().visit(path).await;
    let script = client.clone().get(path).await;
    assert_eq!((page.status(), script.status()), (status, status), "{path}");
    assert_eq!(*page.body(), format!("<h1>{status}</h1>"), "{path}");
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html");
    assert_eq!(script.headers()[CONTENT_TYPE], "application/problem+json");
    for name in ["www-authenticate", "retry-after", "set-cookie", "cache-control"] {
        assert_eq!(page.headers().get(name), script.headers().get(name), "{path} {name}");
    }
    let has_challenge = page.headers().contains_key("www-authenticate");
    assert!(has_challenge || status != StatusCode::UNAUTHORIZED, "{path}");
}

#[tokio::test]
async fn refused_browser_gets_the_applications_page_at_every_entrance() {
    let Service { app, sessions, clock, .. } = service().await;
    let mut client = Client::new(app).clock(&clock);
    for path in ["/extracted", "/strict", "/role", "/fresh"] {
        assert_both(&mut client, path, StatusCode::UNAUTHORIZED).await;
    }
    let mut garbage = client.clone();
    garbage.set_bearer("garbage");
    for path in ["/extracted", "/maybe", "/strict"] {
        assert_both(&mut garbage, path, StatusCode::UNAUTHORIZED).await;
    }
    client.login(&sessions, &login()).await;
    assert_eq!(client.visit("/strict").await.body(), "in");
    assert_both(&mut client, "/role", StatusCode::FORBIDDEN).await;
    assert_both(&mut client, "/scope", StatusCode::FORBIDDEN).await;
    let mut both = client.clone();
    both.set_bearer("another");
    assert_both(&mut both, "/maybe", StatusCode::BAD_REQUEST).await;
    client.advance(Duration::from_secs(130));
    assert_both(&mut client, "/recent", StatusCode::UNAUTHORIZED).await;
    assert_both(&mut client, "/fresh", StatusCode::SERVICE_UNAVAILABLE).await;
    client.advance(Duration::from_secs(2 * 60 * 60));
    assert_both(&mut client, "/extracted", StatusCode::UNAUTHORIZED).await;
    client.visit("/extracted").await;
    assert_eq!(client.cookie("__Host-fixed"), None, "the expired one is cleared");
}

#[tokio::test]
async fn cross_site_form_gets_the_applications_page() {
    let Service { app, sessions, .. } = service().await;
    let mut client = Client::new(app);
    client.login(&sessions, &login()).await;
    let form = Request::post("/change").header("origin", "https://else.example");
    let form = form.header("accept", "text/html").body("").unwrap();
    let answer = client.send(form).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(answer.body(), "<h1>403 Forbidden</h1>");
}

#[tokio::test]
async fn failed_login_and_logout_go_through_respond_without_a_request() {
    let Service { app, sessions, store, .. } = service().await;
    let mut client = Client::new(app);
    let failed = client.post("/nobody").await;
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(failed.headers()[CONTENT_TYPE], "application/problem+json");
    client.login(&sessions, &login()).await;
    store.down();
    assert_eq!(client.post("/logout").await.status(), StatusCode::SERVICE_UNAVAILABLE);

    let all = |answer: Response<Bytes>, request: Option<&Parts>| {
        assert!(request.is_none());
        let page = format!("<h1>{}</h1>", answer.status());
        answer.map(|_| Body::from(page))
    };
    let logout = on_post(async || Logout::new());
    let pages = Router::new().route("/logout", logout).layer(sessions.layer().respond_with(all));
    let mut client = Client::new(pages);
    client.login(&sessions, &login()).await;
    let failed = client.post("/logout").await;
    assert_eq!(failed.body(), "<h1>503 Service Unavailable</h1>");
}

#[tokio::test]
async fn token_endpoint_answers_clients_in_json() {
    let Service { app, .. } = service().await;
    let form = Request::post("/token").header("accept", "text/html").body("").unwrap();
    let answer = Client::new(app).send(form).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
}

#[derive(Debug)]
enum AppError {
    Session(SessionRejection),
    Own(SessionRejection),
}

impl From<SessionRejection> for AppError {
    fn from(rejection: SessionRejection) -> Self {
        Self::Session(rejection)
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        match self {
            Self::Session(rejection) => rejection.into_response(),
            Self::Own(rejection) => {
                let error: &dyn std::error::Error = &rejection;
                (rejection.status(), format!("own: {error}")).into_response()
            }
        }
    }
}

#[tokio::test]
async fn applications_error_keeps_the_layers_answer_or_makes_its_own() {
    let sessions = web::sessions(&ManualClock::default());
    let kept = async |session: Result<Session<User>, SessionRejection>| {
        Ok::<_, AppError>(session?.subject().to_owned())
    };
    let own_error = async |session: Result<Session<User>, SessionRejection>| {
        session.map(|session| session.subject().to_owned()).map_err(AppError::Own)
    };
    let app = Router::new().route("/kept", on_get(kept)).route("/own", on_get(own_error));
    let mut client = Client::new(app.clone().layer(sessions.layer().respond_with(own)));
    assert_both(&mut client, "/kept", StatusCode::UNAUTHORIZED).await;
    let answer = client.get("/own").await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.body(), "own: no credential");
    // A mistake of the application's.
    let answer = Client::new(app).get("/own").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let text = String::from_utf8_lossy(answer.body());
    assert!(text.contains("sessions.layer()"), "{text}");
    client.login(&sessions, &login()).await;
    assert_eq!(client.get("/kept").await.body(), "alice");
}
