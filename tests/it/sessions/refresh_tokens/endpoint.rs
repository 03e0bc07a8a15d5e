//! The endpoint over http, and the login that leads to it.

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_jwt_session::{Login, Session};

use super::*;
use crate::support::web::{Answer, Credentials as _, send};

fn app(sessions: &Sessions<User>) -> Router {
    let log_in = async || web::login().scope("read write").bearer();
    let me = async |session: Session<User>| session.session_id().to_owned();
    Router::new()
        .route("/login", post(log_in))
        .route("/by-cookie", post(async || -> Login<User> { web::login() }))
        .route("/me", get(me))
        .merge(sessions.token_router())
        .layer(sessions.layer())
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn ask(app: &Router, content_type: &str, body: impl Into<Body>) -> Answer {
    let request = web::post("/token").header(CONTENT_TYPE, content_type);
    let request = request.body(body.into()).unwrap();
    Answer::of(app.clone().oneshot(request).await.unwrap()).await
}

async fn redeem(app: &Router, refresh_token: &str) -> Answer {
    ask(app, FORM, format!("grant_type=refresh_token&refresh_token={refresh_token}")).await
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.all("content-type"), ["application/json"]);
    assert_eq!(answer.headers[CACHE_CONTROL], "no-store");
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn bearer_login_gets_both_tokens_and_renews_at_endpoint() {
    let clock = ManualClock::default();
    let app = app(&sessions(&clock));
    let mut answer = send(&app, web::post("/login")).await;
    let mut session_ids = Vec::new();
    for round in 0..3 {
        assert_eq!(answer.status, StatusCode::OK);
        let tokens = json_of(&answer);
        let names: Vec<_> = tokens.as_object().unwrap().keys().collect();
        let expected = ["access_token", "expires_in", "refresh_token", "scope", "token_type"];
        assert_eq!(names, expected);
        assert_eq!(tokens["token_type"], "Bearer");
        assert_eq!(tokens["scope"], "read write");
        let expires_in = tokens["expires_in"].as_i64().unwrap();
        assert!((285..=300).contains(&expires_in));
        let [access, refresh] =
            ["access_token", "refresh_token"].map(|name| tokens[name].as_str().unwrap());
        assert_eq!(
            claims_of(access)["iat"].as_i64().unwrap() + expires_in,
            claims_of(access)["exp"]
        );
        assert_eq!(claims_of(refresh)["seq"], round);
        let me = send(&app, web::get("/me").bearer(access)).await;
        assert_eq!(me.status, StatusCode::OK);
        session_ids.push(me.body);
        let me = send(&app, web::get("/me").bearer(refresh)).await;
        assert_eq!(
            (me.status, me.kind()),
            (StatusCode::UNAUTHORIZED, Some(RejectionKind::WrongType))
        );
        let me = send(&app, web::get("/me").cookie(refresh)).await;
        assert_eq!(
            (me.status, me.kind()),
            (StatusCode::UNAUTHORIZED, Some(RejectionKind::WrongType))
        );
        clock.advance(10 * MINUTE);
        assert_eq!(
            send(&app, web::get("/me").bearer(access)).await.status,
            StatusCode::UNAUTHORIZED
        );
        answer = redeem(&app, refresh).await;
    }
    assert!(session_ids.iter().all(|id| *id == session_ids[0]));
}

#[tokio::test]
async fn a_cookie_login_is_as_ever() {
    let clock = ManualClock::default();
    let answer = send(&app(&sessions(&clock)), web::post("/by-cookie")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::NO_CONTENT, ""));
    let claims = claims_of(answer.cookie_token());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    assert_eq!(claims.get("seq"), None);
}

/// Whatever is wrong with the token, the answer is the same to the byte.
#[tokio::test]
async fn every_bad_token_gets_one_answer() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = app(&sessions);
    let tokens = login(&sessions);
    let expired = login(&sessions).refresh_token.as_str().to_owned();
    let refresh = tokens.refresh_token.as_str();
    let (cut, _) = refresh.rsplit_once('.').unwrap();
    clock.advance(13 * HOUR);
    let access = login(&sessions).access_token.as_str().to_owned();
    for (token, kind) in [
        (&*access, RejectionKind::WrongType),
        (&*expired, RejectionKind::Expired),
        (cut, RejectionKind::Malformed),
        ("x", RejectionKind::Malformed),
        ("%00%FF", RejectionKind::Malformed),
        (&"x".repeat(9000), RejectionKind::TooLong),
    ] {
        let answer = redeem(&app, token).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{token}");
        let description =
            "the refresh token is invalid, expired, revoked or already used; log in again";
        let body = json!({"error": "invalid_grant", "error_description": description});
        assert_eq!(json_of(&answer), body);
        assert_eq!(answer.headers.get(WWW_AUTHENTICATE), None);
        assert_eq!(answer.all("set-cookie"), [""; 0]);
        assert_eq!(answer.kind(), Some(kind), "{token}");
    }
}

#[tokio::test]
async fn invalid_form_is_a_bad_request() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let app = app(&sessions);
    let tokens = login(&sessions);
    let token = tokens.refresh_token.as_str();
    let good = format!("grant_type=refresh_token&refresh_token={token}");
    for (content_type, body, code) in [
        ("application/json", good.clone(), "invalid_request"),
        ("", good.clone(), "invalid_request"),
        ("application/x-www-form-urlencoded2", good.clone(), "invalid_request"),
        ("multipart/form-data", good.clone(), "invalid_request"),
        (FORM, String::new(), "invalid_request"),
        (FORM, "&&==&=".into(), "invalid_request"),
        (FORM, format!("refresh_token={token}"), "invalid_request"),
        (FORM, format!("grant_type=&refresh_token={token}"), "invalid_request"),
        (FORM, "grant_type=refresh_token".into(), "invalid_request"),
        (FORM, "grant_type=refresh_token&refresh_token=".into(), "invalid_request"),
        (FORM, format!("{good}&refresh_token={token}"), "invalid_request"),
        (FORM, format!("{good}&grant_type=refresh_token"), "invalid_request"),
        (FORM, format!("{good}&refresh%5Ftoken="), "invalid_request"),
        (FORM, format!("{good}&pad={}", "x".repeat(40_000)), "invalid_request"),
        (FORM, format!("grant_type=password&refresh_token={token}"), "unsupported_grant_type"),
        (FORM, "grant_type=authorization_code&code=1".into(), "unsupported_grant_type"),
        (FORM, "grant_type=Refresh_Token".into(), "unsupported_grant_type"),
        (FORM, "grant_type=%FF".into(), "unsupported_grant_type"),
    ] {
        let answer = ask(&app, content_type, body.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{content_type} {body}");
        let answer = json_of(&answer);
        assert_eq!(answer["error"], code, "{content_type} {body}");
        assert!(answer["error_description"].as_str().unwrap().contains("expected"), "{answer}");
    }
    for (content_type, body, description) in [
        (
            "application/json; charset=utf-8",
            r#"{"grant_type":"refresh_token"}"#,
            "expected content-type application/x-www-form-urlencoded, found application/json",
        ),
        (FORM, "token=x", "expected the parameter grant_type once, found none"),
        (
            FORM,
            "grant_type=refresh_token&refresh_token=a&refresh_token=b",
            "expected the parameter refresh_token once, found more",
        ),
    ] {
        let answer = ask(&app, content_type, body.to_owned()).await;
        assert_eq!(json_of(&answer)["error_description"], description);
    }
    let long = json_of(&ask(&app, &"x".repeat(5000), good.clone()).await);
    assert!(long["error_description"].as_str().unwrap().len() < 200);
    for content_type in [FORM, "Application/X-WWW-Form-Urlencoded; charset=UTF-8"] {
        // What the endpoint does not know, and what clients escape.
        let body = format!("client_id=app&scope=admin&{}", good.replace('.', "%2E"));
        let answer = ask(&app, content_type, body).await;
        assert_eq!(json_of(&answer)["scope"], "read write", "not what was asked for");
    }
    let twice = web::post("/token").header(CONTENT_TYPE, FORM).header(CONTENT_TYPE, FORM);
    let answer = app.clone().oneshot(twice.body(Body::from(good)).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn only_post_is_answered() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let tokens = login(&sessions);
    let token = tokens.refresh_token.as_str();
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let uri = format!("/token?grant_type=refresh_token&refresh_token={token}");
        let request = Request::builder().method(method).uri(uri).header("host", "app.example");
        let answer = send(&app(&sessions), request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn a_stale_credential_beside_it_does_no_harm() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let tokens = login(&sessions);
    clock.advance(10 * MINUTE);
    let form = format!("grant_type=refresh_token&refresh_token={}", tokens.refresh_token.as_str());
    let request = web::post("/token").header(CONTENT_TYPE, FORM);
    let request = request.bearer(tokens.access_token.as_str()).body(Body::from(form)).unwrap();
    let answer = Answer::of(app(&sessions).oneshot(request).await.unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
}

/// It is the service's fault: the client keeps its token and tries again.
#[tokio::test]
async fn where_no_key_may_sign_it_is_503() {
    let clock = ManualClock::default();
    let issuer = sessions(&clock);
    let tokens = login(&issuer);
    issuer.keys().replace([public_key()]).unwrap();
    let answer = redeem(&app(&issuer), tokens.refresh_token.as_str()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers[RETRY_AFTER], "5");
    assert_eq!(json_of(&answer)["error"], "temporarily_unavailable");
}

#[tokio::test]
async fn token_endpoint_without_refresh_tokens_is_a_mistake() {
    let clock = ManualClock::default();
    let sessions = web::sessions(&clock);
    let answer = redeem(&app(&sessions), "a.b.c").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    // A login has one token, as ever.
    let answer = send(&app(&sessions), web::post("/login")).await;
    assert_eq!(json_of(&answer).get("refresh_token"), None);
    assert_eq!(json_of(&answer)["expires_in"], 3600);
}
