//! A site of pages: a login form, the way back to the page that was asked for, and logout.
//!
//! ```text
//! cargo run --example html_login
//! ```

use axum::response::{Html, Redirect};
use axum::routing::{get, post};
use axum::{Form, Router};
use serde::{Deserialize, Serialize};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::{BuildError, CookieTransport, KeyRing, Login, Logout, ReturnTo};
use tower_jwt_session::{Revocations, Session, Sessions, Transport};

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
}

#[derive(Deserialize)]
struct LoginForm {
    name: String,
    next: ReturnTo,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("open http://localhost:{}", listener.local_addr()?.port());
    Ok(axum::serve(listener, app().await?).await?)
}

async fn app() -> Result<Router, BuildError> {
    // In production: a store that outlives the process, `CookieTransport::new()`, and https.
    let (store, cookie) = (MemoryStore::new(), CookieTransport::for_local_development());
    let keys = KeyRing::builder("site").store(store.clone()).open().await?;
    let revocations = Revocations::builder("site").store(store).open().await?;
    let sessions = Sessions::<User>::builder(keys, "https://site.example", "site")
        .transports([Transport::cookie(cookie)])
        .revocations(revocations)
        .login_page("/login")
        .build()?;
    Ok(Router::new()
        .route("/", get(async || Html("<a href=/account?tab=orders>Your account</a>")))
        .route("/account", get(account))
        .route("/login", get(form).post(log_in))
        .route("/logout", post(async || (Logout::new(), Redirect::to("/"))))
        .route("/others", post(async || (Logout::new().others(), Redirect::to("/account"))))
        .layer(sessions.layer()))
}

/// A browser without a session is sent to the login page.
async fn account(session: Session<User>) -> Html<String> {
    let name = escape(&session.claims().name);
    let logout = "<form method=post action=/logout><button>Log out</button></form>";
    let others = "<form method=post action=/others><button>Log out elsewhere</button></form>";
    Html(format!("<h1>Account of {name}</h1>{logout}{others}"))
}

async fn form(next: ReturnTo) -> Html<String> {
    let next = escape(next.as_str());
    let fields = format!(r#"<input name=name><input type=hidden name=next value="{next}">"#);
    Html(format!("<form method=post>{fields}<button>Log in</button></form>"))
}

async fn log_in(Form(form): Form<LoginForm>) -> (Login<User>, ReturnTo) {
    // A real service checks a password here.
    (Login::new(form.name.to_lowercase(), User { name: form.name }), form.next)
}

/// What users wrote, as text in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
#[tokio::test]
async fn login_returns_to_the_page_that_was_asked_for() {
    use tower::ServiceExt as _;

    let app = app().await.expect("the site");
    let send = async |request: axum::http::request::Builder, body: &'static str| {
        let request = request.header("host", "localhost:3000").header("accept", "text/html");
        let form = request.header("content-type", "application/x-www-form-urlencoded");
        let form = form.body(axum::body::Body::from(body)).expect("a request");
        app.clone().oneshot(form).await.expect("an answer")
    };
    let answer = send(axum::http::Request::get("/account?tab=orders"), "").await;
    assert_eq!(answer.headers()["location"], "/login?next=%2Faccount%3Ftab%3Dorders");
    let login = axum::http::Request::post("/login");
    let answer = send(login, "name=Alice&next=%2Faccount%3Ftab%3Dorders").await;
    assert_eq!(answer.headers()["location"], "/account?tab=orders");
    let cookie = answer.headers()["set-cookie"].to_str().expect("a cookie");
    let account = axum::http::Request::get("/account").header("cookie", cookie);
    assert!(send(account, "").await.status().is_success());
}
