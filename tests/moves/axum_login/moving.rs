//! The shop of `after.rs` for as long as users have sessions of `axum-login`: the first request with one of these becomes
//! a login.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tower_jwt_session::{Login, ReturnTo, Session};
use tower_sessions::{MemoryStore, Session as OldSession};

use super::after::{self, Member, Shop};
use crate::accounts::{Account, Users};

/// What axum-login 0.18 keeps in a session of tower-sessions, under this name.
const DATA: &str = "axum-login.data";
/// When a request came with the new cookie for the first time.
const ADOPTED: &str = "adopted";
/// In the query of a request that is repeated. A client that drops the new cookie is not redirected again.
const REPEATED: &str = "repeated=1";

#[derive(Deserialize)]
struct Data {
    user_id: Option<String>,
    auth_hash: Option<Vec<u8>>,
}

pub fn app(shop: Shop, carts: MemoryStore) -> Router {
    let router = after::routes(&shop).layer(from_fn_with_state(shop.users.clone(), adopt));
    after::layers(router, shop, carts)
}

async fn adopt(
    State(users): State<Users>,
    session: Option<Session<Member>>,
    old: OldSession,
    request: Request,
    next: Next,
) -> Response {
    let is_repeated = request.uri().query().is_some_and(|query| query.ends_with(REPEATED));
    if session.is_some() {
        note_adopted(&old).await;
    } else if !is_repeated && let Some(account) = user_of(&old, &users).await {
        // The same request once more, now with the cookie. 307 keeps its method and its body.
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mark = if path.contains('?') { '&' } else { '?' };
        let again = ReturnTo::new(&format!("{path}{mark}{REPEATED}")).unwrap_or_default();
        let login = Login::new(account.id.clone(), Member::from(account));
        return (login, Redirect::temporary(again.as_str())).into_response();
    }
    next.run(request).await
}

/// The user of axum-login, until 30 seconds after the first request with the new cookie: for requests of the same time.
/// A session that is revoked later must not come back from here.
async fn user_of(old: &OldSession, users: &Users) -> Option<Account> {
    let data = old.get(DATA).await.inspect_err(|error| {
        tracing::warn!(%error, "cannot read the session of axum-login");
    });
    let Data { user_id, auth_hash } = data.ok()??;
    let account = users.get(&user_id?).await?;
    if auth_hash?.as_slice() != account.password.as_bytes() {
        return None; // the password was changed since
    }
    let adopted = old.get::<i64>(ADOPTED).await.ok()?;
    adopted.is_none_or(|at| now() - at < 30).then_some(account)
}

async fn note_adopted(old: &OldSession) {
    let is_of_axum_login = matches!(old.get_value(DATA).await, Ok(Some(_)));
    if is_of_axum_login
        && let Ok(None) = old.get_value(ADOPTED).await
        && let Err(error) = old.insert(ADOPTED, now()).await
    {
        tracing::warn!(%error, "cannot note the new login");
    }
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}
