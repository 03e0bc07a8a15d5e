//! The cookie of former settings: read where the own one is absent, and replaced.

use std::time::Duration;

use axum::Router;
use axum::routing::{get as on_get, post as on_post};
use http::StatusCode;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    BuildError, CookieTransport, Logout, RejectionKind, Session, Sessions, Transport,
};

use crate::support::web::*;

const OLD_CLEARED: &str =
    "__Secure-old=; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com; Max-Age=0";

fn old() -> CookieTransport {
    CookieTransport::new().name("__Secure-old").dangerous_share_with_subdomains("example.com")
}

fn of(clock: &ManualClock, cookie: CookieTransport) -> Result<Sessions<User>, BuildError> {
    builder(clock).transports([Transport::cookie(cookie), Transport::bearer()]).build()
}

fn renamed(clock: &ManualClock) -> Sessions<User> {
    let cookie = CookieTransport::new().also_read_cookie(old());
    of(clock, cookie.also_read_cookie(CookieTransport::new().name("__Host-older"))).unwrap()
}

fn app(sessions: &Sessions<User>) -> Router {
    let who = async |session: Option<Session<User>>| {
        session.map_or("no one".to_owned(), |session| session.subject().to_owned())
    };
    let admin = sessions.validate_layer().authorize(|_| false);
    Router::new()
        .route("/", on_get(who).post(who))
        .route("/mine", on_get(async |_: Session<User>| "in"))
        .route("/login", on_post(async || (login(), "welcome")))
        .route("/logout", on_post(async || Logout::new()))
        .route("/admin", on_get(async || "in").layer(admin))
        .layer(sessions.layer())
}

#[tokio::test]
async fn old_cookie_is_read_and_replaced_by_the_same_token() {
    let sessions = renamed(&ManualClock::default());
    let token = token(&sessions);
    let strict =
        Router::new().route("/", on_get(async || "alice")).layer(sessions.validate_layer());
    for app in [app(&sessions), strict] {
        let answer = send(&app, get("/").header("cookie", format!("__Secure-old={token}"))).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "alice"));
        let own = format!("__Host-fixed={token}; HttpOnly; SameSite=Lax; Secure; Path=/");
        assert_eq!(answer.all("set-cookie"), [&*own, OLD_CLEARED]);
        assert_eq!(
            (answer.all("cache-control"), answer.all("vary")),
            (vec!["no-store"], vec!["cookie"])
        );
    }
    let answer =
        send(&app(&sessions), get("/").header("cookie", format!("__Host-older={token}"))).await;
    assert_eq!(answer.body, "alice");
    assert_eq!(answer.all("set-cookie").len(), 2);
    assert!(answer.all("set-cookie")[1].starts_with("__Host-older=; "));
    // A refusal of the layer inside keeps the session, too.
    let refused = get("/admin").header("cookie", format!("__Secure-old={token}"));
    let answer = send(&app(&sessions), refused).await;
    assert_eq!((answer.status, answer.all("set-cookie").len()), (StatusCode::FORBIDDEN, 2));
}

#[tokio::test]
async fn old_cookie_past_half_of_its_life_is_replaced_by_a_renewed_token() {
    let clock = ManualClock::default();
    let sessions = renamed(&clock);
    let token = token(&sessions);
    clock.advance(Duration::from_secs(1801));
    let request = get("/").header("cookie", format!("__Secure-old={token}"));
    let answer = send(&app(&sessions), request).await;
    let [own, cleared] = answer.all("set-cookie")[..] else { panic!("{:?}", answer.headers) };
    assert!(own.starts_with("__Host-fixed=ey") && !own.contains(&token), "{own}");
    assert_eq!(cleared, OLD_CLEARED);
}

#[tokio::test]
async fn own_cookie_counts_and_the_old_one_beside_it_is_cleared() {
    let sessions = renamed(&ManualClock::default());
    let token = token(&sessions);
    for (cookies, who) in [
        (format!("__Secure-old=garbage; __Host-fixed={token}"), "alice"),
        (format!("__Host-fixed={token}; __Secure-old={token}"), "alice"),
        (format!("__Host-fixed={token}; __Secure-old=a; __Secure-old=b"), "alice"),
        // Another replica may know the key of the own one.
        (format!("__Host-fixed={}; __Secure-old={token}", of_unknown_key()), "no one"),
    ] {
        let answer = send(&app(&sessions), get("/").header("cookie", &cookies)).await;
        assert_eq!(
            (&*answer.body, answer.all("set-cookie")),
            (who, vec![OLD_CLEARED]),
            "{cookies}"
        );
    }
    let cookies = format!("__Host-fixed=garbage; __Secure-old={token}; __Host-older={token}");
    let answer = send(&app(&sessions), get("/").header("cookie", &cookies)).await;
    assert_eq!((&*answer.body, answer.all("set-cookie").len()), ("no one", 3));
    assert_eq!(answer.all("set-cookie")[..2], [CLEARED, OLD_CLEARED]);
}

fn of_unknown_key() -> String {
    let mut header = header();
    header["kid"] = "of a newer key".into();
    signed(&header, &claims(&ManualClock::default(), serde_json::json!({})))
}

#[tokio::test]
async fn invalid_old_cookie_is_handled_as_an_invalid_cookie() {
    let clock = ManualClock::default();
    let sessions = renamed(&clock);
    let token = token(&sessions);
    let request = |path, token: &str| get(path).header("cookie", format!("__Secure-old={token}"));
    clock.advance(Duration::from_secs(2 * 3600));
    for (token, kind, cleared) in [
        (&*token, RejectionKind::Expired, vec![CLEARED, OLD_CLEARED]),
        ("garbage", RejectionKind::Malformed, vec![CLEARED, OLD_CLEARED]),
        (&of_unknown_key(), RejectionKind::UnknownKey, vec![]),
    ] {
        let answer = send(&app(&sessions), request("/", token)).await;
        assert_eq!(
            (&*answer.body, answer.all("set-cookie")),
            ("no one", cleared.clone()),
            "{kind:?}"
        );
        let answer = send(&app(&sessions), request("/mine", token)).await;
        assert_eq!((answer.kind(), answer.all("set-cookie")), (Some(kind), cleared.clone()));
        let strict =
            Router::new().route("/", on_get(async || "in")).layer(sessions.validate_layer());
        let answer = send(&strict, request("/", token)).await;
        assert_eq!((answer.kind(), answer.all("set-cookie")), (Some(kind), cleared));
    }
    let twice = get("/mine").header("cookie", "__Secure-old=a; __Secure-old=b");
    assert_eq!(send(&app(&sessions), twice).await.kind(), Some(RejectionKind::Ambiguous));
}

#[tokio::test]
async fn login_and_logout_replace_the_old_cookie() {
    let sessions = renamed(&ManualClock::default());
    let token = token(&sessions);
    let request = |path| post(path).header("cookie", format!("__Secure-old={token}"));
    let answer = send(&app(&sessions), request("/logout")).await;
    assert_eq!(answer.all("set-cookie"), [CLEARED, OLD_CLEARED]);
    let answer = send(&app(&sessions), request("/login")).await;
    let [own, cleared] = answer.all("set-cookie")[..] else { panic!("{:?}", answer.headers) };
    assert!(own.starts_with("__Host-fixed=ey") && !own.contains(&token), "{own}");
    assert_eq!(cleared, OLD_CLEARED);
    let unknown = post("/login").header("cookie", format!("__Secure-old={}", of_unknown_key()));
    assert_eq!(send(&app(&sessions), unknown).await.all("set-cookie")[1..], [OLD_CLEARED]);
}

#[tokio::test]
async fn old_cookie_meets_the_guard() {
    let sessions = renamed(&ManualClock::default());
    let request = post("/").header("cookie", format!("__Secure-old={}", token(&sessions)));
    let answer = send(&app(&sessions), request.header("sec-fetch-site", "cross-site")).await;
    assert_eq!(answer.kind(), Some(RejectionKind::CrossSite));
    assert!(answer.all("set-cookie").is_empty());
}

#[test]
fn old_cookie_that_cannot_be_told_apart_is_refused() {
    let clock = ManualClock::default();
    let new = CookieTransport::new;
    for (cookie, value) in [
        (new().also_read_cookie(new()), r#""__Host-fixed""#),
        (new().name("__Host-a").also_read_cookie(new().name("__Host-a")), r#""__Host-a""#),
        (new().also_read_cookie(old()).also_read_cookie(old()), r#""__Secure-old""#),
        (new().also_read_cookie(new().name("old")), r#""old""#),
        (new().also_read_cookie(new().name("__Host-a b")), r#""__Host-a b""#),
        (new().also_read_cookie(new().name("__Host-b").also_read_cookie(old())), r#""__Host-b""#),
    ] {
        let error = of(&clock, cookie).unwrap_err();
        assert_eq!(error.setting(), Some("also_read_cookie"), "{error}");
        assert_eq!(error.value(), Some(value));
    }
}
