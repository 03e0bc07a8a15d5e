//! Persistent logins ("remember me"): a lifetime of their own, and a cookie that outlives the browser's
//! session.

use std::time::Duration;

use axum::Router;
use axum::routing::{get as on_get, post as on_post};
use http::StatusCode;
use serde_json::json;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{ManualClock, fixed_key};
use tower_jwt_session::{
    Algorithm, BuildError, Clock, KeyRing, Login, OperationErrorKind, RefreshTokens, RejectionKind,
    RotationPolicy, Session, Sessions, SessionsBuilder, Transport,
};

use crate::support::web::*;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// Half of an idle lifetime: how old a token is that is renewed.
const HALF: Duration = Duration::from_secs(1800);

fn rotation() -> RotationPolicy {
    RotationPolicy::new().max_token_lifetime(MONTH)
}

fn month_ring(clock: &ManualClock) -> KeyRing {
    let ring = KeyRing::fixed([fixed_key(Algorithm::EdDSA)]).rotation(rotation());
    ring.clock(clock.clone()).build().unwrap()
}

/// Sessions whose persistent logins last for a month or less.
fn month(clock: &ManualClock) -> SessionsBuilder<User> {
    Sessions::builder(month_ring(clock), "https://app.example", "app").persistent_lifetime(MONTH)
}

fn app(sessions: &Sessions<User>, lifetime: Duration) -> Router {
    let ours = sessions.clone();
    let promote =
        async move |session: Session<User>| ours.reissue(&session, User { role: "admin".into() });
    let ours = sessions.clone();
    let remember = async move |session: Session<User>| {
        ours.reissue(&session, session.claims().clone()).persistent(lifetime)
    };
    let recent = sessions.validate_layer().max_auth_age(5 * MINUTE);
    Router::new()
        .route("/", on_get(async |session: Session<User>| session.subject().to_owned()))
        .route("/pay", on_post(async || "paid").route_layer(recent))
        .route("/login", on_post(async move || login().persistent(lifetime)))
        .route("/login-bearer", on_post(async move || login().persistent(lifetime).bearer()))
        .route("/promote", on_post(promote))
        .route("/remember", on_post(remember))
        .layer(sessions.layer())
}

/// The value of the cookie's `Max-Age`, if it has one.
fn max_age(answer: &Answer) -> Option<u64> {
    let [field] = answer.all("set-cookie")[..] else { panic!("{:?}", answer.headers) };
    let mut attributes = field.split("; ").filter_map(|it| it.strip_prefix("Max-Age="));
    attributes.next().map(|seconds| seconds.parse().unwrap())
}

fn seconds(duration: Duration) -> Option<u64> {
    Some(duration.as_secs())
}

#[tokio::test]
async fn persistent_login_survives_the_browser_and_weeks_without_a_request() {
    let clock = ManualClock::default();
    let app = app(&month(&clock).build().unwrap(), MONTH);
    let answer = send(&app, post("/login")).await;
    assert_eq!((answer.status, max_age(&answer)), (StatusCode::NO_CONTENT, seconds(MONTH)));
    let token = answer.cookie_token().to_owned();
    assert!(answer.all("set-cookie")[0].starts_with("__Host-fixed="));
    assert!(answer.all("set-cookie")[0].contains("; HttpOnly; SameSite=Lax; Secure; Path=/"));

    clock.advance(MONTH - Duration::from_secs(1));
    assert_eq!(send(&app, get("/").cookie(&token)).await.body, "alice");
    // The leeway is the clocks' difference.
    clock.advance(Duration::from_secs(61));
    let answer = send(&app, get("/").cookie(&token)).await;
    assert_eq!(
        (answer.status, answer.kind()),
        (StatusCode::UNAUTHORIZED, Some(RejectionKind::Expired))
    );
    assert_eq!(answer.all("set-cookie"), [CLEARED]);
}

#[tokio::test]
async fn usual_login_beside_it_has_no_max_age_and_is_idle_for_an_hour() {
    let clock = ManualClock::default();
    let sessions = month(&clock).build().unwrap();
    let app = Router::new().route("/login", on_post(async || login())).layer(sessions.layer());
    let answer = send(&app, post("/login")).await;
    assert_eq!(max_age(&answer), None);
    let session = sessions.validate(answer.cookie_token()).unwrap();
    assert_eq!(session.persistent_until(), None);
    assert_eq!(session.expires_at(), clock.now() + Duration::from_secs(3600));
}

/// It is renewed as often as any other, for a current key and current claims, and ends when it was
/// said to end.
#[tokio::test]
async fn renewal_keeps_the_end_of_a_persistent_session() {
    let clock = ManualClock::default();
    let sessions = month(&clock).build().unwrap();
    let app = app(&sessions, MONTH);
    let ends = clock.now() + MONTH;
    let answer = send(&app, post("/login")).await;
    let mut token = answer.cookie_token().to_owned();
    let first = claims_of(&token);

    clock.advance(HALF);
    assert_eq!(send(&app, get("/").cookie(&token)).await.headers.get("set-cookie"), None);
    for _ in 0..29 {
        clock.advance(DAY);
        let answer = send(&app, get("/").cookie(&token)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(max_age(&answer), seconds(ends - clock.now()), "{}", clock.now());
        let next = answer.cookie_token().to_owned();
        assert_ne!(next, token);
        token = next;
        let session = sessions.validate(&token).unwrap();
        assert_eq!((session.expires_at(), session.persistent_until()), (ends, Some(ends)));
        // The new one is young.
        let answer = send(&app, get("/").cookie(&token)).await;
        assert_eq!(answer.headers.get("set-cookie"), None);
    }
    let last = claims_of(&token);
    for name in ["sid", "auth_time", "pu", "exp", "role"] {
        assert_eq!(first[name], last[name], "{name}");
    }
    assert_eq!(last["pu"], json!(ends.as_unix_seconds()));
    clock.set(ends + MINUTE);
    assert_eq!(send(&app, get("/").cookie(&token)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn old_persistent_login_is_not_a_recent_one() {
    let clock = ManualClock::default();
    let app = app(&month(&clock).build().unwrap(), MONTH);
    let token = send(&app, post("/login")).await.cookie_token().to_owned();
    assert_eq!(send(&app, post("/pay").cookie(&token)).await.body, "paid");
    clock.advance(DAY);
    let answer = send(&app, post("/pay").cookie(&token)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    // The session itself goes on, and its renewals change nothing.
    assert!(!answer.cookie_token().is_empty());
    let answer = send(&app, post("/pay").cookie(answer.cookie_token())).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn other_claims_leave_a_persistent_session_persistent() {
    let clock = ManualClock::default();
    let app = app(&month(&clock).build().unwrap(), MONTH);
    let ends = clock.now() + MONTH;
    let token = send(&app, post("/login")).await.cookie_token().to_owned();
    clock.advance(10 * DAY);
    let answer = send(&app, post("/promote").cookie(&token)).await;
    assert_eq!(max_age(&answer), seconds(20 * DAY));
    let claims = claims_of(answer.cookie_token());
    assert_eq!(
        (&claims["role"], &claims["exp"]),
        (&json!("admin"), &json!(ends.as_unix_seconds()))
    );
}

/// "Stay logged in?" after the login: it counts from that.
#[tokio::test]
async fn session_that_becomes_persistent_counts_from_its_login() {
    let clock = ManualClock::default();
    let sessions = month(&clock).build().unwrap();
    let token = token(&sessions);
    let ends = clock.now() + 7 * DAY;
    clock.advance(HALF);
    let answer = send(&app(&sessions, 7 * DAY), post("/remember").cookie(&token)).await;
    assert_eq!(max_age(&answer), seconds(7 * DAY - HALF));
    assert_eq!(claims_of(answer.cookie_token())["pu"], json!(ends.as_unix_seconds()));
}

/// Keys that were made before the longest lifetime was raised bound their tokens; renewals get past.
#[tokio::test]
async fn key_of_a_shorter_lifetime_bounds_the_token_and_not_the_session() {
    let clock = ManualClock::default();
    let store = MemoryStore::new();
    let ring = |policy: RotationPolicy| {
        let policy = policy.refresh_interval(DAY / 24);
        let ring = KeyRing::builder("fixed").store(store.clone()).rotation(policy);
        ring.clock(clock.clone()).open()
    };
    let _before = ring(RotationPolicy::new()).await.unwrap();
    let ring = ring(rotation().signing_period(DAY)).await.unwrap();
    let sessions = Sessions::builder(ring.clone(), "https://app.example", "app");
    let sessions = sessions.persistent_lifetime(MONTH).build().unwrap();
    let app = app(&sessions, MONTH);
    let ends = clock.now() + MONTH;
    let answer = send(&app, post("/login")).await;
    assert_eq!(max_age(&answer), seconds(DAY), "the first key is of a shorter lifetime");
    let mut token = answer.cookie_token().to_owned();
    for _ in 0..4 {
        clock.advance(DAY - HALF);
        ring.refresh().await.unwrap();
        let answer = send(&app, get("/").cookie(&token)).await;
        assert_eq!(answer.status, StatusCode::OK);
        token = answer.cookie_token().to_owned();
    }
    assert_eq!(sessions.validate(&token).unwrap().expires_at(), ends);
}

#[tokio::test]
async fn persistent_login_without_the_setting_is_an_error_that_names_it() {
    let clock = ManualClock::default();
    let sessions = builder(&clock).build().unwrap();
    let error = sessions.issue(&login().persistent(MINUTE)).unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::NotConfigured);
    assert!(error.to_string().contains("add `.persistent_lifetime(..)`"), "{error}");
    let answer = send(&app(&sessions, MINUTE), post("/login")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.headers.get("set-cookie"), None);
}

#[tokio::test]
async fn persistent_login_out_of_range_is_an_error_with_both_numbers() {
    let clock = ManualClock::default();
    let sessions = month(&clock).build().unwrap();
    for wrong in [MONTH + Duration::from_nanos(1), Duration::MAX, Duration::from_millis(999)] {
        let error = sessions.issue(&login().persistent(wrong)).unwrap_err();
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let text = error.to_string();
        assert!(text.contains(&format!("is {wrong:?}, expected 1s to")), "{text}");
        let fix = "persistent_lifetime (2592000s): give one in this range, or raise";
        assert!(text.contains(fix), "{text}");
    }
    for good in [Duration::from_secs(1), MONTH] {
        let token = sessions.issue(&login().persistent(good)).unwrap();
        assert_eq!(token.lifetime(), good);
    }
}

#[tokio::test]
async fn persistent_lifetime_beyond_the_keys_is_refused_when_built() {
    let clock = ManualClock::default();
    let refused = |builder: SessionsBuilder<User>| -> BuildError { builder.build().unwrap_err() };
    let error = refused(builder(&clock).persistent_lifetime(MONTH)).to_string();
    assert!(error.starts_with("persistent_lifetime is 2592000s: "), "{error}");
    assert!(error.contains("max_token_lifetime (86400s)"), "{error}");
    assert!(error.contains("`RotationPolicy::new().max_token_lifetime(..)`"), "{error}");
    let error = refused(builder(&clock).persistent_lifetime(MINUTE)).to_string();
    assert!(error.contains("at least the idle_lifetime (3600s)"), "{error}");
    builder(&clock).persistent_lifetime(DAY).build().unwrap();
}

#[tokio::test]
async fn persistent_bearer_login_needs_a_refresh_token() {
    let clock = ManualClock::default();
    let bearer_only = month(&clock).transports([Transport::bearer()]).build().unwrap();
    for (sessions, path) in
        [(month(&clock).build().unwrap(), "/login-bearer"), (bearer_only, "/login")]
    {
        let answer = send(&app(&sessions, MONTH), post(path)).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        let error = sessions.issue(&login().persistent(MONTH).bearer()).unwrap_err();
        assert!(error.to_string().contains("add `.refresh_tokens(..)`"), "{error}");
    }
}

#[tokio::test]
async fn refresh_tokens_of_a_persistent_login_are_redeemed_until_its_end() {
    let clock = ManualClock::default();
    let tokens = RefreshTokens::new().dangerous_without_reuse_detection().lifetime(2 * DAY);
    let sessions = month(&clock).refresh_tokens(tokens).build().unwrap();
    let usual = sessions.issue_with_refresh_token(&login()).unwrap();
    assert!(usual.refresh_token.lifetime() < DAY, "the absolute lifetime");
    let ends = clock.now() + 10 * DAY;
    let persistent = Login::persistent(login(), 10 * DAY);
    let mut pair = sessions.issue_with_refresh_token(&persistent).unwrap();
    for _ in 0..9 {
        assert_eq!(pair.refresh_token.lifetime(), (2 * DAY).min(ends - clock.now()));
        assert!(pair.access_token.lifetime() <= 5 * MINUTE);
        clock.advance(DAY);
        pair = sessions.refresh(pair.refresh_token.as_str()).await.unwrap();
    }
    clock.advance(DAY + MINUTE);
    let error = sessions.refresh(pair.refresh_token.as_str()).await.unwrap_err();
    assert_eq!(error.rejection().unwrap().kind(), RejectionKind::Expired);
    let answer = send(&app(&sessions, MONTH), post("/login-bearer")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers.get("set-cookie"), None);
}

#[tokio::test]
async fn end_of_a_persistent_session_is_a_time_and_not_the_applications() {
    let clock = ManualClock::default();
    let sessions = month(&clock).build().unwrap();
    let good = signed(&header(), &claims(&clock, json!({"pu": 1_900_000_000})));
    let until = sessions.validate(&good).unwrap().persistent_until();
    assert_eq!(until.unwrap().as_unix_seconds(), 1_900_000_000);
    for wrong in [json!("1900000000"), json!(-1), json!(true), json!(1e300), json!([])] {
        let token = signed(&header(), &claims(&clock, json!({"pu": wrong})));
        let rejection = sessions.validate(&token).unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::InvalidClaim("pu"), "{wrong}");
    }
    let sessions = Sessions::builder(month_ring(&clock), "https://app.example", "app");
    let sessions = sessions.build().unwrap();
    let error = sessions.issue(&Login::new("alice", json!({"pu": 1}))).unwrap_err();
    assert!(error.to_string().contains("`pu` is a registered claim"), "{error}");
}
