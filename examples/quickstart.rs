//! The program of the README: users log in and out, on any replica.
//!
//! ```text
//! cargo run --example quickstart
//! curl -c jar -d name=Alice -d password=correct-horse localhost:3000/login
//! curl -b jar localhost:3000/me
//! ```

use axum::response::{Html, Redirect};
use axum::routing::{get, post};
use axum::{Form, Router, http::StatusCode};
use serde::{Deserialize, Serialize};
use tower_jwt_session::store::{FileStore, RevocationStore};
use tower_jwt_session::{BuildError, KeyRing, Login, Logout, Revocations, Session, Sessions};

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

const HOME: &str = r#"<form method="post" action="/login"><input name="name" value="Alice">
<input name="password" value="correct-horse"><button>Log in</button></form>
<form method="post" action="/logout"><button>Log out</button></form>"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // With RUST_LOG=debug, the log has the reason of each refused request, which no client gets.
    tracing_subscriber::fmt::init();
    let app = app(FileStore::open("keys")?).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}

async fn app(store: impl RevocationStore + Clone) -> Result<Router, BuildError> {
    let keys = KeyRing::builder("app").store(store.clone()).open().await?;
    let revocations = Revocations::builder("app").store(store).open().await?;
    let sessions = Sessions::<User>::builder(keys, "https://app.example", "app")
        .revocations(revocations)
        .build()?;
    Ok(Router::new()
        .route("/", get(Html(HOME)))
        .route("/me", get(me))
        .route("/login", post(login))
        .route("/logout", post(async || (Logout::new(), Redirect::to("/"))))
        .layer(sessions.layer()))
}

async fn login(Form(form): Form<Credentials>) -> Result<(Login<User>, Redirect), StatusCode> {
    if form.password != "correct-horse" {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let login = Login::new(form.name.to_lowercase(), User { name: form.name });
    Ok((login, Redirect::to("/me")))
}

async fn me(session: Session<User>) -> String {
    format!("hello {}\n", session.claims().name)
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use tower_jwt_session::store::MemoryStore;
    use tower_jwt_session::testing::Client;

    use super::*;

    #[tokio::test]
    async fn session_of_one_replica_is_read_and_ended_by_another() {
        let store = MemoryStore::new();
        let mut browser = Client::new(app(store.clone()).await.expect("the first replica"));
        let form = [("name", "Alice"), ("password", "wrong")];
        assert_eq!(browser.post_form("/login", &form).await.status(), StatusCode::UNAUTHORIZED);
        let form = [("name", "Alice"), ("password", "correct-horse")];
        assert_eq!(browser.post_form("/login", &form).await.headers()["location"], "/me");
        let token = browser.cookie("__Host-app").expect("a cookie").to_owned();

        let mut copy = Client::new(app(store).await.expect("the second replica"));
        copy.set_bearer(&token);
        assert_eq!(copy.get("/me").await.body(), "hello Alice\n");
        assert_eq!(copy.post("/logout").await.headers()["location"], "/");
        assert_eq!(copy.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    }
}
