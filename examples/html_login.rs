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
use tower_jwt_session::{BuildError, Session, Sessions, Transport};
use tower_jwt_session::{CookieTransport, KeyRing, Login, Logout, ReturnTo, Revocations};

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
    // Other stores keep keys and revocations when the process ends.
    Ok(axum::serve(listener, app(MemoryStore::new()).await?).await?)
}

async fn app(store: MemoryStore) -> Result<Router, BuildError> {
    let keys = KeyRing::builder("site").store(store.clone()).open().await?;
    let revocations = Revocations::builder("site").store(store).open().await?;
    // In production: `CookieTransport::new()`, and https.
    let cookie = CookieTransport::for_local_development();
    let sessions = Sessions::<User>::builder(keys, "https://site.example", "site")
        .transports([Transport::cookie(cookie)])
        .revocations(revocations)
        .login_page("/login")
        .build()?;
    Ok(Router::new()
        .route("/", get(home))
        .route("/account", get(account))
        .route("/login", get(form).post(log_in))
        .route("/logout", post(async || (Logout::new(), Redirect::to("/"))))
        .layer(sessions.layer()))
}

async fn home(session: Option<Session<User>>) -> Html<String> {
    let name = session.map_or("stranger".into(), |session| escape(&session.claims().name));
    Html(format!("<h1>Hello {name}</h1><a href=/account?tab=orders>Your account</a>"))
}

/// A browser without a session is sent to the login page.
async fn account(session: Session<User>) -> Html<String> {
    let name = escape(&session.claims().name);
    Html(format!(
        "<h1>Account of {name}</h1><form method=post action=/logout><button>Log out</button></form>"
    ))
}

async fn form(next: ReturnTo) -> Html<String> {
    let next = escape(next.as_str());
    Html(format!(
        "<form method=post><input name=name autofocus><input type=hidden name=next value=\"{next}\">\
         <button>Log in</button></form>"
    ))
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
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn login_returns_to_the_page_that_was_asked_for() {
        let app = app(MemoryStore::new()).await.expect("the site");
        let send = async |request: axum::http::request::Builder, body: String| {
            let request = request.header("host", "localhost:3000").header("accept", "text/html");
            let form = request.header("content-type", "application/x-www-form-urlencoded");
            app.clone()
                .oneshot(form.body(Body::from(body)).expect("a request"))
                .await
                .expect("an answer")
        };
        let answer = send(Request::get("/account?tab=orders"), String::new()).await;
        assert_eq!(answer.headers()["location"], "/login?next=%2Faccount%3Ftab%3Dorders");
        let form = "name=Alice&next=%2Faccount%3Ftab%3Dorders".to_owned();
        let answer = send(Request::post("/login"), form).await;
        assert_eq!(answer.headers()["location"], "/account?tab=orders");
        let cookie = answer.headers()["set-cookie"].to_str().expect("a cookie");
        let account =
            Request::get("/account").header("cookie", cookie.split(';').next().expect("a pair"));
        assert!(send(account, String::new()).await.status().is_success());
    }
}
