//! Layers in odd orders: twice, apart, around each other, and of several `Sessions`.

use std::time::Duration;

use axum::Router;
use axum::routing::{get as on_get, post as on_post};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tower_jwt_session::Transport;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{self, ManualClock};
use tower_jwt_session::{
    Algorithm, CookieTransport, KeyRing, Login, Logout, RejectionKind, Revocations, Session,
    Sessions,
};

use crate::support::recorder::Events;
use crate::support::web::*;

/// The claims of another kind of session in the same application.
#[derive(Serialize, Deserialize)]
struct Admin {
    level: u8,
}

const OLD: Duration = Duration::from_secs(1801);

/// Sessions of administrators, in a cookie of their own.
fn admins(sessions: &Sessions<User>) -> Sessions<Admin> {
    Sessions::builder(sessions.keys().clone(), "https://app.example", "admin")
        .transports([
            Transport::cookie(CookieTransport::new().name("__Host-admin")),
            Transport::bearer(),
        ])
        .build()
        .unwrap()
}

fn admin_token(admins: &Sessions<Admin>) -> String {
    let login = Login::new("root", Admin { level: 9 });
    admins.issue(&login).unwrap().as_str().to_owned()
}

fn routes() -> Router {
    Router::new()
        .route("/", on_get(async |session: Session<User>| session.subject().to_owned()))
        .route("/any", on_get(async |session: Option<Session<User>>| session.is_some().to_string()))
        .route("/login", on_post(async || login()))
        .route("/logout", on_post(async |_: Session<User>| Logout::new()))
}

/// What an application sees, whatever the order of its layers.
async fn works(sessions: &Sessions<User>, app: Router) {
    logs_in(sessions, &app).await;
    let logout = send(&app, post("/logout").cookie(&token(sessions))).await;
    assert_eq!((logout.status, logout.all("set-cookie")), (StatusCode::NO_CONTENT, vec![CLEARED]));
}

async fn logs_in(sessions: &Sessions<User>, app: &Router) {
    let login = send(app, post("/login")).await;
    assert_eq!(login.status, StatusCode::NO_CONTENT);
    let token = login.cookie_token();
    assert_eq!(send(app, get("/").cookie(token)).await.body, "alice");
    assert_eq!(send(app, get("/any").cookie(token)).await.body, "true");
    assert_eq!(send(app, get("/any")).await.body, "false");
    let refused = send(app, get("/").cookie("garbage")).await;
    assert_eq!((&*refused.body, refused.all("set-cookie")), (UNAUTHORIZED, vec![CLEARED]));
    let again = send(app, post("/login").cookie("garbage")).await;
    assert!(sessions.validate(again.cookie_token()).is_ok());
}

#[tokio::test]
async fn all_layers_at_once() {
    let sessions = sessions(&ManualClock::default());
    works(&sessions, routes().layer(sessions.layer())).await;
}

#[tokio::test]
async fn all_layers_twice() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = routes().layer(sessions.layer()).layer(sessions.layer());
    works(&sessions, app.clone()).await;
    // Renewed once.
    let token = token(&sessions);
    clock.advance(OLD);
    assert!(!send(&app, get("/").cookie(&token)).await.cookie_token().is_empty());
}

#[tokio::test]
async fn all_layers_by_route_layer() {
    let sessions = sessions(&ManualClock::default());
    works(&sessions, routes().route_layer(sessions.layer())).await;
}

#[tokio::test]
async fn all_layers_around_a_nested_router_and_its_parent() {
    let sessions = sessions(&ManualClock::default());
    let inner = routes().layer(sessions.layer());
    let app = Router::new().fallback_service(inner).layer(sessions.layer());
    works(&sessions, app).await;
}

#[tokio::test]
async fn the_validate_layer_around_the_issue_layer() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let validate = sessions.validate_layer().optional();
    let app = routes().layer(sessions.issue_layer()).layer(validate);
    works(&sessions, app.clone()).await;
    let token = token(&sessions);
    clock.advance(OLD);
    assert!(!send(&app, get("/").cookie(&token)).await.cookie_token().is_empty());
}

#[tokio::test]
async fn the_issue_layer_around_the_validate_layer() {
    let sessions = sessions(&ManualClock::default());
    let validate = sessions.validate_layer().optional();
    works(&sessions, routes().layer(validate).layer(sessions.issue_layer())).await;
}

#[tokio::test]
async fn sessions_of_two_kinds_stand_around_one_handler() {
    let clock = ManualClock::default();
    let users = sessions(&clock);
    let admins = admins(&users);
    let both = async |user: Option<Session<User>>, admin: Option<Session<Admin>>| {
        let level = admin.map_or(0, |admin| admin.claims().level);
        format!("{} {level}", user.map_or("anyone".into(), |user| user.subject().to_owned()))
    };
    let app = |router: Router| {
        let router = router.route("/both", on_get(both));
        [
            router.clone().layer(users.layer()).layer(admins.layer()),
            router.layer(admins.layer()).layer(users.layer()),
        ]
    };
    let admin_cookie = format!("__Host-admin={}", admin_token(&admins));
    for app in app(routes()) {
        logs_in(&users, &app).await;
        let request = get("/both").cookie(&token(&users)).header("cookie", &admin_cookie);
        assert_eq!(send(&app, request).await.body, "alice 9");
        let request = get("/both").header("cookie", &admin_cookie);
        assert_eq!(send(&app, request).await.body, "anyone 9");
        // The invalid one is cleared, the other stays.
        let request = get("/both").cookie("garbage").header("cookie", &admin_cookie);
        let answer = send(&app, request).await;
        assert_eq!((&*answer.body, answer.all("set-cookie")), ("anyone 9", vec![CLEARED]));
    }
}

#[tokio::test]
async fn logins_of_two_kinds_stand_before_one_answer() {
    let users = sessions(&ManualClock::default());
    let admins = admins(&users);
    let both = async || (login(), Login::new("root", Admin { level: 9 }), "welcome");
    let app = Router::new().route("/", on_post(both)).layer(users.layer()).layer(admins.layer());
    let answer = send(&app, post("/")).await;
    let [user, admin] = answer.all("set-cookie")[..] else { panic!("{:?}", answer.headers) };
    assert!(user.starts_with("__Host-fixed=ey") && admin.starts_with("__Host-admin=ey"));
}

#[tokio::test]
async fn each_kind_of_sessions_renews_its_own() {
    let clock = ManualClock::default();
    let users = sessions(&clock);
    let admins = admins(&users);
    let app = Router::new()
        .route("/", on_get(async || "hello"))
        .layer(users.layer())
        .layer(admins.layer());
    let (user, admin) = (token(&users), format!("__Host-admin={}", admin_token(&admins)));
    clock.advance(OLD);
    let answer = send(&app, get("/").cookie(&user).header("cookie", &admin)).await;
    let [user, admin] = answer.all("set-cookie")[..] else { panic!("{:?}", answer.headers) };
    assert!(user.starts_with("__Host-fixed=ey") && admin.starts_with("__Host-admin=ey"));
}

#[tokio::test]
async fn extractor_of_two_layers_takes_the_inner_session() {
    let clock = ManualClock::default();
    let outer = sessions(&clock);
    let inner = Sessions::<User>::builder(outer.keys().clone(), "https://app.example", "inner")
        .transports([
            Transport::cookie(CookieTransport::new().name("__Host-inner")),
            Transport::bearer(),
        ])
        .build()
        .unwrap();
    let app = routes().layer(inner.layer()).layer(outer.layer());
    assert_eq!(send(&app, get("/").cookie(&token(&outer))).await.status, StatusCode::UNAUTHORIZED);
    let cookie = format!("__Host-inner={}", token(&inner));
    assert_eq!(send(&app, get("/").header("cookie", cookie)).await.body, "alice");
}

/// The log names the type of the login, and the layers that did not take it.
#[tokio::test]
async fn lost_login_and_logout_name_their_type_and_the_layers_around_them() {
    let scenario = async || {
        let users = sessions(&ManualClock::default());
        let admins = admins(&users);
        let routes = || {
            Router::new()
                .route("/in", on_post(async || (login(), "welcome")))
                .route("/out", on_post(async || (Logout::new(), "bye")))
        };
        let around_in = routes().layer(users.validate_layer().optional()).layer(admins.layer());
        send(&routes(), post("/in")).await;
        send(&around_in, post("/in")).await;
        send(&routes().layer(users.issue_layer()), post("/out")).await;
        // These two are not lost.
        send(&routes().layer(users.layer()).layer(admins.layer()), post("/in")).await;
        send(&routes().layer(admins.layer()).layer(users.layer()), post("/in")).await;
    };
    let lost = |events: &Events| {
        let events = events.all().into_iter().filter(|event| event.message.ends_with("was lost"));
        events.collect::<Vec<_>>()
    };
    let events = Events::of(scenario, |events| lost(events).len() == 3).await;
    let [user, admin] = [std::any::type_name::<User>(), std::any::type_name::<Admin>()];
    let mistake = format!(
        "a handler returned `Login<{user}>`, but no `sessions.layer()` or `sessions.issue_layer()` of \
         `Sessions<{user}>` is around it; in axum, `.layer(..)` is around the routes that were added \
         before it"
    );
    let around = [
        ("a login was lost", "none".to_owned()),
        (
            "a login was lost",
            format!("`validate_layer` of `Sessions<{user}>`, `layer` of `Sessions<{admin}>`"),
        ),
        ("a logout was lost", format!("`issue_layer` of `Sessions<{user}>`")),
    ];
    let lost = lost(&events);
    assert_eq!(lost.len(), around.len(), "{lost:?}");
    for (event, (message, around)) in lost.iter().zip(around) {
        assert_eq!((&*event.message, &event.fields["around"]), (message, &format!("{around:?}")));
        if message == "a login was lost" {
            assert_eq!(event.fields["mistake"], format!("{mistake:?}"));
        }
    }
}

/// A cookie of another ring, as of replicas with two stores: the log names the key.
#[tokio::test]
async fn logout_with_the_token_of_an_unknown_key_names_the_key() {
    let scenario = async || {
        let clock = ManualClock::default();
        let revocations = Revocations::builder("fixed").store(MemoryStore::new());
        let revocations = revocations.clock(clock.clone()).open().await.unwrap();
        let users = builder(&clock).revocations(revocations).build().unwrap();
        let routes = Router::new().route("/out", on_post(async || (Logout::new(), "bye")));
        let key = testing::fixed_key(Algorithm::EdDSA).with_key_id("elsewhere");
        let elsewhere = KeyRing::fixed([key]).clock(clock).build().unwrap();
        let elsewhere = Sessions::builder(elsewhere, "https://app.example", "app").build().unwrap();
        let cookie = format!("__Host-fixed={}", token(&elsewhere));
        let request = post("/out").header("cookie", cookie);
        let answer = send(&routes.layer(users.layer()), request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.kind(), Some(RejectionKind::UnknownKey));
    };
    let lost = "a logout was not recorded";
    let events = Events::of(scenario, |events| events.count(lost) == 1).await;
    let event = events.all().into_iter().find(|event| event.message == lost).unwrap();
    let error = &event.fields["error"];
    assert!(error.starts_with("unknown key: header kid: found \"elsewhere\""), "{error}");
}
