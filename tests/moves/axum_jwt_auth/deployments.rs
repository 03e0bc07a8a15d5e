//! The move, deployment by deployment, with clients that are logged in.

use axum::Router;
use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::support::{Service, now, old_token, send, status, token_in, token_of};

const OK: StatusCode = StatusCode::OK;
const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;

/// Each of the two versions that serve at once accepts what either issues.
async fn accept_each_others(one: &Router, other: &Router) {
    for issuer in [one, other] {
        let login = token_of(issuer, "ada").await;
        let renewed = token_in(send(issuer, Method::POST, "/renew", &login).await);
        for validator in [one, other] {
            assert_eq!(status(validator, "/me", &renewed).await, OK);
        }
    }
}

#[tokio::test]
async fn move_in_three_deployments_logs_nobody_out() {
    let Service { before, first, second, after } = Service::start().await;
    accept_each_others(&before, &first).await;
    accept_each_others(&first, &second).await;
    accept_each_others(&second, &after).await;
    // A login of before the move is valid until it expires, and can be exchanged.
    let old = token_of(&before, "ada").await;
    assert_eq!(status(&first, "/me", &old).await, OK);
    assert_eq!(status(&second, "/settings", &old).await, OK);
    let new = token_in(send(&second, Method::POST, "/renew", &old).await);
    assert_eq!(status(&after, "/settings", &new).await, OK);
    assert_eq!(status(&first, "/me", &old).await, UNAUTHORIZED);
}

#[tokio::test]
async fn move_in_one_deployment_logs_users_out() {
    let Service { before, second, after, .. } = Service::start().await;
    let (old, new) = (token_of(&before, "ada").await, token_of(&after, "ada").await);
    assert_eq!(status(&after, "/me", &old).await, UNAUTHORIZED);
    assert_eq!(status(&before, "/me", &new).await, UNAUTHORIZED);
    // Nor is the first deployment left out.
    let new = token_of(&second, "ada").await;
    assert_eq!(status(&before, "/me", &new).await, UNAUTHORIZED);
}

#[tokio::test]
async fn logout_ends_an_old_token_on_the_replicas_that_have_moved() {
    let Service { before, first, second, .. } = Service::start().await;
    let old = token_of(&before, "ada").await;
    assert_eq!(send(&first, Method::POST, "/logout", &old).await.0, StatusCode::NO_CONTENT);
    assert_eq!(status(&first, "/me", &old).await, UNAUTHORIZED);
    assert_eq!(status(&second, "/me", &old).await, UNAUTHORIZED);
    // The list of ended tokens was in the memory of each replica, and still is in this one's.
    assert_eq!(status(&before, "/me", &old).await, OK);
}

#[tokio::test]
async fn old_tokens_have_to_be_what_they_were() {
    let Service { before, first, second, .. } = Service::start().await;
    let expired = json!({ "iat": now() - 7200, "exp": now() - 3600 });
    for claims in [expired, json!({ "aud": "other" }), json!({ "iss": "other" })] {
        let token = old_token(claims.clone());
        for app in [&before, &first, &second] {
            assert_eq!(status(app, "/me", &token).await, UNAUTHORIZED, "{claims}");
        }
    }
    for app in [&before, &first, &second] {
        assert_eq!(status(app, "/me", &old_token(json!({}))).await, OK);
    }
    // The old key verifies no new session.
    let forged = old_token(json!({ "iss": "https://orders.example" }));
    assert_eq!(status(&second, "/me", &forged).await, UNAUTHORIZED);
}
