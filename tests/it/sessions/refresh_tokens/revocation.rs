//! The revocation endpoint (RFC 7009): a client logs out by its refresh token.

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tower_jwt_session::testing::Client;
use tower_jwt_session::{OperationErrorKind, Rejection, Revocations, Session};

use super::*;
use crate::support::stores::TestStore;

struct Service {
    client: Client<Router>,
    sessions: Sessions<User>,
    store: TestStore,
    clock: ManualClock,
}

async fn service() -> Service {
    let (clock, store) = (ManualClock::default(), TestStore::new());
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    let sessions = web::builder(&clock)
        .revocations(revocations.open().await.unwrap())
        .refresh_tokens(RefreshTokens::new().store(store.clone()))
        .build()
        .unwrap();
    let client = Client::new(app(&sessions)).clock(&clock);
    Service { client, sessions, store, clock }
}

fn app(sessions: &Sessions<User>) -> Router {
    let me = async |session: Session<User>| session.subject().to_owned();
    Router::new().route("/me", get(me)).merge(sessions.token_router()).layer(sessions.layer())
}

impl Service {
    async fn revoke(&mut self, token: &str) -> Response<Bytes> {
        self.client.post_form("/revoke", &[("token", token)]).await
    }

    async fn assert_ended(&self, tokens: &IssuedTokens) {
        let kind = refused(&self.sessions, tokens.refresh_token.as_str()).await;
        assert_eq!(kind, RejectionKind::Revoked);
        let access = self.sessions.validate(tokens.access_token.as_str()).unwrap_err();
        assert!(matches!(access.kind(), RejectionKind::Revoked | RejectionKind::Expired));
    }
}

#[track_caller]
fn assert_done(answer: &Response<Bytes>) {
    assert_eq!((answer.status(), &**answer.body()), (StatusCode::OK, &b""[..]), "{answer:?}");
    assert!(answer.headers().get("set-cookie").is_none());
}

#[tokio::test]
async fn refresh_token_of_a_client_with_an_expired_access_token_logs_it_out() {
    let mut service = service().await;
    let (tokens, others) = (login(&service.sessions), login(&service.sessions));
    service.clock.advance(30 * MINUTE);
    service.client.set_bearer(tokens.access_token.as_str());
    assert_eq!(service.client.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    service.client.forget();
    assert_done(&service.revoke(tokens.refresh_token.as_str()).await);
    service.assert_ended(&tokens).await;
    // Another session of the same user goes on.
    refresh(&service.sessions, &others).await;
    // Again: it is a token that is not valid any more.
    assert_done(&service.revoke(tokens.refresh_token.as_str()).await);
}

#[tokio::test]
async fn redeemed_refresh_token_and_access_token_log_out_too() {
    let mut service = service().await;
    let first = login(&service.sessions);
    let second = refresh(&service.sessions, &first).await;
    service.clock.advance(10 * MINUTE);
    let third = refresh(&service.sessions, &second).await;
    assert_done(&service.revoke(first.refresh_token.as_str()).await);
    service.assert_ended(&third).await;

    let tokens = login(&service.sessions);
    assert_done(&service.revoke(tokens.access_token.as_str()).await);
    service.assert_ended(&tokens).await;
}

#[tokio::test]
async fn invalid_token_is_answered_as_a_valid_one_and_revokes_nothing() {
    let mut service = service().await;
    let tokens = login(&service.sessions);
    let valid = service.revoke(login(&service.sessions).refresh_token.as_str()).await;
    let refresh_token = tokens.refresh_token.as_str().to_owned();
    let (cut, _) = refresh_token.rsplit_once('.').unwrap();
    let forged = format!("{cut}.{}", "A".repeat(86));
    let expired = login(&service.sessions).access_token.as_str().to_owned();
    service.clock.advance(10 * MINUTE);
    for (token, kind) in [
        ("x", RejectionKind::Malformed),
        (cut, RejectionKind::Malformed),
        (&*forged, RejectionKind::BadSignature),
        (&*expired, RejectionKind::Expired),
        (&*"x".repeat(9000), RejectionKind::TooLong),
    ] {
        let answer = service.revoke(token).await;
        assert_done(&answer);
        assert_eq!(answer.headers(), valid.headers());
        assert_eq!(answer.extensions().get::<Rejection>().map(Rejection::kind), Some(kind));
    }
    refresh(&service.sessions, &tokens).await;
}

#[tokio::test]
async fn claims_of_another_release_do_not_keep_a_session_alive() {
    let service = service().await;
    let keys = service.sessions.keys().clone();
    let revocations = service.sessions.revocations().unwrap().clone();
    let newer = Sessions::<Vec<u8>>::builder(keys, "https://app.example", "app")
        .revocations(revocations)
        .refresh_tokens(RefreshTokens::new().store(service.store.clone()));
    let newer = newer.build().unwrap();
    let tokens = login(&service.sessions);
    assert!(newer.validate(tokens.access_token.as_str()).is_err());
    newer.revoke_token(tokens.refresh_token.as_str()).await.unwrap();
    service.assert_ended(&tokens).await;
}

#[tokio::test]
async fn revocation_that_is_not_recorded_is_503_and_the_same_token_works_later() {
    let mut service = service().await;
    let tokens = login(&service.sessions);
    service.store.down();
    let answer = service.revoke(tokens.refresh_token.as_str()).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "5");
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    let description = "the token is still valid; try again later";
    let expected = json!({"error": "temporarily_unavailable", "error_description": description});
    assert_eq!(body, expected);
    service.store.up();
    assert_done(&service.revoke(tokens.refresh_token.as_str()).await);
    service.assert_ended(&tokens).await;
}

#[tokio::test]
async fn request_without_one_token_is_invalid() {
    let mut service = service().await;
    let tokens = login(&service.sessions);
    let token = tokens.refresh_token.as_str();
    let form = "application/x-www-form-urlencoded";
    for (content_type, body) in [
        (form, String::new()),
        (form, "token=".into()),
        (form, "refresh_token=x".into()),
        (form, format!("token={token}&token={token}")),
        ("application/json", json!({"token": token}).to_string()),
    ] {
        let request = Request::post("/revoke").header("content-type", content_type);
        let answer = service.client.send(request.body(body.clone()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{body}");
        let error: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(error["error"], "invalid_request");
    }
    let hint = [("token", token), ("token_type_hint", "access_token")];
    assert_done(&service.client.post_form("/revoke", &hint).await);
    service.assert_ended(&tokens).await;
}

#[tokio::test]
async fn without_revocations_no_token_can_be_revoked() {
    let sessions = sessions(&ManualClock::default());
    let tokens = login(&sessions);
    let mut client = Client::new(app(&sessions));
    for token in [tokens.refresh_token.as_str(), "x"] {
        let answer = client.post_form("/revoke", &[("token", token)]).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let error: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(error["error"], "unsupported_token_type");
        let error = sessions.revoke_token(token).await.unwrap_err();
        assert_eq!(error.kind(), OperationErrorKind::NotConfigured);
    }
}
