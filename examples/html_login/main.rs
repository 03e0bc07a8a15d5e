//! A site of pages: a login form with "remember me", the way back to the page that was asked for, a role that
//! changes while its user is logged in, and logout here and elsewhere: `cargo run --example html_login`.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use axum::routing::{get, post};
use axum::{Form, Router, response::Html, response::Redirect};
use serde::{Deserialize, Serialize};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::{BuildError, CookieTransport, KeyRing, Login, Logout, Renewal, ReturnTo};
use tower_jwt_session::{Revocations, RotationPolicy, Session, Sessions, Transport};

#[cfg(test)]
mod tests;

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// A table of the application's database.
static EDITORS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
    edits: bool,
}

#[derive(Deserialize)]
struct LoginForm {
    name: String,
    remember: Option<String>,
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
    let rotation = RotationPolicy::new().max_token_lifetime(MONTH);
    let keys = KeyRing::builder("site").store(store.clone()).rotation(rotation).open().await?;
    let sessions = Sessions::<User>::builder(keys, "https://site.example", "site")
        .transports([Transport::cookie(cookie)])
        .revocations(Revocations::builder("site").store(store).open().await?)
        .persistent_lifetime(MONTH)
        .login_page("/login")
        .on_renewal(async |it: Session<User>| Ok(Renewal::Replace(user(&it.claims().name))))
        .build()?;
    let layer = sessions.layer();
    let edit = async move |session: Session<User>| {
        EDITORS.lock().expect("no panic").insert(session.claims().name.clone());
        // Each of the user's sessions reads the role again at its next request, on every replica.
        let reloaded = sessions.reload_claims(session.subject()).await;
        reloaded.map(|()| Redirect::to("/account")).map_err(|error| error.status())
    };
    Ok(Router::new()
        .route("/", get(async || Html("<a href=/account?tab=orders>Your account</a>")))
        .route("/account", get(account))
        .route("/login", get(form).post(log_in))
        .route("/logout", post(async || (Logout::new(), Redirect::to("/"))))
        .route("/others", post(async || (Logout::new().others(), Redirect::to("/account"))))
        .route("/edit", post(edit))
        .layer(layer))
}

/// A browser without a session is sent to the login page.
async fn account(session: Session<User>) -> Html<String> {
    let User { name, edits } = session.claims();
    let post = |to, text| format!("<form method=post action=/{to}><button>{text}</button></form>");
    let edit = if *edits { "You are an editor.".into() } else { post("edit", "Become an editor") };
    let logout = post("logout", "Log out") + &post("others", "Log out elsewhere");
    Html(format!("<h1>Account of {}</h1>{logout}{edit}", escape(name)))
}

async fn form(next: ReturnTo) -> Html<String> {
    let next = format!(r#"<input type=hidden name=next value="{}">"#, escape(next.as_str()));
    let fields = format!("<input name=name><input type=checkbox name=remember> Remember me{next}");
    Html(format!("<form method=post>{fields}<button>Log in</button></form>"))
}

async fn log_in(Form(form): Form<LoginForm>) -> (Login<User>, ReturnTo) {
    // A real service checks a password here.
    let login = Login::new(form.name.to_lowercase(), user(&form.name));
    (if form.remember.is_some() { login.persistent(MONTH) } else { login }, form.next)
}

/// The user as the database has it now.
fn user(name: &str) -> User {
    User { name: name.into(), edits: EDITORS.lock().expect("no panic").contains(name) }
}

/// What users wrote, as text in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
