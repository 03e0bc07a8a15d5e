//! The validate layer: which requests pass, which do not, and how those are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::routing::{get as on_get, post as on_post};
use http::StatusCode;
use serde_json::{Value, json};
use tower_jwt_session::CookieTransport;
use tower_jwt_session::Transport;
use tower_jwt_session::layer::ValidateLayer;
use tower_jwt_session::testing::{ManualClock, fixed_key, mint};
use tower_jwt_session::{Algorithm, RejectionKind, Session, Sessions};

use crate::support::web::*;

/// A route behind `layer`, and how often it was reached.
fn behind(layer: ValidateLayer<User>) -> (Router, Arc<AtomicUsize>) {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = reached.clone();
    let handler = async move |request: Request| {
        count.fetch_add(1, Ordering::Relaxed);
        Session::<User>::from_extensions(request.extensions())
            .map_or("anyone".into(), |s| s.subject().to_owned())
    };
    (Router::new().route("/", on_get(handler)).layer(layer), reached)
}

/// Invalid tokens, and why.
fn bad_tokens(clock: &ManualClock) -> Vec<(String, RejectionKind)> {
    use RejectionKind::*;
    let now = tower_jwt_session::Clock::now(clock).as_unix_seconds();
    let of = |changes: Value| signed(&header(), &claims(clock, changes));
    let good = of(json!({}));
    let (signed_part, signature) = good.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let flipped = format!("{signed_part}.{first}{}", &signature[1..]);
    let with_header = |name: &str, value: Value| {
        let mut header = header();
        header[name] = value;
        signed(&header, &claims(clock, json!({})))
    };
    let by_hmac = |kid: Value| {
        let header = json!({"alg": "HS256", "typ": "session+jwt", "kid": kid});
        let claims = claims(clock, json!({})).to_string();
        mint(&fixed_key(Algorithm::HS256), header.to_string(), claims)
    };
    vec![
        ("garbage".into(), Malformed),
        (String::new(), Malformed),
        ("..".into(), Malformed),
        (format!("{good}.x"), Malformed),
        (format!("{good}="), Malformed),
        (format!("{signed_part}."), BadSignature),
        (flipped, BadSignature),
        (mint(&fixed_key(Algorithm::EdDSA), header().to_string(), "[]"), Malformed),
        ("x".repeat(8193), TooLong),
        (with_header("kid", json!("nobody")), UnknownKey),
        (with_header("kid", Value::Null), Malformed),
        (by_hmac(json!("nobody")), UnknownKey),
        (by_hmac(header()["kid"].clone()), WrongAlgorithm),
        (with_header("alg", json!("none")), WrongAlgorithm),
        (with_header("typ", json!("JWT")), WrongType),
        (with_header("crit", json!(["exp"])), Malformed),
        (of(json!({"exp": now - 60, "iat": now - 90})), Expired),
        (of(json!({"nbf": now + 61})), NotYetValid),
        (of(json!({"iat": now + 61})), IssuedInFuture),
        (of(json!({"exp": now + 86_401})), LifetimeTooLong),
        (of(json!({"aud": "another"})), WrongAudience),
        (of(json!({"iss": "https://else.example"})), WrongIssuer),
        (of(json!({"sub": null})), MissingClaim("sub")),
        (of(json!({"exp": null})), MissingClaim("exp")),
        (of(json!({"sub": ""})), InvalidClaim("sub")),
        (of(json!({"exp": "tomorrow"})), InvalidClaim("exp")),
        (of(json!({"role": 7})), InvalidApplicationClaims),
    ]
}

#[tokio::test]
async fn a_request_without_a_session_is_401_before_the_strict_layer() {
    let clock = ManualClock::default();
    let (app, reached) = behind(sessions(&clock).validate_layer());
    let answer = send(&app, get("/")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.body, UNAUTHORIZED);
    assert_eq!(answer.all("content-type"), ["application/problem+json"]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    // RFC 6750, section 3.1: no error code where no credential came.
    assert_eq!(answer.all("www-authenticate"), ["Bearer"]);
    assert_eq!(answer.all("set-cookie"), [""; 0]);
    assert_eq!(answer.kind(), Some(RejectionKind::Missing));
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_valid_token_passes_the_strict_layer_from_either_place() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let (app, reached) = behind(sessions.validate_layer());
    for request in [get("/").cookie(&token(&sessions)), get("/").bearer(&token(&sessions))] {
        let answer = send(&app, request).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "alice"));
        assert!(answer.headers.get("set-cookie").is_none());
    }
    assert_eq!(reached.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn every_401_is_the_same_bytes_whatever_the_reason() {
    let clock = ManualClock::default();
    let (app, reached) = behind(sessions(&clock).validate_layer());
    for (token, kind) in bad_tokens(&clock) {
        let by_bearer = send(&app, get("/").bearer(&token)).await;
        let by_cookie = send(&app, get("/").cookie(&token)).await;
        for answer in [&by_bearer, &by_cookie] {
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}");
            assert_eq!(answer.body, UNAUTHORIZED, "{token}");
            assert_eq!(answer.kind(), Some(kind), "{token}");
            assert_eq!(answer.all("www-authenticate"), [r#"Bearer error="invalid_token""#]);
            assert_eq!(answer.all("content-type"), ["application/problem+json"]);
            assert_eq!(answer.all("cache-control"), ["no-store"]);
        }
        // No other header depends on the reason, except that a final one clears the cookie.
        assert_eq!(by_bearer.headers.len(), 3, "{:?}", by_bearer.headers);
        match by_cookie.headers.contains_key("set-cookie") {
            true => {
                assert_eq!(by_cookie.headers.len(), 5, "{:?}", by_cookie.headers);
                assert_eq!(by_cookie.all("set-cookie"), [CLEARED]);
                assert_eq!(by_cookie.all("vary"), ["cookie"]);
            }
            false => assert_eq!(by_cookie.headers.len(), 3, "{:?}", by_cookie.headers),
        }
    }
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_session_expires_with_the_leeway_and_not_before() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let (app, _) = behind(sessions.validate_layer());
    let token = token(&sessions);
    clock.advance(Duration::from_secs(3600 + 59));
    assert_eq!(send(&app, get("/").bearer(&token)).await.status, StatusCode::OK);
    clock.advance(Duration::from_secs(1));
    let answer = send(&app, get("/").bearer(&token)).await;
    assert_eq!(answer.kind(), Some(RejectionKind::Expired));
}

#[tokio::test]
async fn where_only_cookies_are_taken_the_challenge_says_so() {
    let clock = ManualClock::default();
    let sessions =
        builder(&clock).transports([Transport::cookie(CookieTransport::new())]).build().unwrap();
    let (app, _) = behind(sessions.validate_layer());
    for request in [get("/"), get("/").cookie("garbage")] {
        assert_eq!(send(&app, request).await.all("www-authenticate"), ["Cookie"]);
    }
}

#[tokio::test]
async fn two_credentials_are_400_invalid_request() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let (app, reached) = behind(sessions.validate_layer());
    let token = token(&sessions);
    let answer = send(&app, get("/").cookie(&token).bearer(&token)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.body, r#"{"type":"about:blank","title":"Bad Request","status":400}"#);
    assert_eq!(answer.all("www-authenticate"), [r#"Bearer error="invalid_request""#]);
    assert_eq!(answer.kind(), Some(RejectionKind::Ambiguous));
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn optional_layer_passes_requests_without_session() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let (app, reached) = behind(sessions.validate_layer().optional());
    assert_eq!(send(&app, get("/")).await.body, "anyone");
    assert_eq!(send(&app, get("/").bearer("garbage")).await.body, "anyone");
    let by_cookie = send(&app, get("/").cookie("garbage")).await;
    assert_eq!((&*by_cookie.body, by_cookie.all("set-cookie")), ("anyone", vec![CLEARED]));
    assert_eq!(send(&app, get("/").bearer(&token(&sessions))).await.body, "alice");
    assert_eq!(reached.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_session_that_may_not_is_403_without_a_challenge() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let layer = sessions.validate_layer().authorize(|session| session.claims().role == "admin");
    let (app, reached) = behind(layer);
    for request in [get("/").cookie(&token(&sessions)), get("/").bearer(&token(&sessions))] {
        let answer = send(&app, request).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.body, r#"{"type":"about:blank","title":"Forbidden","status":403}"#);
        assert_eq!(answer.all("content-type"), ["application/problem+json"]);
        assert_eq!(answer.all("www-authenticate"), [""; 0]);
        // It is a good session all the same.
        assert_eq!(answer.all("set-cookie"), [""; 0]);
        assert_eq!(answer.kind(), Some(RejectionKind::Forbidden));
    }
    assert_eq!(reached.load(Ordering::Relaxed), 0);
    assert_eq!(send(&app, get("/")).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_session_without_the_scope_is_403_insufficient_scope() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let (app, reached) = behind(sessions.validate_layer().require_scope("orders:write"));
    for scope in ["orders:read", "orders", "orders:write:all", "ORDERS:WRITE", ""] {
        let answer = send(&app, get("/").bearer(&scoped(&sessions, scope))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{scope}");
        assert_eq!(
            answer.all("www-authenticate"),
            [r#"Bearer error="insufficient_scope", scope="orders:write""#]
        );
        assert_eq!(answer.kind(), Some(RejectionKind::InsufficientScope));
    }
    assert_eq!(send(&app, get("/").bearer(&token(&sessions))).await.status, StatusCode::FORBIDDEN);
    assert_eq!(reached.load(Ordering::Relaxed), 0);
    let good = scoped(&sessions, "orders:read orders:write");
    assert_eq!(send(&app, get("/").bearer(&good)).await.body, "alice");
}

#[tokio::test]
async fn several_scopes_in_one_text_are_all_required_and_none_refuses_everyone() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let layer = |scope: &str| behind(sessions.validate_layer().require_scope(scope)).0;
    let (both, none) = (layer("read  write "), layer(" "));
    for (scope, status) in [("read", 403), ("write", 403), ("", 403), ("write read", 200)] {
        let answer = send(&both, get("/").bearer(&scoped(&sessions, scope))).await;
        assert_eq!(answer.status.as_u16(), status, "{scope}");
        let expected = r#"Bearer error="insufficient_scope", scope="read write""#;
        assert_eq!(
            answer.all("www-authenticate").first(),
            Some(&expected).filter(|_| status == 403)
        );
        let answer = send(&none, get("/").bearer(&scoped(&sessions, scope))).await;
        assert_eq!(answer.kind(), Some(RejectionKind::InsufficientScope), "{scope}");
    }
}

#[tokio::test]
async fn every_check_has_to_hold_and_the_first_that_fails_decides() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let layer = sessions.validate_layer().require_scope("a").authorize(|_| false).optional();
    let (app, _) = behind(layer);
    let kind =
        async |scope: &str| send(&app, get("/").bearer(&scoped(&sessions, scope))).await.kind();
    assert_eq!(kind("b").await, Some(RejectionKind::InsufficientScope));
    assert_eq!(kind("a").await, Some(RejectionKind::Forbidden));
    // Optional: what is required holds for those that have a session.
    assert_eq!(send(&app, get("/")).await.body, "anyone");
}

#[tokio::test]
async fn a_nested_layer_uses_what_the_outer_one_has_found() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    // Between the two the token expires: only a second look could see it.
    let wait = {
        let clock = clock.clone();
        move |request: Request, next: Next| {
            clock.advance(Duration::from_secs(24 * 3600));
            next.run(request)
        }
    };
    let (inner, _) = behind(sessions.validate_layer());
    let app = inner.layer(middleware::from_fn(wait)).layer(sessions.layer());
    assert_eq!(send(&app, get("/").bearer(&token(&sessions))).await.body, "alice");
}

#[tokio::test]
async fn a_nested_layer_of_other_sessions_looks_for_itself() {
    let clock = ManualClock::default();
    let (ours, theirs) = (sessions(&clock), sessions(&clock));
    let others = Sessions::builder(ours.keys().clone(), "https://app.example", "another");
    let (app, reached) = behind(others.build().unwrap().validate_layer());
    let answer = send(&app.layer(ours.layer()), get("/").bearer(&token(&ours))).await;
    assert_eq!(answer.kind(), Some(RejectionKind::WrongAudience));
    assert_eq!(reached.load(Ordering::Relaxed), 0);
    // Made alike but apart, they accept the same tokens.
    let (app, _) = behind(theirs.validate_layer());
    assert_eq!(send(&app.layer(ours.layer()), get("/").bearer(&token(&ours))).await.body, "alice");
}

#[tokio::test]
async fn a_strict_layer_around_some_routes_leaves_the_others_open() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let closed = Router::new()
        .route("/orders", on_post(async |session: Session<User>| session.subject().to_owned()))
        .route_layer(sessions.validate_layer());
    let open = Router::new().route("/", on_get(async || "anyone"));
    let app = open.nest("/shop", closed).layer(sessions.layer());

    assert_eq!(send(&app, get("/")).await.body, "anyone");
    assert_eq!(send(&app, get("/nowhere")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(send(&app, get("/shop/nowhere")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(send(&app, post("/shop/orders")).await.status, StatusCode::UNAUTHORIZED);
    let answer = send(&app, post("/shop/orders").cookie(&token(&sessions))).await;
    assert_eq!(answer.body, "alice");
    // The inner layer refuses, and the cookie is taken away once.
    let answer = send(&app, post("/shop/orders").cookie("garbage")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.all("set-cookie"), [CLEARED]);
}

#[tokio::test]
async fn a_strict_layer_around_a_whole_router_covers_its_fallback() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = Router::new().fallback(async || "fallback").layer(sessions.validate_layer());
    assert_eq!(send(&app, get("/nowhere")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&app, get("/nowhere").bearer(&token(&sessions))).await.body, "fallback");
}

#[tokio::test]
async fn claims_that_are_only_validated_need_no_serialize() {
    #[derive(serde::Deserialize)]
    struct ReadOnly {
        role: String,
    }
    let issuer = sessions(&ManualClock::default());
    let keys = issuer.keys().clone();
    let validating = Sessions::<ReadOnly>::builder(keys, "https://app.example", "app");
    let validating = validating.build().unwrap();
    let app = Router::new()
        .route("/", on_get(async |session: Session<ReadOnly>| session.claims().role.clone()))
        .layer(validating.validate_only_layer());
    assert_eq!(send(&app, get("/").bearer(&token(&issuer))).await.body, "reader");
}
