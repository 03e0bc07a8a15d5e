//! A session that continues with other claims.

use axum::Router;
use axum::routing::post as on_post;
use http::StatusCode;
use serde_json::Value;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    OperationErrorKind, RefreshTokens, RejectionKind, Revocations, Session, Sessions,
};

use crate::support::replicas::seconds;
use crate::support::web::*;

fn app(sessions: &Sessions<User>) -> Router {
    let ours = sessions.clone();
    let promote =
        async move |session: Session<User>| ours.reissue(&session, User { role: "admin".into() });
    let ours = sessions.clone();
    let promote_bearer = async move |session: Session<User>| {
        ours.reissue(&session, User { role: "admin".into() }).bearer()
    };
    Router::new()
        .route("/promote", on_post(promote))
        .route("/promote-bearer", on_post(promote_bearer))
        .layer(sessions.layer())
}

#[tokio::test]
async fn a_session_goes_on_with_other_claims() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let old = scoped(&sessions, "read write");
    clock.advance(seconds(600));
    let answer = send(&app(&sessions), post("/promote").cookie(&old)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let (old, new) = (claims_of(&old), claims_of(answer.cookie_token()));
    for name in ["iss", "sub", "aud", "sid", "auth_time", "scope"] {
        assert_eq!(old[name], new[name], "{name}");
        assert!(!new[name].is_null(), "{name}");
    }
    assert_eq!(new["role"], "admin");
    assert_ne!(old["jti"], new["jti"]);
    assert_eq!(new["iat"].as_i64(), old["iat"].as_i64().map(|at| at + 600));
    assert_eq!(new["exp"].as_i64(), new["iat"].as_i64().map(|at| at + 3600));
}

#[tokio::test]
async fn its_absolute_lifetime_goes_on_too() {
    let clock = ManualClock::default();
    let sessions = builder(&clock).absolute_lifetime(seconds(4000)).build().unwrap();
    let old = token(&sessions);
    clock.advance(seconds(3000));
    let answer = send(&app(&sessions), post("/promote").cookie(&old)).await;
    let expected = claims_of(&old)["auth_time"].as_i64().map(|at| at + 4000);
    assert_eq!(claims_of(answer.cookie_token())["exp"].as_i64(), expected);
}

#[tokio::test]
async fn a_session_that_has_ended_meanwhile_is_not_reissued() {
    let clock = ManualClock::default();
    let revocations = Revocations::builder("app").store(MemoryStore::new()).clock(clock.clone());
    let sessions = builder(&clock).revocations(revocations.open().await.unwrap()).build().unwrap();
    let token = token(&sessions);
    let session = sessions.validate(&token).unwrap();
    let ours = sessions.clone();
    let ending = async move |session: Session<User>| {
        ours.logout(&session).await.unwrap();
        ours.reissue(&session, User { role: "admin".into() })
    };
    let app = Router::new().route("/", on_post(ending)).layer(sessions.layer());
    let answer = send(&app, post("/").cookie(&token)).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::UNAUTHORIZED, UNAUTHORIZED));
    assert_eq!(answer.kind(), Some(RejectionKind::Revoked));
    let issued = sessions.issue(&sessions.reissue(&session, User { role: "admin".into() }));
    assert!(
        matches!(&issued, Err(error) if error.kind() == OperationErrorKind::Rejected),
        "{issued:?}"
    );
}

#[tokio::test]
async fn a_bearer_client_keeps_its_refresh_token() {
    let clock = ManualClock::default();
    let sessions = builder(&clock)
        .refresh_tokens(RefreshTokens::new().dangerous_without_reuse_detection())
        .build()
        .unwrap();
    let tokens = sessions.issue_with_refresh_token(&login()).unwrap();
    let old = tokens.access_token.as_str();
    let answer = send(&app(&sessions), post("/promote-bearer").bearer(old)).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(body["refresh_token"].is_null(), "{body}");
    assert_eq!(body["expires_in"], 300);
    let new = claims_of(body["access_token"].as_str().unwrap());
    assert_eq!((&new["sid"], &new["role"]), (&claims_of(old)["sid"], &Value::from("admin")));

    let reissued = sessions.reissue(&sessions.validate(old).unwrap(), User { role: "x".into() });
    let paired = sessions.issue_with_refresh_token(&reissued);
    assert!(
        matches!(&paired, Err(error) if error.kind() == OperationErrorKind::NotConfigured && error.to_string().contains("no refresh tokens")),
        "{paired:?}"
    );
}
