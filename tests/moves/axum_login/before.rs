//! A shop with `axum-login`: a cart for everyone, a login form that leads back to the page that was asked for, messages,
//! a new password that ends the other sessions, and a page for the staff.

use std::collections::HashSet;
use std::convert::Infallible;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend, AuthzBackend, UserId};
use axum_login::{login_required, permission_required};
use axum_messages::{Messages, MessagesManagerLayer};
use serde::Deserialize;
use tower_sessions::{Expiry, MemoryStore, Session, SessionManagerLayer, session};

use super::pages;
use crate::accounts::{Account, Users};

type AuthSession = axum_login::AuthSession<Users>;

impl AuthUser for Account {
    type Id = String;

    fn id(&self) -> String {
        self.id.clone()
    }

    /// A new password ends the sessions that began with the old one.
    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

#[derive(Clone, Deserialize)]
pub struct Credentials {
    name: String,
    password: String,
    next: Option<String>,
}

impl AuthnBackend for Users {
    type User = Account;
    type Credentials = Credentials;
    type Error = Infallible;

    async fn authenticate(&self, form: Credentials) -> Result<Option<Account>, Infallible> {
        Ok(Users::authenticate(self, &form.name, &form.password).await)
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<Account>, Infallible> {
        Ok(self.get(id).await)
    }
}

impl AuthzBackend for Users {
    type Permission = String;

    async fn get_user_permissions(&self, user: &Account) -> Result<HashSet<String>, Infallible> {
        Ok(user.roles.iter().cloned().collect())
    }
}

#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app(Users::default(), MemoryStore::default())).await?)
}

pub fn app(users: Users, store: MemoryStore) -> Router {
    let session_layer =
        SessionManagerLayer::new(store).with_expiry(Expiry::OnInactivity(time::Duration::days(1)));
    let auth_layer = AuthManagerLayerBuilder::new(users, session_layer).build();

    let staff = Router::new()
        .route("/staff", get(staff).post(grant))
        .route_layer(permission_required!(Users, "admin"));
    let members = Router::new()
        .route("/account", get(account))
        .route("/password", post(change_password))
        .merge(staff)
        .route_layer(login_required!(Users, login_url = "/login"));
    Router::new()
        .route("/", get(home))
        .route("/cart", post(add_to_cart))
        .route("/login", get(login_form).post(log_in))
        .route("/logout", post(log_out))
        .merge(members)
        .layer(MessagesManagerLayer)
        .layer(auth_layer)
}

#[derive(Deserialize)]
struct Next {
    next: Option<String>,
}

async fn login_form(messages: Messages, Query(Next { next }): Query<Next>) -> Html<String> {
    pages::login(messages, next.as_deref().unwrap_or("/"))
}

async fn log_in(
    mut auth: AuthSession,
    messages: Messages,
    Form(form): Form<Credentials>,
) -> Response {
    let next = form.next.clone().unwrap_or("/".into());
    let user = match auth.authenticate(form).await {
        Ok(Some(user)) => user,
        Ok(None) => {
            messages.error("Invalid credentials");
            return Redirect::to(&login_url(&next)).into_response();
        }
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    if auth.login(&user).await.is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    messages.success(format!("Welcome, {}", user.name));
    Redirect::to(&next).into_response()
}

/// The login page, with the way back.
fn login_url(next: &str) -> String {
    format!("/login?next={}", form_urlencoded::byte_serialize(next.as_bytes()).collect::<String>())
}

async fn log_out(mut auth: AuthSession, messages: Messages) -> Response {
    match auth.logout().await {
        Ok(_) => {
            messages.info("You have logged out");
            Redirect::to("/login").into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn account(
    auth: AuthSession,
    session: Session,
    messages: Messages,
) -> Result<Html<String>, StatusCode> {
    let user = auth.user.ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(pages::account(messages, &user.name, &cart(&session).await?))
}

#[derive(Deserialize)]
struct NewPassword {
    password: String,
}

async fn change_password(
    mut auth: AuthSession,
    messages: Messages,
    Form(form): Form<NewPassword>,
) -> Result<Redirect, StatusCode> {
    let user = auth.user.clone().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    let user = auth.backend.set_password(&user.id, &form.password).await;
    let user = user.ok_or(StatusCode::NOT_FOUND)?;
    // This session gets the new hash, and so is the only one that continues.
    auth.login(&user).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    messages.success("Your password was changed");
    Ok(Redirect::to("/account"))
}

const CART: &str = "cart";

async fn cart(session: &Session) -> Result<Vec<String>, StatusCode> {
    Ok(session.get(CART).await.map_err(unavailable)?.unwrap_or_default())
}

fn unavailable(_: session::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn home(
    auth: AuthSession,
    session: Session,
    messages: Messages,
) -> Result<Html<String>, StatusCode> {
    let name = auth.user.as_ref().map(|user| user.name.as_str());
    Ok(pages::home(messages, name, &cart(&session).await?))
}

#[derive(Deserialize)]
struct Item {
    item: String,
}

async fn add_to_cart(
    session: Session,
    messages: Messages,
    Form(form): Form<Item>,
) -> Result<Redirect, StatusCode> {
    let mut cart = cart(&session).await?;
    messages.info(format!("Added {}", form.item));
    cart.push(form.item);
    session.insert(CART, cart).await.map_err(unavailable)?;
    Ok(Redirect::to("/"))
}

async fn staff(messages: Messages) -> Html<String> {
    pages::staff(messages)
}

#[derive(Deserialize)]
struct Grant {
    name: String,
}

async fn grant(auth: AuthSession, messages: Messages, Form(form): Form<Grant>) -> Redirect {
    match auth.backend.make_admin(&form.name).await {
        Some(user) => messages.success(format!("{} is staff now", user.name)),
        None => messages.error("No such user"),
    };
    Redirect::to("/staff")
}
