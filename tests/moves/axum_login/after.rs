//! The shop of `before.rs` with `tower-jwt-session` for the login. The cart and the messages stay with `tower-sessions`.

use std::time::Duration;

use axum::extract::{FromRef, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use axum_messages::{Messages, MessagesManagerLayer};
use serde::{Deserialize, Serialize};
use tower_jwt_session::store::FileStore;
use tower_jwt_session::{BuildError, KeyRing, Login, Logout, Renewal, ReturnTo, Revocations};
use tower_jwt_session::{RotationPolicy, Session, Sessions, Transport};
use tower_sessions::cookie::SameSite;
use tower_sessions::{Expiry, MemoryStore, Session as CartSession, SessionManagerLayer, session};

use super::pages;
use crate::accounts::{Account, Users};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the pages need of a user with each request. It is in the token, and its holder can read it.
#[derive(Deserialize, Serialize)]
pub struct Member {
    name: String,
}

impl From<Account> for Member {
    fn from(account: Account) -> Self {
        Self { name: account.name }
    }
}

#[derive(Clone, FromRef)]
pub struct Shop {
    pub users: Users,
    pub sessions: Sessions<Member>,
}

#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (users, store) = (Users::default(), FileStore::open("keys")?);
    let keys = KeyRing::builder("shop").store(store.clone()).rotation(rotation()).open().await?;
    let revocations = Revocations::builder("shop").store(store).open().await?;
    let sessions = sessions(keys, revocations, users.clone())?;
    let app = app(Shop { users, sessions }, MemoryStore::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}

pub fn rotation() -> RotationPolicy {
    RotationPolicy::new().max_token_lifetime(2 * DAY)
}

pub fn sessions(
    keys: KeyRing,
    revocations: Revocations,
    users: Users,
) -> Result<Sessions<Member>, BuildError> {
    Sessions::builder(keys, "https://shop.example", "shop")
        .transports([Transport::cookie(Default::default())])
        .revocations(revocations)
        .idle_lifetime(2 * DAY) // a day without a request never ends the login
        .absolute_lifetime(30 * DAY)
        .login_page("/login")
        .on_renewal(async move |session: Session<Member>| {
            let account = users.get(session.subject()).await;
            Ok(account.map_or(Renewal::End, |account| Renewal::Replace(account.into())))
        })
        .build()
}

pub fn app(shop: Shop, carts: MemoryStore) -> Router {
    let router = routes(&shop);
    layers(router, shop, carts)
}

pub fn routes(shop: &Shop) -> Router<Shop> {
    let staff = Router::new()
        .route("/staff", get(staff).post(grant))
        .route_layer(from_fn_with_state(shop.users.clone(), require_admin));
    let members = Router::new()
        .route("/account", get(account))
        .route("/password", post(change_password))
        .merge(staff)
        .route_layer(shop.sessions.validate_layer());
    Router::new()
        .route("/", get(home))
        .route("/cart", post(add_to_cart))
        .route("/login", get(login_form).post(log_in))
        .route("/logout", post(log_out))
        .merge(members)
}

/// The layer of the login is outermost: the cookie of the cart is then also on the answer to a login that fails.
pub fn layers(router: Router<Shop>, shop: Shop, carts: MemoryStore) -> Router {
    let carts = SessionManagerLayer::new(carts)
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(time::Duration::days(30))); // no shorter than a login
    let login = shop.sessions.layer();
    router.layer(MessagesManagerLayer).layer(carts).layer(login).with_state(shop)
}

/// The role as the database has it at this request.
async fn require_admin(
    State(users): State<Users>,
    session: Session<Member>,
    request: Request,
    next: Next,
) -> Response {
    match users.get(session.subject()).await {
        Some(account) if account.has("admin") => next.run(request).await,
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
    #[serde(default)]
    next: ReturnTo,
}

async fn login_form(messages: Messages, next: ReturnTo) -> Html<String> {
    pages::login(messages, next.as_str())
}

async fn log_in(
    State(users): State<Users>,
    cart: CartSession,
    messages: Messages,
    Form(form): Form<Credentials>,
) -> Result<Response, StatusCode> {
    let Some(account) = users.authenticate(&form.name, &form.password).await else {
        messages.error("Invalid credentials");
        let login_page = format!("/login?{}", form.next.to_query());
        return Ok(Redirect::to(&login_page).into_response());
    };
    // As axum-login does: an attacker who knows the ID of the anonymous cart does not know the user's.
    cart.cycle_id().await.map_err(unavailable)?;
    messages.success(format!("Welcome, {}", account.name));
    Ok((Login::new(account.id.clone(), Member::from(account)), form.next).into_response())
}

async fn log_out(cart: CartSession, messages: Messages) -> Result<(Logout, Redirect), StatusCode> {
    // As axum-login does: the next visitor of this browser finds no cart.
    cart.flush().await.map_err(unavailable)?;
    messages.info("You have logged out");
    Ok((Logout::new(), Redirect::to("/login")))
}

async fn account(
    session: Session<Member>,
    cart_session: CartSession,
    messages: Messages,
) -> Result<Html<String>, StatusCode> {
    Ok(pages::account(messages, &session.claims().name, &cart(&cart_session).await?))
}

#[derive(Deserialize)]
struct NewPassword {
    password: String,
}

async fn change_password(
    State(users): State<Users>,
    session: Session<Member>,
    messages: Messages,
    Form(form): Form<NewPassword>,
) -> Result<(Logout, Redirect), StatusCode> {
    let account = users.set_password(session.subject(), &form.password).await;
    account.ok_or(StatusCode::NOT_FOUND)?;
    messages.success("Your password was changed");
    // This session is the only one that continues.
    Ok((Logout::new().others(), Redirect::to("/account")))
}

const CART: &str = "cart";

async fn cart(session: &CartSession) -> Result<Vec<String>, StatusCode> {
    Ok(session.get(CART).await.map_err(unavailable)?.unwrap_or_default())
}

fn unavailable(_: session::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn home(
    session: Option<Session<Member>>,
    cart_session: CartSession,
    messages: Messages,
) -> Result<Html<String>, StatusCode> {
    let name = session.as_ref().map(|session| session.claims().name.as_str());
    Ok(pages::home(messages, name, &cart(&cart_session).await?))
}

#[derive(Deserialize)]
struct Item {
    item: String,
}

async fn add_to_cart(
    session: CartSession,
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

async fn grant(
    State(users): State<Users>,
    messages: Messages,
    Form(form): Form<Grant>,
) -> Redirect {
    match users.make_admin(&form.name).await {
        Some(account) => messages.success(format!("{} is staff now", account.name)),
        None => messages.error("No such user"),
    };
    Redirect::to("/staff")
}
