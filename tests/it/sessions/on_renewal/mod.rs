//! The hook that says with which claims a session goes on: at a renewal and at a refresh.

mod refresh;

use std::error::Error;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::{get as on_get, post as on_post};
use http::StatusCode;
use tokio::time::Instant;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{ManualClock, fixed_key};
use tower_jwt_session::{
    Algorithm, Key, KeyRing, Logout, RefreshTokens, RejectionKind, Renewal, Revocations, Session,
    Sessions, SessionsBuilder,
};

use crate::support::recorder::Metrics;
use crate::support::stores::TestStore;
use crate::support::web::*;

const HALF: Duration = Duration::from_secs(1800);
const SECOND: Duration = Duration::from_secs(1);

/// What the application's hook does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Order {
    #[default]
    Keep,
    Promote,
    End,
    Fail,
    Hang,
    Panic,
    PanicAtOnce,
}

/// An application's hook that does as a test says, and remembers whom it was asked about.
#[derive(Clone, Default)]
struct Users {
    order: Arc<Mutex<Order>>,
    asked: Arc<Mutex<Vec<String>>>,
}

type Answer = Result<Renewal<User>, Box<dyn Error + Send + Sync>>;

impl Users {
    fn of(order: Order) -> Self {
        let users = Self::default();
        users.will(order);
        users
    }

    fn will(&self, order: Order) {
        *self.order.lock().unwrap() = order;
    }

    /// How often it was asked since it was last asked this.
    fn asked(&self) -> usize {
        self.asked.lock().unwrap().drain(..).count()
    }

    fn hook(
        &self,
    ) -> impl FnOnce(Session<User>) -> std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>
    + Clone
    + Send
    + Sync
    + 'static {
        let users = self.clone();
        move |session| {
            let subject = format!("{} {}", session.subject(), session.claims().role);
            users.asked.lock().unwrap().push(subject);
            let order = *users.order.lock().unwrap();
            if order == Order::PanicAtOnce {
                panic!("the application's mistake");
            }
            Box::pin(async move {
                match order {
                    Order::Keep => Ok(Renewal::Keep),
                    Order::Promote => Ok(Renewal::Replace(User { role: "admin".into() })),
                    Order::End => Ok(Renewal::End),
                    Order::Fail => Err("the database is down".into()),
                    Order::Hang => pending().await,
                    Order::Panic | Order::PanicAtOnce => panic!("the application's mistake"),
                }
            })
        }
    }
}

fn with_hook(clock: &ManualClock, users: &Users) -> SessionsBuilder<User> {
    builder(clock).on_renewal(users.hook())
}

async fn revocations(clock: &ManualClock, store: MemoryStore) -> Revocations {
    Revocations::builder("app").store(store).clock(clock.clone()).open().await.unwrap()
}

fn routes() -> Router {
    Router::new()
        .route("/", on_get(async |session: Session<User>| session.claims().role.clone()))
        .route("/login", on_post(async || login()))
        .route("/logout", on_post(async || Logout::new()))
}

fn app(sessions: &Sessions<User>) -> Router {
    routes().layer(sessions.layer())
}

/// Each of the layers that renew, alone and inside of others.
fn apps(sessions: &Sessions<User>) -> [Router; 4] {
    [
        app(sessions),
        routes().layer(sessions.validate_layer()),
        routes().layer(sessions.validate_layer()).layer(sessions.layer()),
        routes().layer(sessions.issue_layer()).layer(sessions.validate_layer()),
    ]
}

#[tokio::test]
async fn hook_replaces_the_claims_once_past_half_and_not_before() {
    let (clock, users) = (ManualClock::default(), Users::of(Order::Promote));
    let sessions = with_hook(&clock, &users).build().unwrap();
    let token = scoped(&sessions, "read");
    clock.advance(HALF);
    for app in apps(&sessions) {
        let answer = send(&app, get("/").cookie(&token)).await;
        assert_eq!((&*answer.body, answer.headers.get("set-cookie")), ("reader", None));
    }
    assert_eq!(users.asked(), 0);
    clock.advance(SECOND);
    for app in apps(&sessions) {
        let answer = send(&app, get("/").cookie(&token)).await;
        assert_eq!(&*answer.body, "reader", "the handler has seen the old claims");
        assert_eq!(answer.all("cache-control"), ["no-store"]);
        let (old, new) = (claims_of(&token), claims_of(answer.cookie_token()));
        for name in ["iss", "sub", "aud", "sid", "auth_time", "scope"] {
            assert_eq!(old[name], new[name], "{name}");
        }
        assert_eq!(new["role"], "admin");
        assert_eq!(new["iat"].as_i64(), old["iat"].as_i64().map(|at| at + 1801));
        assert_eq!(*users.asked.lock().unwrap(), ["alice reader"]);
        assert_eq!(users.asked(), 1);

        let next = send(&app, get("/").cookie(answer.cookie_token())).await;
        assert_eq!((&*next.body, next.headers.get("set-cookie")), ("admin", None));
        assert_eq!(users.asked(), 0);
    }
}

#[tokio::test]
async fn hook_that_keeps_renews_with_the_same_claims() {
    let (clock, users) = (ManualClock::default(), Users::default());
    let sessions = with_hook(&clock, &users).build().unwrap();
    let token = token(&sessions);
    clock.advance(HALF + SECOND);
    for app in apps(&sessions) {
        let answer = send(&app, get("/").cookie(&token)).await;
        assert_eq!(claims_of(answer.cookie_token())["role"], "reader");
    }
}

#[tokio::test]
async fn hook_that_ends_clears_the_cookie_and_revokes() {
    for has_revocations in [false, true] {
        let (clock, users) = (ManualClock::default(), Users::of(Order::End));
        let mut builder = with_hook(&clock, &users);
        if has_revocations {
            builder = builder.revocations(revocations(&clock, MemoryStore::new()).await);
        }
        let sessions = builder.build().unwrap();
        for app in apps(&sessions) {
            let token = token(&sessions);
            clock.advance(HALF + SECOND);
            let answer = send(&app, get("/").cookie(&token)).await;
            assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "reader"));
            assert_eq!(answer.all("set-cookie"), [CLEARED]);
            let kind = sessions.validate(&token).map(drop).map_err(|error| error.kind());
            let expected = if has_revocations { Err(RejectionKind::Revoked) } else { Ok(()) };
            assert_eq!(kind, expected);
        }
    }
}

/// The response is sent, the session stays as it is, and the next request tries again.
#[tokio::test(start_paused = true)]
async fn hook_that_fails_hangs_or_panics_neither_blocks_nor_logs_out() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    for (order, outcome) in [
        (Order::Fail, "failed"),
        (Order::Hang, "timed_out"),
        (Order::Panic, "panicked"),
        (Order::PanicAtOnce, "panicked"),
    ] {
        let (clock, users) = (ManualClock::default(), Users::of(order));
        let sessions = with_hook(&clock, &users).build().unwrap();
        let token = token(&sessions);
        clock.advance(HALF + SECOND);
        let before = recorder.counter("fixed", "renewal_hooks_total", outcome);
        for app in apps(&sessions) {
            let began = Instant::now();
            let answer = send(&app, get("/").cookie(&token)).await;
            let took = began.elapsed();
            assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "reader"), "{order:?}");
            assert_eq!(answer.headers.get("set-cookie"), None, "{order:?}");
            let limit = if order == Order::Hang { SECOND } else { Duration::ZERO };
            assert!(took <= limit + SECOND / 100, "{order:?} took {took:?}");
            assert_eq!(users.asked(), 1);
        }
        let after = recorder.counter("fixed", "renewal_hooks_total", outcome);
        assert_eq!(after - before, 4, "{outcome}");
        users.will(Order::Promote);
        let answer = send(&app(&sessions), get("/").cookie(&token)).await;
        assert_eq!(claims_of(answer.cookie_token())["role"], "admin");
    }
    assert_eq!(recorder.counter("fixed", "renewal_hooks_total", "replaced"), 4);
}

/// Old claims never outlive the token that has them.
#[tokio::test]
async fn hook_that_keeps_failing_lets_the_token_expire() {
    let (clock, users) = (ManualClock::default(), Users::of(Order::Fail));
    let sessions = with_hook(&clock, &users).build().unwrap();
    let app = app(&sessions);
    let token = token(&sessions);
    clock.advance(2 * HALF + 59 * SECOND);
    assert_eq!(send(&app, get("/").cookie(&token)).await.status, StatusCode::OK);
    clock.advance(SECOND);
    assert_eq!(send(&app, get("/").cookie(&token)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn hook_is_not_asked_where_nothing_is_renewed() {
    let (clock, users) = (ManualClock::default(), Users::of(Order::Promote));
    let sessions = with_hook(&clock, &users).absolute_lifetime(2 * HALF).build().unwrap();
    let app = app(&sessions);
    let token = token(&sessions);
    clock.advance(HALF + SECOND);
    // The session's last token, a bearer token, a login, a logout.
    for request in [
        get("/").cookie(&token),
        get("/").bearer(&token),
        post("/login").cookie(&token),
        post("/logout").cookie(&token),
    ] {
        send(&app, request).await;
    }
    assert_eq!(users.asked(), 0);
}

#[tokio::test]
async fn session_revoked_while_the_hook_runs_is_not_renewed() {
    let clock = ManualClock::default();
    let held: Arc<Mutex<Option<Sessions<User>>>> = Arc::default();
    let ours = held.clone();
    let sessions = builder(&clock)
        .revocations(revocations(&clock, MemoryStore::new()).await)
        .on_renewal(async move |session: Session<User>| {
            let sessions = ours.lock().unwrap().clone().ok_or("not yet")?;
            sessions.logout(&session).await?;
            Ok(Renewal::Replace(User { role: "admin".into() }))
        })
        .build()
        .unwrap();
    *held.lock().unwrap() = Some(sessions.clone());
    let token = token(&sessions);
    clock.advance(HALF + SECOND);
    let answer = send(&app(&sessions), get("/").cookie(&token)).await;
    assert_eq!((answer.status, answer.headers.get("set-cookie")), (StatusCode::OK, None));
    *held.lock().unwrap() = None;
}

#[test]
fn hook_over_keys_that_cannot_issue_is_a_build_error() {
    let clock = ManualClock::default();
    let jwk = serde_json::to_string(&fixed_key(Algorithm::EdDSA).to_jwk().unwrap()).unwrap();
    let keys = KeyRing::fixed([Key::from_jwk(jwk).unwrap()]).clock(clock).build().unwrap();
    let sessions = Sessions::<User>::builder(keys, "https://app.example", "app");
    let error = sessions.on_renewal(Users::default().hook()).build().unwrap_err();
    assert_eq!(error.setting(), Some("on_renewal"));
    assert!(error.to_string().contains("remove it"), "{error}");
}
