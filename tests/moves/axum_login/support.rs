//! The shop in its three versions, and its visitors.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::Response;
use axum::http::header::LOCATION;
use moves::accounts::Users;
use moves::axum_login::after::{self, Shop};
use moves::axum_login::{before, moving};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{self, ManualClock};
use tower_jwt_session::{KeyRing, Revocations};

pub type Client = testing::Client<Router>;

pub const DAY: Duration = Duration::from_secs(24 * 3600);
pub const ADA: [(&str, &str); 2] = [("name", "ada"), ("password", "ada's password")];
pub const BOB: [(&str, &str); 2] = [("name", "bob"), ("password", "bob's password")];

/// A replica of each version, with the same users, carts and keys.
pub struct Shops {
    pub before: Router,
    pub moving: Router,
    pub after: Router,
    pub clock: ManualClock,
    pub revocations: Revocations,
    pub shop: Shop,
    pub carts: tower_sessions::MemoryStore,
}

impl Shops {
    pub async fn open() -> Self {
        let (users, carts) = (Users::default(), tower_sessions::MemoryStore::default());
        let (store, clock) = (MemoryStore::new(), ManualClock::default());
        let keys = KeyRing::builder("shop").store(store.clone()).clock(clock.clone());
        let keys = keys.rotation(after::rotation()).open().await.unwrap();
        let revocations = Revocations::builder("shop").store(store).clock(clock.clone());
        let revocations = revocations.open().await.unwrap();
        let sessions = after::sessions(keys, revocations.clone(), users.clone()).unwrap();
        let shop = Shop { users: users.clone(), sessions };
        Self {
            before: before::app(users, carts.clone()),
            moving: moving::app(shop.clone(), carts.clone()),
            after: after::app(shop.clone(), carts.clone()),
            clock,
            revocations,
            shop,
            carts,
        }
    }

    /// A browser at each version.
    pub fn visitors(&self) -> [(&'static str, Client); 3] {
        [
            ("before", Client::new(self.before.clone())),
            ("moving", Client::new(self.moving.clone())),
            ("after", Client::new(self.after.clone())),
        ]
    }
}

pub fn text(answer: &Response<Bytes>) -> &str {
    std::str::from_utf8(answer.body()).unwrap()
}

pub fn location(answer: &Response<Bytes>) -> &str {
    answer.headers()[LOCATION].to_str().unwrap()
}

/// The page at `path`, after redirects, has each of these texts.
pub async fn assert_shows(browser: &mut Client, path: &str, texts: &[&str]) {
    let answer = browser.visit(path).await;
    for expected in texts {
        assert!(text(&answer).contains(expected), "{path} without {expected:?}: {}", text(&answer));
    }
}
