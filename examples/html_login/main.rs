//! A site of pages: a login form with "remember me", the way back to the page that was asked for, a role that
//! changes while its user is logged in, and logout here and elsewhere: `cargo run --example html_login`.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use axum::routing::{get, post};
use axum::{Form, Router, response::Html, response::Redirect};
use serde::{Deserialize, Serialize};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::{BuildError, Clock, CookieTransport, KeyRing, Login, Logout, Renewal};
use tower_jwt_session::{ReturnTo, Revocations, RotationPolicy, Session, Sessions};
use tower_jwt_session::{SystemClock, Transport};

mod pages;
#[cfg(all(test, feature = "test-util"))]
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
    #[serde(default)]
    next: ReturnTo,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("open http://localhost:{}", listener.local_addr()?.port());
    // In production: a store that outlives the process, `CookieTransport::new()`, and https.
    let (store, cookie) = (MemoryStore::new(), CookieTransport::for_local_development());
    Ok(axum::serve(listener, app(sessions(store, cookie, SystemClock).await?)).await?)
}

async fn sessions(
    store: MemoryStore,
    cookie: CookieTransport,
    clock: impl Clock + Clone,
) -> Result<Sessions<User>, BuildError> {
    let rotation = RotationPolicy::new().max_token_lifetime(MONTH);
    let keys = KeyRing::builder("site").store(store.clone()).rotation(rotation);
    let revocations = Revocations::builder("site").store(store).clock(clock.clone());
    Sessions::builder(keys.clock(clock).open().await?, "https://site.example", "site")
        .transports([Transport::cookie(cookie)])
        .revocations(revocations.open().await?)
        .persistent_lifetime(MONTH)
        .login_page("/login")
        .on_renewal(async |it: Session<User>| Ok(Renewal::Replace(user(&it.claims().name))))
        .build()
}

fn app(sessions: Sessions<User>) -> Router {
    let layer = sessions.layer();
    let edit = async move |session: Session<User>| {
        EDITORS.lock().expect("no panic").insert(session.claims().name.clone());
        // The next request of each of the user's sessions reads the role again; the one after it has the role. To
        // take a role away, see the guide "ending sessions".
        let reloaded = sessions.reload_claims(session.subject()).await;
        reloaded.map(|()| Redirect::to("/account")).map_err(|error| error.status())
    };
    Router::new()
        .route("/", get(async || Html("<a href=/account?tab=orders>Your account</a>")))
        .route("/account", get(pages::account))
        .route("/login", get(pages::login).post(log_in))
        .route("/logout", post(async || (Logout::new(), Redirect::to("/"))))
        .route("/others", post(async || (Logout::new().others(), Redirect::to("/account"))))
        .route("/edit", post(edit))
        .layer(layer)
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
