//! Which invalid cookies are cleared: those that no replica can accept any more. All of them read
//! as anonymous where a session is optional.

use std::time::Duration;

use axum::Router;
use axum::routing::get as on_get;
use http::StatusCode;
use serde_json::{Value, json};
use tower_jwt_session::testing::{ManualClock, fixed_key, mint};
use tower_jwt_session::{
    Algorithm, Clock, KeyRing, RejectionKind, Revocations, Session, Sessions, store::MemoryStore,
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
async fn an_invalid_cookie_is_anonymous_and_cleared_only_for_a_final_reason() {
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
async fn a_revoked_session_is_anonymous_and_its_cookie_cleared() {
    let store = MemoryStore::new();
    let keys = KeyRing::builder("app").store(store.clone()).open().await.unwrap();
    let revocations = Revocations::builder("app").store(store).open().await.unwrap();
    let sessions = Sessions::<User>::builder(keys, "https://app.example", "app")
        .revocations(revocations)
        .build()
        .unwrap();
    let token = token(&sessions);
    let _ = sessions.logout(&sessions.validate(&token).unwrap()).await.unwrap();
    let answer = send(&routes().layer(sessions.layer()), get("/any").cookie(&token)).await;
    assert_eq!((&*answer.body, answer.all("set-cookie")), ("false", vec![CLEARED]));
}

#[tokio::test]
async fn a_replica_whose_clock_is_behind_keeps_the_cookies_of_the_others() {
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
async fn two_services_on_one_host_keep_each_others_cookie() {
    let [one, other] = ["one", "other"].map(async |ring| {
        let keys = KeyRing::builder(ring).store(MemoryStore::new()).open().await.unwrap();
        Sessions::<User>::builder(keys, "https://app.example", ring).build().unwrap()
    });
    let (one, other) = (one.await, other.await);
    let token = token(&one);
    let answer = send(&routes().layer(other.layer()), get("/any").cookie(&token)).await;
    assert_eq!((&*answer.body, answer.all("set-cookie")), ("false", vec![]));
    assert_eq!(send(&routes().layer(one.layer()), get("/any").cookie(&token)).await.body, "true");
}
