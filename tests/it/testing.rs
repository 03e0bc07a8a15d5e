//! The help for an application's tests: sessions for handlers, and the client that keeps cookies.

use std::time::Duration;

use axum::Router;
use axum::extract::RawForm;
use axum::response::{AppendHeaders, Redirect};
use axum::routing::{get as on_get, post as on_post};
use http::header::{HeaderMap, SET_COOKIE};
use http::{Request, StatusCode};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{self, Client, ManualClock, TestSession};
use tower_jwt_session::{
    Clock, KeyRing, Login, Logout, RejectionKind, Revocations, Session, Sessions, Transport,
};

use crate::support::web::{User, builder, sessions};

fn reader() -> User {
    User { role: "reader".into() }
}

fn app(sessions: &Sessions<User>) -> Router {
    let me = async |session: Session<User>| session.subject().to_owned();
    Router::new()
        .route("/me", on_get(me))
        .route("/login", on_post(async || Login::new("alice", reader())))
        .route("/leave", on_post(async || (Logout::new(), Redirect::to("/bye"))))
        .layer(sessions.layer())
}

#[test]
fn test_session_has_what_it_was_given() {
    let session = testing::session("alice", reader());
    assert_eq!((session.subject(), session.claims()), ("alice", &reader()));
    assert_eq!(session.issued_at(), ManualClock::default().now());
    assert_eq!(session.authenticated_at(), Some(session.issued_at()));
    assert_eq!(session.scopes().count(), 0);

    let at = ManualClock::default().now() + Duration::from_secs(7);
    let login = at - Duration::from_secs(40 * 24 * 3600);
    let session = TestSession::new("bob", ()).scope("a b").issued_at(at).authenticated_at(login);
    let session = session.build();
    assert_eq!((session.issued_at(), session.authenticated_at()), (at, Some(login)));
    assert_eq!(session.expires_at() - at, Duration::from_secs(3600));
    assert_eq!(session.scopes().collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn client_keeps_the_cookie_until_it_is_cleared() {
    let clock = ManualClock::default();
    let mut client = Client::new(app(&sessions(&clock))).clock(&clock);
    assert_eq!(client.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(client.post("/login").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(client.get("/me").await.body(), "alice");
    let first = client.cookie("__Host-fixed").unwrap().to_owned();
    client.advance(Duration::from_secs(31 * 60));
    assert_eq!(client.get("/me").await.body(), "alice");
    assert_ne!(client.cookie("__Host-fixed").unwrap(), first, "it is renewed");
    let mut other = client.clone();
    assert_eq!(client.post("/leave").await.status(), StatusCode::SEE_OTHER);
    assert_eq!(client.cookie("__Host-fixed"), None);
    assert_eq!(client.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(other.get("/me").await.body(), "alice");
    other.advance(Duration::from_secs(61 * 60));
    assert_eq!(other.get("/me").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn client_logs_in_without_a_form_by_cookie_or_bearer_token() {
    let clock = ManualClock::default();
    let by_cookie = sessions(&clock);
    let mut client = Client::new(app(&by_cookie));
    client.login_as(&by_cookie, "bob", reader()).await;
    assert_eq!(client.get("/me").await.body(), "bob");
    assert!(client.cookie("__Host-fixed").is_some());
    client.restart_browser();
    assert_eq!(client.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    client.login(&by_cookie, &Login::new("carol", reader()).bearer()).await;
    assert_eq!(client.get("/me").await.body(), "carol");
    assert_eq!(client.cookie("__Host-fixed"), None);
    client.login_as(&by_cookie, "erin", reader()).await;
    assert_eq!(client.get("/me").await.body(), "erin", "without the former bearer token");

    let by_bearer = builder(&clock).transports([Transport::bearer()]).build().unwrap();
    let mut client = Client::new(app(&by_bearer));
    client.login_as(&by_bearer, "dave", reader()).await;
    assert_eq!(client.get("/me").await.body(), "dave");
    client.forget();
    assert_eq!(client.get("/me").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn client_sends_what_a_browser_sends() {
    let shown = async |headers: HeaderMap, RawForm(form): RawForm| {
        let get = |name| headers.get(name).map_or("-", |it| it.to_str().unwrap());
        let names = ["host", "sec-fetch-site", "sec-fetch-mode", "content-type", "cookie"];
        if get("sec-fetch-mode") == "navigate" {
            assert!(get("accept").contains("text/html") && get("sec-fetch-dest") == "document");
            let origin = if form.is_empty() { "-" } else { "https://app.example" };
            assert_eq!(get("origin"), origin);
        }
        format!("{} {}", names.map(get).join(" "), String::from_utf8_lossy(&form))
    };
    let set = async || AppendHeaders([(SET_COOKIE, "a=1; Max-Age=60"), (SET_COOKIE, "b=2")]);
    let app = Router::new()
        .route("/", on_get(shown).post(shown))
        .route("/sent", on_post(async || Redirect::to("/")))
        .route("/moved", on_post(async || Redirect::temporary("/")))
        .route("/far", on_get(async || Redirect::to("https://app.example/near")))
        .route("/near", on_get(async || Redirect::to("/")))
        .route("/set", on_get(set));
    let clock = ManualClock::default();
    let mut client = Client::new(app).clock(&clock);
    assert_eq!(client.get("/").await.body(), "app.example same-origin - - - ");
    let visited = client.visit("/far").await;
    assert_eq!(visited.body(), "app.example none navigate - - ");
    client.get("/set").await;
    let form = client.post_form("/", &[("name", "a b"), ("c", "&")]).await;
    let form_type = "application/x-www-form-urlencoded";
    let expected = format!("app.example same-origin - {form_type} a=1; b=2 name=a+b&c=%26");
    assert_eq!(*form.body(), expected);
    let submitted = format!("app.example same-origin navigate {form_type} a=1; b=2 c=d");
    for path in ["/", "/moved"] {
        assert_eq!(*client.submit(path, &[("c", "d")]).await.body(), submitted, "{path}");
    }
    let then = client.submit("/sent", &[("c", "d")]).await;
    assert_eq!(then.body(), "app.example same-origin navigate - a=1; b=2 ");
    client.restart_browser();
    assert_eq!(client.get("/").await.body(), "app.example same-origin - - a=1 ");
    clock.advance(Duration::from_secs(60));
    assert_eq!(client.get("/").await.body(), "app.example same-origin - - - ");
    let cross_site = Request::get("/").header("origin", "https://else.example").body("").unwrap();
    assert_eq!(client.send(cross_site).await.body(), "app.example - - - - ");
}

/// Two replicas, each with its own clock and with the sessions of another service.
#[tokio::test]
async fn refresh_does_what_the_background_does() {
    let (store, partners) = (MemoryStore::new(), MemoryStore::new());
    let clock = ManualClock::default();
    let open = async |store: &MemoryStore| {
        let keys = KeyRing::builder("app").store(store.clone()).clock(clock.clone());
        let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
        // No other background than that of a change which the store reports.
        let revocations = revocations.refresh_interval(Duration::from_secs(3600));
        (keys.found_now().open().await.unwrap(), revocations.open().await.unwrap())
    };
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let (keys, revocations) = open(&partners).await;
        let partner = Sessions::<User>::builder(keys, "https://partner.example", "app");
        let partner = partner.revocations(revocations).build().unwrap();
        let (keys, revocations) = open(&store).await;
        let sessions = Sessions::<User>::builder(keys, "https://app.example", "app");
        let sessions = sessions.revocations(revocations).also_accept_sessions(partner);
        replicas.push(sessions.build().unwrap());
    }
    let [one, other] = [&replicas[0], &replicas[1]];
    let first_key = one.keys().status().signing_key_id;
    for _ in 0..3 {
        clock.advance(Duration::from_secs(25 * 3600));
        testing::refresh(one).await;
        testing::refresh(other).await;
    }
    assert_ne!(one.keys().status().signing_key_id, first_key, "it has rotated");
    for issuer in ["https://app.example", "https://partner.example"] {
        let [here, there] = [one, other].map(|it| it.of_issuer(issuer).unwrap());
        let token = here.issue(&Login::new("alice", reader())).unwrap();
        let session = other.validate(token.as_str()).unwrap();
        here.logout(&session).await.unwrap();
        testing::refresh(other).await;
        let rejection = there.validate(token.as_str()).unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::Revoked);
    }
}

#[tokio::test]
async fn cookie_that_a_browser_refuses_is_a_panic() {
    for field in [
        "__Host-a=1; Path=/",
        "__Host-a=1; Secure",
        "__host-a=1; Secure; Path=/; Domain=app.example",
        "__Secure-a=1; Path=/",
        "nothing",
    ] {
        let set = async move || AppendHeaders([(SET_COOKIE, field)]);
        let app = Router::new().route("/", on_get(set));
        let get = tokio::spawn(async move { Client::new(app).get("/").await });
        let panic = get.await.unwrap_err().into_panic();
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap();
        assert!(text.contains("a browser refuses"), "{field}: {text}");
    }
}

#[tokio::test]
async fn redirect_to_another_site_is_a_panic() {
    for location in ["https://else.example/", "//else.example/", "http://app.example/"] {
        let app = Router::new().route("/", on_get(async move || Redirect::to(location)));
        let visit = tokio::spawn(async move { Client::new(app).visit("/").await });
        assert!(visit.await.unwrap_err().is_panic(), "{location}");
    }
}
