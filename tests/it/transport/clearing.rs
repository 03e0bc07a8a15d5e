//! Which invalid cookies are cleared: those that no replica can accept any more, and that no other response
//! replaces. All of them read as anonymous where a session is optional.

use std::time::Duration;

use axum::Router;
use axum::routing::get as on_get;
use http::StatusCode;
use serde_json::{Value, json};
use tower_jwt_session::testing::{ManualClock, fixed_key, mint};
use tower_jwt_session::{
    Algorithm, Clock, CookieTransport, KeyRing, Logout, RejectionKind, Revocations, Session,
    Sessions, Transport, store::MemoryStore,
};

use crate::support::web::*;

fn routes() -> Router {
    let any = async |session: Option<Session<User>>| session.is_some().to_string();
    Router::new()
        .route("/any", on_get(any))
        .route("/mine", on_get(async |session: Session<User>| session.subject().to_owned()))
}

/// Every kind of invalid cookie, and whether it is cleared.
fn invalid(clock: &ManualClock) -> Vec<(String, RejectionKind, bool)> {
    use RejectionKind::*;
    let now = clock.now().as_unix_seconds();
    let of = |changes: Value| signed(&header(), &claims(clock, changes));
    let good = of(json!({}));
    let (signed_part, signature) = good.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let with_header = |name: &str, value: Value| {
        let mut header = header();
        header[name] = value;
        signed(&header, &claims(clock, json!({})))
    };
    let by_hmac = json!({"alg": "HS256", "typ": "session+jwt", "kid": header()["kid"]});
    let by_hmac = mint(
        &fixed_key(Algorithm::HS256),
        by_hmac.to_string(),
        claims(clock, json!({})).to_string(),
    );
    vec![
        ("garbage".into(), Malformed, true),
        (String::new(), Malformed, true),
        (format!("{signed_part}.{first}{}", &signature[1..]), BadSignature, true),
        (by_hmac, WrongAlgorithm, true),
        (of(json!({"exp": now - 60, "iat": now - 90})), Expired, true),
        (with_header("kid", json!("of a newer key")), UnknownKey, false),
        (of(json!({"iat": now + 61})), IssuedInFuture, false),
        (of(json!({"nbf": now + 61})), NotYetValid, false),
        (of(json!({"iss": "https://else.example"})), WrongIssuer, false),
        (of(json!({"aud": "another"})), WrongAudience, false),
        (with_header("typ", json!("another+jwt")), WrongType, false),
        (of(json!({"role": 7})), InvalidApplicationClaims, false),
        (of(json!({"sub": null})), MissingClaim("sub"), false),
        (of(json!({"sub": ""})), InvalidClaim("sub"), false),
        (of(json!({"exp": now + 86_401})), LifetimeTooLong, false),
        ("x".repeat(8193), TooLong, false),
    ]
}

#[tokio::test]
async fn invalid_cookie_is_anonymous_and_cleared_if_final() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let strict = routes().layer(sessions.validate_layer());
    let optional = routes().layer(sessions.layer());
    for (token, kind, clears) in invalid(&clock) {
        let cleared = if clears { vec![CLEARED] } else { vec![] };
        let answer = send(&optional, get("/any").cookie(&token)).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "false"), "{kind:?}");
        assert_eq!(answer.all("set-cookie"), cleared, "{kind:?}");
        for app in [&optional, &strict] {
            let answer = send(app, get("/mine").cookie(&token)).await;
            assert_eq!((answer.status, &*answer.body), (StatusCode::UNAUTHORIZED, UNAUTHORIZED));
            assert_eq!((answer.kind(), answer.all("set-cookie")), (Some(kind), cleared.clone()));
        }
        // A bearer token is refused, and there is nothing to clear.
        let answer = send(&optional, get("/any").bearer(&token)).await;
        assert_eq!((answer.kind(), answer.all("set-cookie")), (Some(kind), vec![]));
    }
}

#[tokio::test]
async fn a_revoked_session_is_anonymous_and_its_cookie_kept_until_a_login() {
    let store = MemoryStore::new();
    let keys = KeyRing::builder("app").store(store.clone()).open().await.unwrap();
    let revocations = Revocations::builder("app").store(store).open().await.unwrap();
    let sessions = Sessions::<User>::builder(keys, "https://app.example", "app")
        .revocations(revocations)
        .transports([Transport::cookie(CookieTransport::new().name("__Host-fixed"))])
        .build()
        .unwrap();
    let token = token(&sessions);
    sessions.logout(&sessions.validate(&token).unwrap()).await.unwrap();
    let log_in = axum::routing::post(async || login());
    let app = routes().route("/login", log_in).layer(sessions.layer());
    let answer = send(&app, get("/any").cookie(&token)).await;
    assert_eq!((&*answer.body, answer.all("set-cookie")), ("false", vec![]));
    let answer = send(&app, post("/login").cookie(&token)).await;
    assert!(sessions.validate(answer.cookie_token()).is_ok());
}

#[tokio::test]
async fn replica_with_slow_clock_keeps_others_cookies() {
    let (right, behind) = (ManualClock::default(), ManualClock::default());
    right.advance(Duration::from_secs(90));
    let [right, behind] = [sessions(&right), sessions(&behind)];
    let token = token(&right);
    let answer = send(&routes().layer(behind.layer()), get("/any").cookie(&token)).await;
    assert_eq!((&*answer.body, answer.all("set-cookie")), ("false", vec![]));
    let answer = send(&routes().layer(right.layer()), get("/any").cookie(&token)).await;
    assert_eq!(answer.body, "true");
}

#[tokio::test]
async fn two_services_with_one_cookie_name_clear_no_cookie_of_the_other() {
    let [one, other] = ["one", "other"].map(async |ring| {
        let keys = KeyRing::builder(ring).store(MemoryStore::new()).open().await.unwrap();
        // The same name, by mistake.
        let cookie = [Transport::cookie(CookieTransport::new().name("__Host-fixed"))];
        let sessions = Sessions::<User>::builder(keys, "https://app.example", ring);
        sessions.transports(cookie).build().unwrap()
    });
    let (one, other) = (one.await, other.await);
    let token = token(&one);
    let answer = send(&routes().layer(other.layer()), get("/any").cookie(&token)).await;
    assert_eq!((&*answer.body, answer.all("set-cookie")), ("false", vec![]));
    assert_eq!(send(&routes().layer(one.layer()), get("/any").cookie(&token)).await.body, "true");
}

/// A browser's jar of one host, whatever the port: cookies by name.
#[derive(Default)]
struct Jar(std::collections::BTreeMap<String, String>);

impl Jar {
    async fn send(&mut self, app: &axum::Router, request: http::request::Builder) -> Answer {
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = match pairs.is_empty() {
            true => request,
            false => request.header("cookie", pairs.join("; ")),
        };
        let answer = send(app, request).await;
        for field in answer.all("set-cookie") {
            let (name, value) = field.split(';').next().unwrap().split_once('=').unwrap();
            match field.contains("Max-Age=0") {
                true => drop(self.0.remove(name)),
                false => drop(self.0.insert(name.to_owned(), value.to_owned())),
            }
        }
        answer
    }
}

#[tokio::test]
async fn two_services_on_one_host_leave_each_others_cookie_alone() {
    let app = async |ring: &str| {
        let keys = KeyRing::builder(ring).store(MemoryStore::new()).open().await.unwrap();
        let issuer = format!("https://{ring}.example");
        let sessions = Sessions::<User>::builder(keys, issuer, ring).build().unwrap();
        axum::Router::new()
            .route("/in", axum::routing::post(async || login()))
            .route("/out", axum::routing::post(async || Logout::new()))
            .route("/", axum::routing::get(async |s: Session<User>| s.subject().to_owned()))
            .layer(sessions.layer())
    };
    // localhost:3000 and localhost:3001 share a jar.
    let (orders, billing) = (app("orders").await, app("billing").await);
    let mut jar = Jar::default();
    for service in [&orders, &billing] {
        assert_eq!(jar.send(service, post("/in")).await.status, 204);
    }
    assert_eq!(jar.0.keys().collect::<Vec<_>>(), ["__Host-billing", "__Host-orders"]);
    for service in [&orders, &billing, &orders] {
        assert_eq!(jar.send(service, get("/")).await.body, "alice");
    }
    let answer = jar.send(&orders, post("/out").header("sec-fetch-site", "same-origin")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(jar.send(&orders, get("/")).await.status, 401);
    assert_eq!(jar.send(&billing, get("/")).await.body, "alice");
}

#[tokio::test]
async fn cookie_of_a_ring_whose_name_no_cookie_can_have_is_named_alike() {
    let sessions = sessions(&ManualClock::default());
    let field = sessions.set_cookie(&sessions.issue(&login()).unwrap()).unwrap();
    assert!(field.to_str().unwrap().starts_with("__Host-fixed="));
    let named = Transport::cookie(CookieTransport::new().name("__Host-Http-app"));
    let sessions = builder(&ManualClock::default()).transports([named]).build().unwrap();
    let field = sessions.set_cookie(&sessions.issue(&login()).unwrap()).unwrap();
    assert!(field.to_str().unwrap().starts_with("__Host-Http-app="));
}

#[tokio::test]
async fn header_transport_takes_the_whole_value_once() {
    let clock = ManualClock::default();
    let list = [Transport::header("X-Access-Assertion"), Transport::bearer()];
    let sessions = builder(&clock).transports(list).build().unwrap();
    let app = axum::Router::new()
        .route("/", axum::routing::get(async |s: Session<User>| s.subject().to_owned()))
        .layer(sessions.layer());
    let token = token(&sessions);
    assert_eq!(send(&app, get("/").header("x-access-assertion", &token)).await.body, "alice");
    let answer = send(&app, get("/").header("x-access-assertion", "garbage")).await;
    assert_eq!((answer.status.as_u16(), answer.all("www-authenticate").len()), (401, 1));
    let twice = get("/").header("x-access-assertion", &token).header("x-access-assertion", &token);
    assert_eq!(send(&app, twice).await.status, 400);
    let both = get("/").header("x-access-assertion", &token).bearer(&token);
    assert_eq!(send(&app, both).await.status, 400);
    assert_eq!(send(&app, get("/").cookie(&token)).await.status, 401);
}

#[test]
fn transports_that_cannot_be_are_build_errors() {
    let lists: [Vec<Transport>; 5] = [
        vec![],
        vec![Transport::bearer(), Transport::bearer()],
        vec![Transport::header("authorization")],
        vec![Transport::header("no header")],
        vec![Transport::web_socket_protocol("a b")],
    ];
    for list in lists {
        let error = builder(&ManualClock::default()).transports(list).build().unwrap_err();
        assert!(error.setting().is_some(), "{error}");
    }
}
