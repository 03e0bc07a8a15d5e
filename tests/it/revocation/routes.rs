//! Over http: the answers to clients, and routes while the store is down.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::{get, post};
use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{Algorithm, KeyRing, Logout, OperationError, OperationErrorKind};

use super::*;
use crate::support::stores::{Operation, TestStore};
use crate::support::web::{Answer, CLEARED, Credentials as _, UNAUTHORIZED, get as request, send};

const FRESH: Duration = Duration::from_secs(120);
/// How long the last known revocations are used.
const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A service whose payments want to know what has ended.
async fn app(store: &TestStore) -> (Router, Replica) {
    let one = Replica::open(store.clone()).await;
    let sessions = one.sessions.clone();
    let fresh = sessions.validate_layer().require_fresh_revocations(FRESH).unwrap();
    let optionally_fresh =
        sessions.validate_layer().optional().require_fresh_revocations(FRESH).unwrap();
    let me = async |session: Session<()>| session.subject().to_owned();
    let maybe = async |session: Option<Session<()>>| match session {
        Some(session) => session.subject().to_owned(),
        None => "nobody".to_owned(),
    };
    let app = Router::new()
        .route("/pay", get(me).route_layer(fresh))
        .route("/offer", get(maybe).route_layer(optionally_fresh))
        .route("/me", get(me))
        .route("/maybe", get(maybe))
        .route("/logout", post(async || Logout::new()))
        .route("/logout-part", post(async || (Logout::new(), Redirect::to("/bye"))))
        .route("/login", post(async || Login::new("alice", ())))
        .route("/bearer", post(async || Login::new("alice", ()).bearer()))
        .route("/reissue", post(reissue))
        .route("/logout-everywhere", post(async || Logout::new().everywhere()))
        .route("/end-and-go-on", get(end_and_go_on))
        .layer(sessions.layer())
        .with_state(sessions);
    (app, one)
}

async fn reissue(State(sessions): State<Sessions<()>>, session: Session<()>) -> Login<()> {
    sessions.reissue(&session, ())
}

/// As if somebody logged out meanwhile.
async fn end_and_go_on(State(sessions): State<Sessions<()>>, session: Session<()>) {
    sessions.revoke_session(session.session_id()).await.unwrap();
}

fn logout_request(path: &str, token: &str) -> axum::http::request::Builder {
    crate::support::web::post(path).header("sec-fetch-site", "same-origin").cookie(token)
}

/// 503, to be tried again, and the cookie stays.
#[track_caller]
fn assert_unavailable(answer: &Answer, retry_after: &str) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert_eq!(answer.all("retry-after"), [retry_after]);
    assert_eq!(answer.all("content-type"), ["application/problem+json"]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.all("set-cookie"), [""; 0]);
    assert_eq!(answer.all("www-authenticate"), [""; 0]);
}

#[tokio::test]
async fn cookie_replayed_after_logout_is_refused_like_any_other() {
    let store = TestStore::new();
    let (app, one) = app(&store).await;
    for path in ["/logout", "/logout-everywhere"] {
        // Another second, so that the login after the first round is not one that is ended.
        pass(&[&one], seconds(1));
        let token = one.login("alice");
        assert_eq!(send(&app, request("/me").cookie(&token)).await.body, "alice");
        let answer = send(&app, logout_request(path, &token)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(answer.all("set-cookie"), [CLEARED]);

        let answer = send(&app, request("/me").cookie(&token)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.body, UNAUTHORIZED);
        assert_eq!(answer.all("set-cookie"), [""; 0]);
        assert_eq!(answer.kind(), Some(RejectionKind::Revoked));
        assert_eq!(send(&app, request("/maybe").cookie(&token)).await.body, "nobody");
        let answer = send(&app, request("/maybe").bearer(&token)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.all("www-authenticate"), [r#"Bearer error="invalid_token""#]);
    }
}

#[tokio::test]
async fn a_logout_that_could_not_be_recorded_says_so() {
    let store = TestStore::new();
    let (app, one) = app(&store).await;
    let token = one.login("alice");
    store.down();
    for path in ["/logout", "/logout-everywhere", "/logout-part"] {
        let answer = send(&app, logout_request(path, &token)).await;
        assert_eq!(answer.all("location"), [""; 0]);
        assert_unavailable(&answer, "5");
        let reason = answer.extensions.get::<OperationError>().map(OperationError::kind);
        assert_eq!(reason, Some(OperationErrorKind::Store));
        assert_eq!(
            answer.body,
            concat!(
                r#"{"type":"about:blank","title":"Service Unavailable","status":503,"#,
                r#""detail":"The logout was not recorded, and the session is still valid. "#,
                r#"Try again."}"#,
            )
        );
    }
    assert_eq!(send(&app, request("/me").cookie(&token)).await.body, "alice");
    store.up();
    let answer = send(&app, logout_request("/logout", &token)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn session_revoked_during_its_request_is_not_renewed() {
    let store = TestStore::new();
    let (app, one) = app(&store).await;
    let [alice, bob] = [one.login("alice"), one.login("bob")];
    pass(&[&one], seconds(40 * 60));
    let answer = send(&app, request("/me").cookie(&bob)).await;
    assert_eq!(answer.all("set-cookie").len(), 1, "past half of its life");
    let answer = send(&app, request("/end-and-go-on").cookie(&alice)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.all("set-cookie"), [""; 0]);
}

#[tokio::test]
async fn a_route_that_asks_for_it_fails_closed_while_others_go_on() {
    let store = TestStore::new();
    let (app, one) = app(&store).await;
    let token = one.login("alice");
    pass(&[&one], FRESH);
    assert_eq!(send(&app, request("/pay").cookie(&token)).await.body, "alice");
    store.down();
    pass(&[&one], Duration::from_millis(1));
    one.revocations.refresh().await.unwrap_err();
    for path in ["/pay", "/offer"] {
        for credential in [request(path).cookie(&token), request(path).bearer(&token)] {
            let answer = send(&app, credential).await;
            assert_unavailable(&answer, "60");
            assert!(matches!(answer.kind(), Some(RejectionKind::StaleRevocations { .. })));
        }
    }
    // Who has no session has none that could have ended.
    assert_eq!(send(&app, request("/offer")).await.body, "nobody");
    assert_eq!(send(&app, request("/pay")).await.status, StatusCode::UNAUTHORIZED);
    for path in ["/me", "/maybe"] {
        assert_eq!(send(&app, request(path).cookie(&token)).await.body, "alice");
    }
    store.up();
    one.refresh().await;
    assert_eq!(send(&app, request("/pay").cookie(&token)).await.body, "alice");
    assert_eq!(send(&app, request("/offer").cookie(&token)).await.body, "alice");
}

#[tokio::test]
async fn route_requiring_fresh_revocations_fails_closed_on_newer_format() {
    let store = TestStore::new();
    let (app, one) = app(&store).await;
    let token = one.login("alice");
    store.put_of(PLACE, "else", br#"{"version":2}"#).await;
    one.refresh().await;
    assert_unavailable(&send(&app, request("/pay").cookie(&token)).await, "60");
    assert_eq!(send(&app, request("/me").cookie(&token)).await.body, "alice");
}

#[tokio::test]
async fn the_last_known_go_on_to_their_limit_and_no_further() {
    let store = TestStore::new();
    let (app, one) = app(&store).await;
    let ended = one.login("bob");
    one.logout(&ended).await;
    store.down();
    pass(&[&one], LIMIT);
    one.revocations.refresh().await.unwrap_err();
    one.revocations.ready().unwrap();
    let token = one.login("alice");
    assert_eq!(send(&app, request("/me").cookie(&token)).await.body, "alice");

    pass(&[&one], Duration::from_millis(1));
    let unready = one.revocations.ready().unwrap_err();
    assert_stale(&unready, START, LIMIT);
    for path in ["/me", "/maybe", "/pay"] {
        for credential in [request(path).cookie(&token), request(path).bearer(&token)] {
            assert_unavailable(&send(&app, credential).await, "60");
        }
    }
    assert_eq!(send(&app, request("/maybe")).await.body, "nobody");
    store.up();
    one.refresh().await;
    one.revocations.ready().unwrap();
    assert_eq!(send(&app, request("/me").cookie(&token)).await.body, "alice");
}

#[tokio::test]
async fn a_freshness_that_a_healthy_replica_can_not_keep_is_an_error() {
    let one = Arc::new(Replica::open(TestStore::new()).await);
    let bound = one.revocations.refresh_bound();
    let layer = || one.sessions.validate_layer();
    layer().require_fresh_revocations(bound).unwrap();
    let error = layer()
        .require_fresh_revocations(bound - Duration::from_millis(1))
        .unwrap_err()
        .to_string();
    assert!(error.contains("require_fresh_revocations is 70.999s: make it at least"), "{error}");
    let without = Sessions::<()>::builder(fixed_ring(one.clock.clone()), "https://a.example", "a");
    let without = without.build().unwrap();
    let error = without.validate_layer().require_fresh_revocations(FRESH).unwrap_err().to_string();
    assert!(error.contains("set `revocations` on the builder"), "{error}");
}

#[tokio::test]
async fn login_revokes_the_session_that_the_request_came_with() {
    let store = TestStore::new();
    let (app, one) = app(&store).await;
    let old = one.login("alice");
    let answer = send(&app, logout_request("/login", &old)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let new = answer.cookie_token().to_owned();
    assert_eq!(one.judge(&old), Err(RejectionKind::Revoked));
    assert_eq!(one.judge(&new), Ok(()));
    let two = Replica::open(store.clone()).await;
    assert_eq!((two.judge(&old), two.judge(&new)), (Err(RejectionKind::Revoked), Ok(())));

    let bearer = crate::support::web::post("/bearer").bearer(&new);
    assert_eq!(send(&app, bearer).await.status, StatusCode::OK);
    assert_eq!(one.judge(&new), Err(RejectionKind::Revoked));

    // New claims are no new login.
    let session = one.login("bob");
    let answer = send(&app, logout_request("/reissue", &session)).await;
    assert_eq!((one.judge(&session), one.judge(answer.cookie_token())), (Ok(()), Ok(())));
    assert_eq!(one.counts()[0], 2);
}

/// The login reads from the store that its subject was logged out everywhere; if it cannot, it may be
/// ended, too, but it succeeds.
#[tokio::test]
async fn login_right_after_a_logout_everywhere_elsewhere_stays_valid() {
    for (everyone, reads) in [(false, true), (true, true), (false, false), (true, false)] {
        let store = TestStore::new();
        let (app, one) = app(&store).await;
        let two = Replica::open(store.sibling()).await;
        let before = one.login("alice");
        match everyone {
            true => two.sessions.revoke_logins_before(two.clock.now()).await.unwrap(),
            false => two.sessions.revoke_subject("alice").await.unwrap(),
        }
        if !reads {
            store.fail(&[Operation::Registers]);
        }
        let login = crate::support::web::post("/login").header("sec-fetch-site", "same-origin");
        let answer = send(&app, login).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        let token = answer.cookie_token().to_owned();
        one.refresh().await;
        let expected = if reads { Ok(()) } else { Err(RejectionKind::Revoked) };
        for replica in [&one, &two] {
            assert_eq!(replica.judge(&token), expected, "{everyone}");
            assert_eq!(replica.judge(&before), Err(RejectionKind::Revoked));
        }
    }
}

#[tokio::test]
async fn login_over_a_session_succeeds_while_the_store_is_down() {
    let store = TestStore::new();
    let (app, one) = app(&store).await;
    let old = one.login("alice");
    store.down();
    let answer = send(&app, logout_request("/login", &old)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(one.judge(answer.cookie_token()), Ok(()));
}

#[tokio::test]
async fn logout_of_a_bearer_session_revokes_it() {
    let (app, one) = app(&TestStore::new()).await;
    let token = one.login("alice");
    let answer = send(&app, crate::support::web::post("/logout").bearer(&token)).await;
    assert_eq!((answer.status, answer.all("set-cookie").len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
}

#[tokio::test]
async fn logout_with_a_token_that_another_replica_may_accept_is_503() {
    let (app, one) = app(&TestStore::new()).await;
    let keys = KeyRing::fixed([fixed_key(Algorithm::ES384)]).clock(one.clock.clone()).build();
    let newer = Sessions::builder(keys.unwrap(), "https://app.example", "app").build().unwrap();
    let token = newer.issue(&Login::new("alice", ())).unwrap().as_str().to_owned();
    assert_eq!(one.judge(&token), Err(RejectionKind::UnknownKey));
    for request in
        [logout_request("/logout", &token), crate::support::web::post("/logout").bearer(&token)]
    {
        assert_unavailable(&send(&app, request).await, "5");
    }
    // A cookie that nobody accepts is cleared.
    let answer = send(&app, logout_request("/logout", "garbage")).await;
    assert_eq!((answer.status, answer.all("set-cookie")), (StatusCode::NO_CONTENT, vec![CLEARED]));
}

/// An expired cookie is the end of its session, and of no other session of the subject.
#[tokio::test]
async fn logout_everywhere_without_a_valid_session_is_401() {
    let (app, one) = app(&TestStore::new()).await;
    let expired = one.login("alice");
    pass(&[&one], seconds(2 * 60 * 60));
    let (revoked, other) = (one.login("alice"), one.login("alice"));
    one.logout(&revoked).await;
    let path = "/logout-everywhere";
    let by_cookie = |token: &str| logout_request(path, token);
    for (request, cleared) in [
        (by_cookie(&expired), vec![CLEARED]),
        (by_cookie("garbage"), vec![CLEARED]),
        (by_cookie(&revoked), vec![]),
        (crate::support::web::post(path).bearer(&revoked), vec![]),
        (crate::support::web::post(path), vec![]),
    ] {
        let answer = send(&app, request).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::UNAUTHORIZED, UNAUTHORIZED));
        assert_eq!(answer.all("set-cookie"), cleared);
        assert_eq!(one.judge(&other), Ok(()));
    }
}
