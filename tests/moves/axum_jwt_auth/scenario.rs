//! What clients of the service see, in each version.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::support::{Service, forged_token, get, log_in, now, partner_token, send, status};
use crate::support::{token_in, token_of};

const OK: StatusCode = StatusCode::OK;
const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;

#[tokio::test]
async fn users_log_in_and_read_their_pages() {
    for (version, app) in Service::start().await.versions() {
        assert_eq!(log_in(app, "ada", "wrong").await.0, UNAUTHORIZED, "{version}");
        let ada = token_of(app, "ada").await;
        assert_eq!(get(app, "/", "").await, (OK, "please log in".into()), "{version}");
        assert_eq!(get(app, "/", &ada).await, (OK, "hello ada".into()), "{version}");
        assert_eq!(status(app, "/", &forged_token()).await, UNAUTHORIZED, "{version}");
        assert_eq!(get(app, "/me", &ada).await, (OK, "ada (17)".into()), "{version}");
        assert_eq!(status(app, "/me", "").await, UNAUTHORIZED, "{version}");
        let renewed = token_in(send(app, Method::POST, "/renew", &ada).await);
        assert_eq!(get(app, "/me", &renewed).await.1, "ada (17)", "{version}");
    }
}

#[tokio::test]
async fn settings_are_for_admins() {
    for (version, app) in Service::start().await.versions() {
        let (ada, bob) = (token_of(app, "ada").await, token_of(app, "bob").await);
        assert_eq!(get(app, "/settings", &ada).await, (OK, "settings".into()), "{version}");
        assert_eq!(status(app, "/settings", &bob).await, FORBIDDEN, "{version}");
        assert_eq!(status(app, "/settings", "").await, UNAUTHORIZED, "{version}");
    }
}

#[tokio::test]
async fn logout_ends_this_token_and_no_other() {
    for (version, app) in Service::start().await.versions() {
        let (here, elsewhere) = (token_of(app, "ada").await, token_of(app, "ada").await);
        let answer = send(app, Method::POST, "/logout", &here).await;
        assert_eq!(answer, (StatusCode::NO_CONTENT, String::new()), "{version}");
        assert_eq!(status(app, "/me", &here).await, UNAUTHORIZED, "{version}");
        assert_eq!(status(app, "/me", &elsewhere).await, OK, "{version}");
    }
}

#[tokio::test]
async fn reports_are_for_the_partners_staff() {
    for (version, app) in Service::start().await.versions() {
        let reports = async |claims| get(app, "/reports", &partner_token(claims)).await;
        assert_eq!(reports(json!({})).await, (OK, "reports for carol".into()), "{version}");
        assert_eq!(reports(json!({ "scope": "other" })).await.0, FORBIDDEN, "{version}");
        assert_eq!(reports(json!({ "aud": "other" })).await.0, UNAUTHORIZED, "{version}");
        assert_eq!(reports(json!({ "iss": "other" })).await.0, UNAUTHORIZED, "{version}");
        let expired = json!({ "iat": now() - 600, "exp": now() - 300 });
        assert_eq!(reports(expired).await.0, UNAUTHORIZED, "{version}");
        assert_eq!(status(app, "/reports", "").await, UNAUTHORIZED, "{version}");
        let partners = partner_token(json!({ "name": "carol", "roles": ["admin"] }));
        assert_eq!(status(app, "/settings", &partners).await, UNAUTHORIZED, "{version}");
    }
}

/// Where a token cannot be read, or names a key that is unknown, the service itself fails before the move.
#[tokio::test]
async fn unreadable_token_is_the_clients_error_after_the_move() {
    let service = Service::start().await;
    let own = token_of(&service.before, "ada").await;
    for (path, token) in [("/me", "not.a.token"), ("/reports", &own)] {
        let answer = status(&service.before, path, token).await;
        assert_eq!(answer, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(status(&service.after, path, token).await, UNAUTHORIZED);
    }
}
